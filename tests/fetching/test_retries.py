"""When a request is retried, how long the waits are, and when it is given up."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ModelDownloadError, ModelLoadTimeoutError
from modelenv.fetching.monitor import Monitor
from modelenv.fetching.retries import RetryPolicy, with_retries
from modelenv.fetching.trouble import TryAgainError, named_wait

QUICK = RetryPolicy(first=0.001, draw=lambda: 1.0)


def monitor(seconds: float = 10, *, answered: bool = True) -> Monitor:
    return Monitor(Deadline(seconds), "acme/model", answered=answered)


def failing(*errors: TryAgainError) -> Callable[[], str]:
    """Return an action that raises these errors, one at each call, and then succeeds."""
    left = list(errors)

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The requested length of each pause of a monitor, which still pauses."""
    asked: list[float] = []
    pause = Monitor.pause

    def noted(watched: Monitor, seconds: float) -> None:
        asked.append(seconds)
        pause(watched, seconds)

    monkeypatch.setattr(Monitor, "pause", noted)
    return asked


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 01 Jan 2024 00:01:00 GMT"}, 60),
        ({"retry-after": "Mon, 01 Jan 2024 00:01:00 -0000"}, 60),
        ({"retry-after": "Mon, 01 Jan 2018 00:00:00 GMT"}, 0),
        ({"ratelimit": '"api";r=0;t=55', "retry-after": "7"}, 55),
        ({"ratelimit": '"api";r=10;t=55', "retry-after": "7"}, 7),
        ({"ratelimit": '"api";r=10;t=55'}, None),
    ],
)
def test_the_wait_that_a_server_names(headers: dict[str, str], seconds: float | None) -> None:
    assert named_wait(headers, now=lambda: 1_704_067_200) == seconds  # 2024-01-01 in UTC


def test_waits_double_up_to_the_longest_and_half_of_each_is_random() -> None:
    least, most = RetryPolicy(draw=lambda: 0.0), RetryPolicy(draw=lambda: 1.0)
    assert [most.wait(number, None) for number in range(1, 8)] == [0.25, 0.5, 1, 2, 4, 8, 8]
    assert [least.wait(number, None) for number in range(1, 4)] == [0.125, 0.25, 0.5]
    assert (least.wait(3, 7), most.wait(3, 7)) == (7, 7.25)


def test_a_temporary_failure_is_retried() -> None:
    assert with_retries(failing(TryAgainError("a"), TryAgainError("b")), monitor(), QUICK) == "done"


def test_a_request_that_keeps_failing_is_given_up() -> None:
    with pytest.raises(TryAgainError, match="number 5") as caught:
        with_retries(failing(*(TryAgainError(f"number {count}") for count in range(9))), monitor(), QUICK)
    assert caught.value.failures == 6


def test_a_hub_that_never_answered_is_given_up_sooner() -> None:
    errors = [TryAgainError(f"number {count}") for count in range(9)]
    with pytest.raises(TryAgainError, match="number 2"):
        with_retries(failing(*errors), monitor(answered=False), QUICK)


def test_failures_are_counted_per_request() -> None:
    errors = [TryAgainError("503", request=f"GET /{count % 4}") for count in range(20)]
    assert with_retries(failing(*errors), monitor(), QUICK) == "done"
    assert errors[-1].cause == "503 for GET /3"


def test_progress_resets_the_count() -> None:
    watched, errors = monitor(), failing(*(TryAgainError("503") for _ in range(12)))

    def action() -> str:
        watched.count(received=1)
        return errors()

    assert with_retries(action, watched, QUICK) == "done"


def test_a_failure_that_is_retried_only_once() -> None:
    assert with_retries(failing(TryAgainError("a", once=True)), monitor(), QUICK) == "done"
    with pytest.raises(TryAgainError) as caught:
        with_retries(failing(*(TryAgainError("a", once=True) for _ in range(3))), monitor(), QUICK)
    assert caught.value.failures == 2


def test_a_wait_that_the_server_names_is_respected(pauses: list[float]) -> None:
    with_retries(failing(TryAgainError("429", wait=0.3)), monitor(), QUICK)
    assert pauses == [0.3 + QUICK.first]


def test_a_named_wait_beyond_the_deadline_fails_at_once(pauses: list[float]) -> None:
    with pytest.raises(ModelDownloadError) as caught:
        with_retries(failing(TryAgainError("429 Too Many Requests", request="GET /x", wait=300)), monitor(20), QUICK)
    assert pauses == []
    what, *rest = str(caught.value).splitlines()
    assert re.fullmatch("acme/model: the Hub asks to wait 300 s, but only (20|1[0-9]) s are left", what)
    assert rest == [
        "  found: 429 Too Many Requests for GET /x",
        "  what to do: try again after that time, or give the load more time with MODEL_TIMEOUT=<seconds>; "
        "with a token (HF_TOKEN) the limit is higher",
    ]


def test_the_deadline_error_names_the_last_error() -> None:
    errors = [TryAgainError("503 Service Unavailable") for _ in range(99)]
    watched = monitor(0.3)
    with pytest.raises(ModelLoadTimeoutError) as caught:
        with_retries(failing(*errors), watched, RetryPolicy(retries=99, first=0.1))
    assert watched.deadline.remaining == 0
    assert any(error.failures == 0 for error in errors)  # the deadline passed before the retries were used up
    assert "still fetching it (0 bytes received; last error: 503 Service Unavailable)" in str(caught.value)
