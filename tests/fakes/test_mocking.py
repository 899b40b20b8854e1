"""A fake is also a mock, with the semantics of `unittest.mock`."""

from __future__ import annotations

from unittest.mock import DEFAULT, MagicMock, call

import pytest

from modelenv.fakes import FakePipeline, fake_pipeline


@pytest.fixture
def fake() -> FakePipeline:
    return fake_pipeline("text-classification", model="some/model")


def test_calls_are_recorded_like_on_a_mock(fake: FakePipeline) -> None:
    mock = MagicMock()
    for callee in (fake, mock):
        callee("a")
        callee(["b"], top_k=None)
        callee(inputs="c")
    assert fake.called is True
    assert fake.call_count == 3
    assert fake.call_args == call(inputs="c")
    assert fake.call_args.kwargs == {"inputs": "c"}
    assert fake.call_args_list == mock.call_args_list == [call("a"), call(["b"], top_k=None), call(inputs="c")]
    assert fake.mock_calls == mock.mock_calls


def test_true_assertions_pass(fake: FakePipeline) -> None:
    fake.assert_not_called()
    fake("a", top_k=2)
    fake.assert_called()
    fake.assert_called_once()
    fake.assert_called_once_with("a", top_k=2)
    fake("b")
    fake.assert_called_with("b")
    fake.assert_any_call("a", top_k=2)
    fake.assert_has_calls([call("a", top_k=2), call("b")])
    fake.assert_has_calls([call("b"), call("a", top_k=2)], any_order=True)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("assert_called_once", (), "Expected 'fake_pipeline' to have been called once. Called 2 times."),
        ("assert_called_with", ("a",), "Expected: fake_pipeline('a')\n  Actual: fake_pipeline('b')"),
        ("assert_called_once_with", ("a",), "Expected 'fake_pipeline' to be called once. Called 2 times."),
        ("assert_any_call", ("c",), "fake_pipeline('c') call not found"),
        ("assert_has_calls", ([call("b"), call("a")],), "Calls not found."),
        ("assert_not_called", (), "Expected 'fake_pipeline' to not have been called. Called 2 times."),
    ],
)
def test_false_assertions_fail(fake: FakePipeline, name: str, arguments: tuple[object, ...], text: str) -> None:
    fake("a")
    fake("b")
    with pytest.raises(AssertionError) as caught:
        getattr(fake, name)(*arguments)
    assert text in str(caught.value)


def test_assert_called_fails_without_a_call(fake: FakePipeline) -> None:
    with pytest.raises(AssertionError, match="Expected 'fake_pipeline' to have been called"):
        fake.assert_called()


def test_a_return_value_overrides_the_computed_answer(fake: FakePipeline) -> None:
    computed = fake("a")
    assert fake.return_value is DEFAULT
    fake.return_value = [{"label": "X", "score": 1.0}]
    fake.when("a").returns("NEGATIVE", 0.9)
    assert fake("a") == fake(["a", "b"]) == fake.return_value == [{"label": "X", "score": 1.0}]
    fake.return_value = None
    assert fake("a") is None
    fake.return_value = DEFAULT
    assert fake("b") != fake("a") == [{"label": "NEGATIVE", "score": 0.9}] != computed


def test_a_side_effect_that_is_an_exception_is_raised(fake: FakePipeline) -> None:
    fake.side_effect = TimeoutError("too slow")
    with pytest.raises(TimeoutError, match="too slow"):
        fake("a")
    assert fake.call_count == 1
    fake.side_effect = None
    assert fake("a")


def test_a_side_effect_can_be_a_function_that_answers_some_calls(fake: FakePipeline) -> None:
    computed = fake("b")

    def answer(text: str, **kwargs: object) -> object:
        return [kwargs] if text == "a" else DEFAULT

    fake.side_effect = answer
    assert fake.side_effect is answer
    assert fake("a", top_k=1) == [{"top_k": 1}]
    assert fake("b") == computed
    fake.return_value = "set"
    assert fake("b") == "set"


def test_a_side_effect_can_be_an_iterable_of_answers(fake: FakePipeline) -> None:
    computed = fake("a")
    fake.side_effect = ["first", DEFAULT, ValueError("third")]
    assert fake("a") == "first"
    assert fake("a") == computed
    with pytest.raises(ValueError, match="third"):
        fake("a")
    with pytest.raises(StopIteration):
        fake("a")


def test_reset_mock_clears_the_calls_and_optionally_the_answers(fake: FakePipeline) -> None:
    computed = fake("a")
    fake.return_value = "set"
    fake.reset_mock()
    assert (fake.called, fake.call_count, fake.call_args, fake.mock_calls) == (False, 0, None, [])
    assert fake("a") == "set"
    fake.side_effect = ["one"]
    fake.reset_mock(return_value=True)
    assert fake.return_value is DEFAULT
    assert fake("a") == "one"
    fake.reset_mock(side_effect=True)
    assert fake("a") == computed


def test_fakes_do_not_share_their_calls(fake: FakePipeline) -> None:
    fake("a")
    fake_pipeline("text-classification", model="some/model").assert_not_called()


@pytest.mark.parametrize("name", ["asert_called", "assert_called_onse", "called_once", "tokenizer"])
def test_an_unknown_name_is_an_error(fake: FakePipeline, name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(fake, name)
    assert str(caught.value) == (
        f"a fake pipeline has no {name!r}, because it loads no model. If the code under test needs it, "
        "mark the test with @pytest.mark.integration and run pytest with --real-models"
    )


def test_a_misspelled_answer_cannot_be_set(fake: FakePipeline) -> None:
    with pytest.raises(AttributeError):
        fake.retrun_value = []


def test_a_wrong_number_of_arguments_is_a_type_error(fake: FakePipeline) -> None:
    for arguments, kwargs in [((), {}), (("a", "b"), {}), (("a",), {"inputs": "b"}), ((), {"text": "a"})]:
        with pytest.raises(TypeError):
            fake(*arguments, **kwargs)
