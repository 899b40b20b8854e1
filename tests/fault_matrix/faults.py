"""The rows of the fault matrix: the faults of the Hub, and the deadlines of the loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelenv.hub.faults.rules import RuleFields

# The token that every process of the matrix sends. No text must contain it.
TOKEN = "hf_" + "MatrixSecret" * 3
WEIGHTS = "*.safetensors"
_LONG = 120.0  # for loads that end earlier, even on a busy machine
_SHORT = 1.5  # for loads that end only at the deadline
_ENDLESS = 3600.0  # the seconds of a fault; a load that waited for its end would hang
ESCAPED = "escaped"  # the name of a file that must never be created
_OUT = f"../../../../{ESCAPED}"  # a path next to the store, from the folder of blobs and from a snapshot
_NAMES = [_OUT, "config.json", "model.safetensors"]
_OTHER_COMMIT = "b" * 40
_REDIRECTED = {"Location": f"http://127.0.0.1:9/file?X-Signature={TOKEN}&token={TOKEN}"}


@dataclass(frozen=True)
class Row:
    """A fault.

    Attributes:
        name: The name of the fault in the table.
        rules: The rules of the fault.
        deadline: The deadline of the loads, in seconds.
        quick: Whether the row is part of the fast tests.
    """

    name: str
    rules: tuple[RuleFields, ...]
    deadline: float = _LONG
    quick: bool = False


ROWS = (
    Row("429 once, Retry-After: 1", ({"status": 429, "headers": {"Retry-After": "1"}, "file": WEIGHTS, "times": 1},)),
    Row(
        "429 once, RateLimit: 1 s",
        ({"status": 429, "headers": {"RateLimit": '"api";r=0;t=1'}, "kind": "info", "times": 1},),
    ),
    Row("429, Retry-After beyond the deadline", ({"status": 429, "headers": {"Retry-After": "600"}},), quick=True),
    Row("500 once", ({"status": 500, "file": WEIGHTS, "times": 1},), quick=True),
    Row("503 for 1 s (down)", ({"status": 503, "seconds": 1},)),
    Row("503 always", ({"status": 503},), _SHORT),
    Row("503 to a third of the requests", ({"status": 503, "share": 0.33, "seed": 3},)),
    Row("401 always", ({"status": 401, "message": "Invalid username or password."},)),
    Row("403 to files", ({"status": 403, "kind": "resolve"},)),
    Row("expired token", ({"expired_token": True},), quick=True),
    Row("delay of 0.5 s", ({"delay": 0.5, "file": WEIGHTS, "times": 2},)),
    Row("delay beyond the deadline", ({"delay": _ENDLESS, "file": WEIGHTS},), _SHORT),
    Row("trickle at 400 kB/s", ({"bytes_per_second": 400_000, "file": WEIGHTS},)),
    Row("trickle beyond the deadline", ({"bytes_per_second": 100, "file": WEIGHTS},), _SHORT),
    Row("cut after 100,000 bytes, once", ({"cut_after": 100_000, "file": WEIGHTS, "times": 1},)),
    Row("cut after 100,000 bytes, always", ({"cut_after": 100_000, "file": WEIGHTS},), _SHORT),
    Row(
        "listings cut, once each",
        ({"cut_after": 50, "kind": "info", "times": 1}, {"cut_after": 50, "kind": "tree", "times": 1}),
    ),
    Row("flipped byte, once", ({"flip_byte": 200_000, "file": WEIGHTS, "times": 1},), quick=True),
    Row("flipped byte, always", ({"flip_byte": 200_000, "file": WEIGHTS},), quick=True),
    Row("wrong ETag, once", ({"wrong_etag": True, "method": "HEAD", "file": WEIGHTS, "times": 1},)),
    Row("wrong ETag, always", ({"wrong_etag": True, "file": WEIGHTS},)),
    Row("length too long, once", ({"length_off_by": 10, "method": "GET", "file": WEIGHTS, "times": 1},)),
    Row("length too long, always", ({"length_off_by": 10, "file": WEIGHTS},)),
    Row("length too short, once", ({"length_off_by": -10, "method": "GET", "file": WEIGHTS, "times": 1},)),
    Row("length too short, always", ({"length_off_by": -10, "file": WEIGHTS},)),
    Row("reset without an answer, once", ({"reset": True, "file": WEIGHTS, "times": 1},), quick=True),
    Row("reset without an answer, always", ({"reset": True},)),
    Row("reset in the body, once", ({"reset": True, "cut_after": 100_000, "file": WEIGHTS, "times": 1},)),
    Row("refused for 0.5 s", ({"refuse": 0.5, "file": WEIGHTS, "times": 1},)),
    Row("refused beyond the deadline", ({"refuse": _ENDLESS, "file": WEIGHTS, "times": 1},), _SHORT),
    Row("commit that leads out of the store", ({"lying_fields": {"sha": _OUT}, "kind": "info"},), quick=True),
    Row(
        "commit that leads out of the store, in a header",
        ({"lying_headers": {"X-Repo-Commit": _OUT}, "method": "HEAD", "file": WEIGHTS},),
    ),
    Row("another commit, in a header", ({"lying_headers": {"X-Repo-Commit": _OTHER_COMMIT}, "file": WEIGHTS},)),
    Row(
        "ETag that leads out of the store",
        ({"lying_headers": {"ETag": f'"{_OUT}"', "X-Linked-Etag": f'"{_OUT}"'}, "file": WEIGHTS},),
        quick=True,
    ),
    Row("hash that leads out of the store, in a listing", ({"lying_fields": {"oid": _OUT}, "kind": "tree"},)),
    Row(
        "file name that leads out of the store",
        ({"lying_fields": {"siblings": [{"rfilename": name} for name in _NAMES]}, "kind": "info"},),
    ),
    Row("redirect loop", ({"redirect_loop": True, "file": WEIGHTS},)),
    Row(
        "redirect to a closed port, token in the URL",
        ({"status": 302, "headers": _REDIRECTED, "method": "GET", "file": WEIGHTS},),
        _SHORT,
    ),
)
