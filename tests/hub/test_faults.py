from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import pytest

from modelenv.errors import ConfigurationError
from modelenv.hub import EmbeddedHub, FaultHandle, Rule
from modelenv.hub.faults.rules import Asked, RuleFields
from modelenv.hub.faults.script import FaultScript

CONFIG = Asked("GET", "/org/name/resolve/main/config.json", "resolve", "org/name", "config.json")
WEIGHTS = Asked("GET", "/org/name/resolve/main/a/model.safetensors", "resolve", "org/name", "a/model.safetensors")
INFO = Asked("GET", "/api/models/org/name", "info", "org/name")


def hits(rule: Rule, *requests: Asked) -> list[bool]:
    script = FaultScript()
    script.add(rule)
    return [bool(script.choose(asked)) for asked in requests]


def test_names_needed_in_annotations_are_public() -> None:
    handle: FaultHandle = EmbeddedHub().fail(delay=1)
    assert isinstance(handle, FaultHandle)
    assert handle.rule == Rule(delay=1)


def test_the_keywords_are_the_fields_of_a_rule() -> None:
    assert list(RuleFields.__annotations__) == [field.name for field in fields(Rule)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(status=500), [True, True, True]),
        (Rule(status=500, file="*.safetensors"), [False, True, False]),
        (Rule(status=500, kind="info"), [False, False, True]),
        (Rule(status=500, repo="org/*"), [True, True, True]),
        (Rule(status=500, repo="other/*"), [False, False, False]),
        (Rule(status=500, method="post"), [False, False, False]),
        (Rule(status=500, nth=2), [False, True, False]),
        (Rule(status=500, nth=1, file="*"), [True, False, False]),
        (Rule(status=500, times=2), [True, True, False]),
        (Rule(expired_token=True), [False, False, False]),
    ],
)
def test_which_requests_a_rule_matches(rule: Rule, expected: list[bool]) -> None:
    assert hits(rule, CONFIG, WEIGHTS, INFO) == expected


def test_a_fault_of_the_body_does_not_match_a_head() -> None:
    head = Asked("HEAD", CONFIG.path, "resolve", "org/name", "config.json")
    assert hits(Rule(cut_after=1, times=1), head, CONFIG) == [False, True]
    assert hits(Rule(wrong_etag=True, flip_byte=1), head, CONFIG) == [True, True]


def test_expired_token_matches_requests_with_a_token() -> None:
    sent = Asked("GET", CONFIG.path, "resolve", "org/name", "config.json", has_token=True)
    assert hits(Rule(expired_token=True), CONFIG, sent) == [False, True]


def test_rules_apply_in_order_up_to_the_first_response() -> None:
    script = FaultScript()
    delay = script.add(Rule(delay=1))
    answer = script.add(Rule(status=503, times=1))
    behind = script.add(Rule(cut_after=5))
    assert script.choose(CONFIG) == (delay, answer)
    assert script.choose(CONFIG) == (delay, behind)
    assert (delay.fired, answer.fired, behind.fired) == (2, 1, 1)


def test_a_fault_ends_when_it_is_cancelled_and_with_its_block() -> None:
    script = FaultScript()
    with script.add(Rule(status=503)) as handle:
        assert script.choose(CONFIG)
        assert handle.is_set
    assert not script.choose(CONFIG)
    assert not handle.is_set
    handle.cancel()
    assert handle.fired == 1
    assert repr(handle) == "<fault status=503: applied 1 times>"
    script.add(Rule(status=503))
    script.clear()
    assert not script.choose(CONFIG)


def test_seconds_count_from_the_first_affected_request() -> None:
    moments = iter([7.0, 7.9, 8.0])
    script = FaultScript(clock=lambda: next(moments))
    script.add(Rule(status=503, seconds=1, file="*.json"))
    assert not script.choose(WEIGHTS)
    assert script.choose(CONFIG)
    assert script.choose(CONFIG)
    assert not script.choose(CONFIG)


def names(share: float, seed: int, order: list[int]) -> set[tuple[int, int]]:
    """Return which of the 4 requests for each of 50 files are hit if the files are requested in this order."""
    script = FaultScript()
    script.add(Rule(status=503, share=share, seed=seed))
    asked = [Asked("GET", f"/m/resolve/main/{number}", "resolve", "m", str(number)) for number in range(50)]
    return {(number, time) for time in range(4) for number in order if script.choose(asked[number])}


def test_the_same_seed_hits_the_same_requests_in_any_order() -> None:
    order = list(range(50))
    first = names(0.3, 7, order)
    random.Random(1).shuffle(order)
    assert names(0.3, 7, order) == first
    assert names(0.3, 8, order) != first
    assert 30 <= len(first) <= 90  # of 200, 60 expected
    assert names(1.0, 7, order) == {(number, time) for number in range(50) for time in range(4)}


def test_many_threads_are_counted_exactly() -> None:
    script = FaultScript()
    handle = script.add(Rule(status=503, times=100))
    with ThreadPoolExecutor(8) as pool:
        hit = sum(bool(rules) for rules in pool.map(lambda _: script.choose(CONFIG), range(1000)))
    assert hit == handle.fired == 100


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "this fault has no effect\n  expected: one of status, delay, bytes_per_second"),
        ({"file": "*.json"}, "this fault has no effect"),
        ({"status": 200}, "a fault's status is not valid\n  expected: a status from 300 to 599\n  found: 200"),
        ({"status": "500"}, "a fault's status is not valid\n  expected: a number\n  found: '500'"),
        ({"status": True}, "expected: a number"),
        (
            {"status": 500, "nth": 0},
            "a fault's nth is not valid\n  expected: a whole number of at least 1\n  found: 0",
        ),
        ({"status": 500, "nth": 1.5}, "expected: a whole number\n  found: 1.5"),
        (
            {"status": 500, "share": 1.5},
            "a fault's share is not valid\n  expected: a number above 0 and at most 1",
        ),
        ({"delay": -1}, "a fault's delay is not valid\n  expected: a number above 0\n  found: -1"),
        ({"delay": float("nan")}, "expected: a number above 0\n  found: nan"),
        ({"refuse": float("inf")}, "expected: a number above 0\n  found: inf"),
        ({"length_off_by": 0}, "a whole number other than 0"),
        ({"cut_after": -1}, "a whole number of at least 0"),
        ({"reset": 1}, "a fault's reset is not valid\n  expected: true or false\n  found: 1"),
        ({"status": 500, "file": 3}, "a fault's file is not valid\n  expected: text\n  found: 3"),
        ({"status": 500, "kind": "file"}, "a fault's kind is not valid\n  expected: one of info, tree"),
        (
            {"status": 500, "headers": {"a": 1}},
            "a fault's headers is not valid\n  expected: names and values that",
        ),
        ({"status": 500, "headers": {"X A": "b"}}, "expected: names of letters, digits and '-', without Transfer-"),
        ({"status": 500, "headers": {"X-É": "b"}}, "expected: names of letters, digits and '-'"),
        ({"status": 500, "headers": {"": "b"}}, "expected: names of letters, digits and '-'"),
        ({"status": 500, "headers": {"Transfer-Encoding": "x"}}, "without Transfer-Encoding, which the server sets"),
        (
            {"status": 500, "headers": {"X-A": "a\nb"}},
            "expected: values on one line, in Latin-1, without",
        ),
        ({"status": 500, "headers": {"X-A": "日"}}, "expected: values on one line, in Latin-1"),
        ({"status": 500, "headers": {"X-A": " a"}}, "expected: values on one line, in Latin-1"),
        ({"status": 500, "headers": {"content-length": "x"}}, "expected: a Content-Length of at most 18 digits"),
        ({"lying_headers": {"Content-Length": "3"}}, "expected: no Content-Length: use length_off_by for that"),
        (
            {"lying_headers": {"ETag": "a\nb"}},
            "a fault's lying_headers is not valid\n  expected: values on one",
        ),
        ({"lying_fields": {1: "x"}}, "expected: a dictionary of names and JSON values"),
        ({"lying_fields": {"sha": {1, 2}}}, "a fault's lying_fields is not valid\n  expected: a dictionary of"),
        ({"lying_fields": []}, "a fault's lying_fields is not valid"),
        ({"delay": 1, "message": "x"}, "a fault's headers and message require a status\n  found: no status"),
        (
            {"status": 500, "reset": True},
            "these faults exclude each other\n  found: status, reset\n  what to do: give",
        ),
    ],
)
def test_invalid_rules(given: RuleFields, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EmbeddedHub().fail(**given)
    assert message in str(caught.value)
