"""The errors that modelenv raises: one base class, and subclasses that also inherit from a builtin exception.

Every error is built from fields, so its message always says what happened, to which model, what was expected and
found, which places were tried, and what to do next. The fields are plain text, so an error can be pickled and sent
to another process unchanged. This module imports nothing from modelenv.
"""

from __future__ import annotations

import re

# The Hub's tokens (`hf_` and 34 letters; `hf_oauth_` and a JSON web token), whatever follows `Bearer`, and the user
# and password of a URL. Shorter words such as `hf_transformers` are not tokens.
_SECRET = re.compile(r"(?<![A-Za-z0-9])hf_(?:[A-Za-z0-9]{16,}|oauth_[\w.-]+)|(?<=[Bb]earer )\S+|(?<=//)[^/\s]+(?=@)")


def redact(text: str, *secrets: str | None) -> str:
    """Replace access tokens in `text` with `***`: everything that looks like a Hub token, and each of `secrets`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _SECRET.sub("***", text)


class ModelEnvError(Exception):
    """The base class of all errors that modelenv raises.

    Args:
        what: What happened, in one sentence without a full stop.
        model: The model's name, if the error is about a model.
        expected: The value or state that would have been correct.
        found: The value or state that was found instead.
        tried: The places or values that were tried, in order.
        hint: What to do next.
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
    """A setting, an argument or a name is invalid."""


class ModelNotFoundError(ModelEnvError, FileNotFoundError):
    """The model was not found; `tried` lists the places that were searched."""


class ModelLoadTimeoutError(ModelEnvError, TimeoutError):
    """A load did not finish before its deadline; the message says what it was waiting for."""


class ModelDownloadError(ModelEnvError, ConnectionError):
    """The Hub could not be reached, refused the request, or broke off the connection."""


class ModelIntegrityError(ModelEnvError, ValueError):
    """A model's files are damaged, incomplete or not the expected ones."""


class UnsafeModelError(ModelEnvError, ValueError):
    """Loading the model would run code that comes with it, such as a pickle, or read files outside of its folder."""


class LockfileError(ModelEnvError, ValueError):
    """A lock or a volume's metadata file is invalid; the message starts with `path:line`."""


class UnexpectedModelAccessError(ModelEnvError, RuntimeError):
    """A test with fakes tried to access a real model. Not an `OSError`, so that retry loops do not swallow it."""


class NoSpaceError(ModelEnvError, OSError):
    """The disk is too full to write the model."""


class ModelHostError(ModelEnvError, RuntimeError):
    """The model host, the process that holds models for others, ended, could not be started or cannot be trusted."""


class ModelFallbackWarning(UserWarning):
    """A real model could not be loaded, so a fake was used instead (`fallback="mock"`)."""
