"""The rule of a fault: which requests it applies to, and what happens to them.

`EmbeddedHub.fail(...)` and the tables in a file of faults use the same names.
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
    """The fields of a rule. `Rule` documents them."""

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
    """The properties of a request that rules match."""

    method: str
    path: str
    kind: Kind
    repo: str | None = None
    file: str | None = None
    has_token: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule of one fault. By default, a rule matches every request and has no effect.

    Which requests match:
        method: GET, HEAD, POST and so on.
        kind: "info", "tree", "resolve" or another kind of the request log.
        repo: A glob for the repo id, such as `acme/*`.
        file: A glob for the file's path in its repo. `*` also matches "/".
        nth: Only the nth request, counted from 1, of those that match the fields above, in order of arrival.
        share: A share of these requests, from 0 to 1. It depends only on `seed` and on how often the same method and
            path were requested before, so the choice does not depend on threads or their order.
        seed: The seed for `share`.
        times: The maximum number of affected requests.
        seconds: How long the fault lasts, counted from the first affected request.

    What happens to them:
        status, headers, message: This response is sent instead of the real one. The message has the form of the Hub's
            errors. If the headers contain a wrong Content-Length, the connection is closed after the body.
        delay: Seconds before the first byte.
        bytes_per_second: How fast the body is sent.
        cut_after: The connection is closed after this number of bytes of the body.
        reset: The connection is reset (TCP RST), without a response or, with `cut_after`, after that many bytes.
        flip_byte: The byte at this offset of the file, or of any other body, is changed.
        wrong_etag: ETag and X-Linked-Etag are wrong.
        lying_headers: The real response is sent with these headers replaced or added.
        lying_fields: Every field of this name in the JSON of the real response, at any depth, has this value.
        length_off_by: Content-Length is larger than the body by this number, or smaller if it is negative. Then the
            connection is closed.
        redirect_loop: The response is a redirect to the requested address.
        expired_token: Requests with a token get the response for an expired token. Other requests do not match.
        refuse: All connections are reset, and new ones are refused for this number of seconds.

    Raises:
        ConfigurationError: A value is not valid, the fault has no effect, or two responses exclude each other.
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
                "this fault has no effect", expected=f"one of {', '.join(_EFFECTS)}", found="none of them"
            )
        if self.status is None and (self.headers or self.message):
            raise ConfigurationError("a fault's headers and message require a status", found="no status")
        answers = [name for name in _ANSWERS if self._has(name)]
        answers += ["reset"] if self.reset and self.cut_after is None else []
        if len(answers) > 1:
            raise ConfigurationError(
                "these faults exclude each other", found=", ".join(answers), hint="give each its own rule"
            )

    @property
    def answers(self) -> bool:
        """Whether this fault answers the request itself or resets its connection, so that the Hub does not see it."""
        alone = self.reset and self.cut_after is None
        return alone or any(self._has(name) for name in _ANSWERS)

    def matches(self, asked: Asked) -> bool:
        """Whether the rule matches this request. Matching requests count for `nth`, `share` and `times`."""
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
        # A HEAD has no body: such a fault would not change it, but would use up the count of `times`.
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
# Whole numbers with their minimum; seconds, rates and shares with their maximum. The latter must be above 0.
_COUNTS = {"nth": 1, "times": 1, "seed": 0, "cut_after": 0, "flip_byte": 0, "length_off_by": None, "status": 300}
_MEASURES = {"share": 1.0, "seconds": math.inf, "delay": math.inf, "bytes_per_second": math.inf, "refuse": math.inf}
_LAST_STATUS = 599
# The headers that can be sent (RFC 9110, section 5). Any other header would abort the connection.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([!-~\x80-\xff]+([ \t]+[!-~\x80-\xff]+)*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")


def _is_given(rule: Rule, field: Any) -> bool:
    return bool(getattr(rule, field.name) != field.default)


def _check(name: str, value: object) -> None:
    expected = _expected(name, value)
    if expected is not None:
        raise ConfigurationError(f"a fault's {name} is not valid", expected=expected, found=repr(value))


def _expected(name: str, value: object) -> str | None:
    """Return what was expected, or None if the value is valid."""
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
    return None if is_right else "a dictionary of names and JSON values"


def _expected_headers(value: object, *, may_announce: bool) -> str | None:
    if not hasattr(value, "items") or not all(isinstance(text, str) for pair in value.items() for text in pair):
        return "names and values that are text"
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() == "transfer-encoding":
            return "names of letters, digits and '-', without Transfer-Encoding, which the server sets"
        if name.lower() == "content-length" and not may_announce:
            return "no Content-Length: use length_off_by for that"
        if name.lower() == "content-length" and not _LENGTH.fullmatch(text):
            return "a Content-Length of at most 18 digits"
        if not _HEADER_VALUE.fullmatch(text):
            return "values on one line, in Latin-1, without surrounding spaces"
    return None


def _expected_count(name: str, value: float) -> str | None:
    least = _COUNTS[name]
    if not isinstance(value, int):
        return "a whole number"
    if name == "status" and not 300 <= value <= _LAST_STATUS:
        return f"a status from {least} to {_LAST_STATUS}"
    if name == "length_off_by" and value == 0:
        return "a whole number other than 0"
    return None if least is None or value >= least else f"a whole number of at least {least}"
