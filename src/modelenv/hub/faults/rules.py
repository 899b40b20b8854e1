"""A fault of the embedded Hub as a value: which requests it hits, and what happens to them.

The same names serve `EmbeddedHub.fail(...)` and the tables of a rule file.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypedDict, get_args

from modelenv.errors import ConfigurationError
from modelenv.hub.request_log import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


class RuleFields(TypedDict, total=False):
    """What a rule may say; every name is explained at `Rule`."""

    method: str
    kind: Kind
    repo: str
    file: str
    nth: int
    share: float
    seed: int
    times: int
    seconds: float
    status: int
    headers: Mapping[str, str]
    message: str
    delay: float
    bytes_per_second: float
    cut_after: int
    reset: bool
    flip_byte: int
    wrong_etag: bool
    lying_headers: Mapping[str, str]
    lying_fields: Mapping[str, Any]
    length_off_by: int
    redirect_loop: bool
    expired_token: bool
    refuse: float


@dataclass(frozen=True)
class Asked:
    """What a rule looks at in a request."""

    method: str
    path: str
    kind: Kind
    repo: str | None = None
    file: str | None = None
    has_token: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One fault. What is not given does not restrict, or does not happen.

    Which requests:
        method: GET, HEAD, POST and so on.
        kind: "info", "tree", "resolve" and the other kinds of the request log.
        repo: a glob for the repo id, such as `acme/*`.
        file: a glob for the file's path in its repo; `*` also crosses folders.
        nth: only the nth request, from 1, of those that match the above, in the order of their arrival.
        share: this share of them, from 0 to 1. Decided by `seed` and by how often the same method and path were
            asked before; so neither threads nor their order change which requests are hit.
        seed: another seed, another choice of `share`.
        times: at most so many times.
        seconds: only so long, from the first request that is hit.

    What happens:
        status, headers, message: this answer in place of the real one; the message is said as the Hub says errors. If
            the headers have a Content-Length that is not the body's, the connection is closed after the body.
        delay: seconds before the first byte.
        bytes_per_second: how fast the body is sent.
        cut_after: the connection is closed after so many bytes of the body.
        reset: the connection is reset (TCP RST): without any answer, or with `cut_after` after so many bytes.
        flip_byte: the byte at this place of the file, or of any other body, is another.
        wrong_etag: ETag and X-Linked-Etag are not those of the file.
        lying_headers: the real answer has these headers, whatever it said under these names.
        lying_fields: every field of such a name in the real answer's JSON, at any depth, has this value.
        length_off_by: Content-Length is larger, or smaller, than the body by so much; then the connection is closed.
        redirect_loop: a redirect to the address that was asked for.
        expired_token: requests with a token are answered as if it had expired; those without one are not hit.
        refuse: every connection is reset, and new ones are refused, for so many seconds.

    Raises:
        ConfigurationError: a value is not valid, nothing would happen, or two answers exclude each other.
    """

    method: str | None = None
    kind: Kind | None = None
    repo: str | None = None
    file: str | None = None
    nth: int | None = None
    share: float | None = None
    seed: int = 0
    times: int | None = None
    seconds: float | None = None
    status: int | None = None
    headers: Mapping[str, str] | None = None
    message: str | None = None
    delay: float | None = None
    bytes_per_second: float | None = None
    cut_after: int | None = None
    reset: bool = False
    flip_byte: int | None = None
    wrong_etag: bool = False
    lying_headers: Mapping[str, str] | None = None
    lying_fields: Mapping[str, Any] | None = None
    length_off_by: int | None = None
    redirect_loop: bool = False
    expired_token: bool = False
    refuse: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                _check(field.name, value)
        if not any(self._has(name) for name in _EFFECTS):
            raise ConfigurationError(
                "this fault does nothing", expected=f"one of {', '.join(_EFFECTS)}", found="none of them"
            )
        if self.status is None and (self.headers or self.message):
            raise ConfigurationError("a fault has headers and a message only with a status", found="no status")
        answers = [name for name in _ANSWERS if self._has(name)]
        answers += ["reset"] if self.reset and self.cut_after is None else []
        if len(answers) > 1:
            raise ConfigurationError(
                "these faults exclude each other", found=", ".join(answers), hint="give each its own rule"
            )

    @property
    def answers(self) -> bool:
        """Whether the request does not reach the Hub itself, because this fault answers it, or breaks it off."""
        alone = self.reset and self.cut_after is None
        return alone or any(self._has(name) for name in _ANSWERS)

    def matches(self, asked: Asked) -> bool:
        """Return whether this rule names such a request; what matches counts for `nth`, `share` and `times`."""
        return (
            (self.method is None or self.method.upper() == asked.method)
            and (self.kind is None or self.kind == asked.kind)
            and (self.repo is None or fnmatchcase(asked.repo or "", self.repo))
            and (self.file is None or fnmatchcase(asked.file or "", self.file))
            and (asked.has_token or not self.expired_token)
            and (asked.method != "HEAD" or not self._needs_body())
        )

    def _has(self, name: str) -> bool:
        value = getattr(self, name)
        return value is not None and value is not False

    def _needs_body(self) -> bool:
        # A HEAD has none; hit by such a fault nothing would happen, and the count of `times` would be used up.
        body_only = any(self._has(name) for name in ("cut_after", "flip_byte", "bytes_per_second", "lying_fields"))
        of_headers = self.wrong_etag or self.lying_headers or self.length_off_by
        return body_only and not (self.answers or self.delay or of_headers)

    def __str__(self) -> str:
        given = ((field.name, getattr(self, field.name)) for field in fields(self) if _is_given(self, field))
        return ", ".join(f"{name}={value!r}" for name, value in given)


_ANSWERS = ("status", "redirect_loop", "expired_token", "refuse")
_EFFECTS = (
    "status", "delay", "bytes_per_second", "cut_after", "reset", "flip_byte", "wrong_etag", "lying_headers",
    "lying_fields", "length_off_by", "redirect_loop", "expired_token", "refuse",
)  # fmt: skip
_TEXTS = {"method", "repo", "file", "message"}
_SWITCHES = {"reset", "wrong_etag", "redirect_loop", "expired_token"}
# Whole numbers and their least value; seconds, rates and shares and their largest, all of them above 0.
_COUNTS = {"nth": 1, "times": 1, "seed": 0, "cut_after": 0, "flip_byte": 0, "length_off_by": None, "status": 300}
_MEASURES = {"share": 1.0, "seconds": math.inf, "delay": math.inf, "bytes_per_second": math.inf, "refuse": math.inf}
_LAST_STATUS = 599
# What can be sent (RFC 9110, section 5): any other header breaks the connection off.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([!-~\x80-\xff]+([ \t]+[!-~\x80-\xff]+)*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")


def _is_given(rule: Rule, field: Any) -> bool:
    return bool(getattr(rule, field.name) != field.default)


def _check(name: str, value: object) -> None:
    expected = _expected(name, value)
    if expected is not None:
        raise ConfigurationError(f"a fault's {name} cannot be this", expected=expected, found=repr(value))


def _expected(name: str, value: object) -> str | None:
    """Return what would have been right, or None if `value` is."""
    if name in _TEXTS:
        return None if isinstance(value, str) and value else "text"
    if name in _SWITCHES:
        return None if isinstance(value, bool) else "true or false"
    if name == "kind":
        return None if value in get_args(Kind) else f"one of {', '.join(get_args(Kind))}"
    if name in ("headers", "lying_headers"):
        return _expected_headers(value, may_announce=name == "headers")
    if name == "lying_fields":
        return _expected_fields(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "a number"
    if name in _COUNTS:
        return _expected_count(name, value)
    most = _MEASURES[name]
    end = "" if most == math.inf else f" and at most {most:g}"
    return None if 0 < value <= most and value != math.inf else f"a number above 0{end}"


def _expected_fields(value: object) -> str | None:
    try:
        is_right = isinstance(value, dict) and all(isinstance(name, str) for name in value) and json.dumps(value)
    except (TypeError, ValueError):
        is_right = False
    return None if is_right else "a dictionary with names, and with values that JSON has"


def _expected_headers(value: object, *, may_announce: bool) -> str | None:
    if not hasattr(value, "items") or not all(isinstance(text, str) for pair in value.items() for text in pair):
        return "names and values, both text"
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() == "transfer-encoding":
            return "names of letters, digits and '-', without Transfer-Encoding, which the server sets"
        if name.lower() == "content-length" and not may_announce:
            return "no Content-Length: length_off_by makes that wrong"
        if name.lower() == "content-length" and not _LENGTH.fullmatch(text):
            return "a Content-Length of at most 18 digits"
        if not _HEADER_VALUE.fullmatch(text):
            return "values on one line, in Latin-1, without spaces around"
    return None


def _expected_count(name: str, value: float) -> str | None:
    least = _COUNTS[name]
    if not isinstance(value, int):
        return "a whole number"
    if name == "status" and not 300 <= value <= _LAST_STATUS:
        return f"a status from {least} to {_LAST_STATUS}"
    if name == "length_off_by" and value == 0:
        return "a whole number other than 0"
    return None if least is None or value >= least else f"a whole number from {least} on"
