"""The patterns in `.gitignore` and `.gitattributes` (gitignore(5)), which apply to the files of a push."""

from __future__ import annotations

import re
from dataclasses import dataclass

# `**/` (any depth), `/**` (everything below), `*`, `?`, a set of characters, an escaped character, any other one.
_TOKENS = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[!?\]?[^\]]*\]|\\.|.", re.DOTALL)


@dataclass(frozen=True)
class _Rule:
    regex: re.Pattern[str]
    negated: bool
    folders_only: bool


def ignored(path: str, gitignore: str) -> bool:
    """Whether a `.gitignore` with this text, at the top of a repository, ignores the file `path`.

    The last matching pattern decides, but a file in an ignored folder is always ignored.
    """
    rules = [rule for line in gitignore.splitlines() if (rule := _rule(line)) is not None]
    parts = path.split("/")
    return any(
        _decision(rules, "/".join(parts[:length]), is_folder=length < len(parts))
        for length in range(1, len(parts) + 1)
    )


def stored_with_lfs(path: str, gitattributes: str) -> bool:
    """Whether the file `path` is stored with LFS according to a `.gitattributes` with this text."""
    found = False
    for line in gitattributes.splitlines():
        pattern, *attributes = line.split() or [""]
        if not pattern or pattern.startswith("#"):
            continue
        filters = [attribute for attribute in attributes if attribute.lstrip("-!").startswith("filter")]
        if filters and _regex(pattern).fullmatch(path):
            found = filters[-1] == "filter=lfs"
    return found


def _decision(rules: list[_Rule], path: str, *, is_folder: bool) -> bool:
    matching = [rule for rule in rules if (is_folder or not rule.folders_only) and rule.regex.fullmatch(path)]
    return bool(matching) and not matching[-1].negated


def _rule(line: str) -> _Rule | None:
    line = re.sub(r"(?<!\\) +$", "", line)
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    pattern = line[1:] if negated else line
    return _Rule(_regex(pattern.rstrip("/")), negated, folders_only=pattern.endswith("/"))


def _regex(pattern: str) -> re.Pattern[str]:
    anchored = "/" in pattern.rstrip("/")
    text = "" if anchored else "(?:.*/)?"
    text += "".join(_translated(token[0]) for token in _TOKENS.finditer(pattern.removeprefix("/")))
    return re.compile(text, re.DOTALL)


def _translated(token: str) -> str:
    match token:
        case "**/":
            return "(?:.*/)?"
        case "/**":
            return "/.*"
        case "?":
            return "[^/]"
        case _ if token.startswith("*"):
            return "[^/]*"
        case _ if len(token) > 1 and token.startswith("["):
            inside = token[1:-1].replace("\\", "\\\\")
            return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
        case _:
            return re.escape(token[-1])
