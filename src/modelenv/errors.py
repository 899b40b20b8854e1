"""The errors that modelenv raises: one base, each with a builtin co-parent.

Every error is built from fields, so that its message always says what happened, to which model, what was
expected and found, where it was looked for, and what to do next. The fields are plain text, so an error pickles
and crosses processes unchanged. This module imports nothing of modelenv.
"""

from __future__ import annotations

import re

# The Hub's tokens (`hf_` and 34 letters; `hf_oauth_` and a JSON web token), what stands behind `Bearer`, and a URL's
# user and password. Shorter words such as `hf_transformers` are no tokens.
_SECRET = re.compile(r"(?<![A-Za-z0-9])hf_(?:[A-Za-z0-9]{16,}|oauth_[\w.-]+)|(?<=[Bb]earer )\S+|(?<=//)[^/\s]+(?=@)")


def redact(text: str, *secrets: str | None) -> str:
    """Return `text` without access tokens: those of the Hub's form, and any of `secrets` that occurs in it."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _SECRET.sub("***", text)


class ModelEnvError(Exception):
    """The base of all errors raised by modelenv.

    Args:
        what: what happened, as one sentence without a full stop.
        model: the model's name, where there is one.
        expected: what would have been right.
        found: what was there instead.
        tried: every place or value that was tried, in order.
        hint: what to do next.
    """

    def __init__(
        self,
        what: str,
        *,
        model: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        tried: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        self.what = redact(what)
        self.model = redact(model) if model is not None else None
        self.expected = redact(expected) if expected is not None else None
        self.found = redact(found) if found is not None else None
        self.tried = tuple(redact(place) for place in tried)
        self.hint = redact(hint) if hint is not None else None
        super().__init__(self.what)

    def __str__(self) -> str:
        lines = [self.what if self.model is None else f"{self.model}: {self.what}"]
        lines += [
            f"  {name}: {text}"
            for name, text in (("expected", self.expected), ("found", self.found))
            if text is not None
        ]
        if self.tried:
            lines += ["  tried:", *(f"    - {place}" for place in self.tried)]
        if self.hint is not None:
            lines.append(f"  what to do: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what,), dict(vars(self))  # the state carries all fields, and notes


class ConfigurationError(ModelEnvError, ValueError):
    """A setting, an argument or a name is not valid."""


class ModelNotFoundError(ModelEnvError, FileNotFoundError):
    """The model is not where it was looked for; `tried` lists the places."""


class ModelLoadTimeoutError(ModelEnvError, TimeoutError):
    """The deadline of a load passed; the message says what was being waited for."""


class ModelDownloadError(ModelEnvError, ConnectionError):
    """The Hub could not be reached, or refused, or broke off."""


class ModelIntegrityError(ModelEnvError, ValueError):
    """A model's files are damaged, incomplete, or not what they should be."""


class UnsafeModelError(ModelEnvError, ValueError):
    """Loading the model would run code that came with it: pickled weights, or remote code."""


class LockfileError(ModelEnvError, ValueError):
    """A lock or a volume's metadata cannot be read; the message starts with `path:line`."""


class UnexpectedModelAccessError(ModelEnvError, RuntimeError):
    """A test with fakes reached for a real model. Not an `OSError`, so that no retry loop swallows it."""


class NoSpaceError(ModelEnvError, OSError):
    """The disk that a model should be written to is full."""


class ModelHostError(ModelEnvError, RuntimeError):
    """The process that holds the models for others ended, could not be started, or is not to be trusted."""


class ModelFallbackWarning(UserWarning):
    """A real model could not be loaded, and a fake took its place (`fallback="mock"`)."""
