"""Values that can be sent to the host, and values that keep a call in the test's process."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelenv.host.client import HostClient
from modelenv.host.messages.call_context import Surroundings
from modelenv.host.messages.pickling import CannotCrossError, crossing
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.loading.spec import ModelSpec
from modelenv.testing import tiny_model


class Own(str):
    """A class of the tests."""


def of_the_tests() -> None:
    """Do nothing, as a function of the tests."""


@pytest.mark.parametrize("value", [Own("x"), [Own], {"a": of_the_tests}], ids=["an object", "a class", "a function"])
def test_the_users_own_code_cannot_be_sent(value: object) -> None:
    with pytest.raises(CannotCrossError, match=r"test_pickling\.\w+ belongs to the tests or the project$"):
        crossing(value)


@pytest.mark.parametrize("value", ["x", decimal.Decimal(1), Path("x"), len, Surroundings(), decimal.getcontext])
def test_values_of_libraries_can_be_sent(value: object) -> None:
    assert crossing(value)


def test_a_value_that_cannot_be_pickled_cannot_be_sent() -> None:
    with pytest.raises(CannotCrossError, match="cannot pickle 'generator' object"):
        crossing(x for x in "ab")


def test_an_image_whose_exif_was_changed_cannot_be_sent() -> None:
    image = pytest.importorskip("PIL.Image").new("RGB", (2, 2))
    assert crossing(image)
    image.getexif()[0x112] = 6
    with pytest.raises(CannotCrossError, match="Exif"):
        crossing([image])


@pytest.fixture
def generates(client: HostClient) -> tuple[HostedPipeline, list[str]]:
    """A hosted pipeline for text generation, and the reasons for which it was loaded in this process."""
    from transformers import pipeline

    folder, reasons = tiny_model("text-generation"), []
    recipe = recipe_of(ModelSpec(folder, "text-generation", {}, model="tiny", device="cpu"))
    return HostedPipeline(
        client, recipe, lambda: pipeline("text-generation", str(folder), device="cpu"), reasons.append
    ), reasons


@pytest.mark.integration
def test_a_streamer_receives_the_tokens_in_this_process(
    generates: tuple[HostedPipeline, list[str]], capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    from transformers import TextStreamer

    pipe, reasons = generates
    answer = pipe("the market", max_new_tokens=5, streamer=TextStreamer(pipe.tokenizer))
    assert "the market" in capsys.readouterr().out
    assert answer
    assert "a call cannot run in the host: a streamer must receive the tokens in the test's process" in reasons


@pytest.mark.integration
def test_datasets_with_and_without_a_length(hosted: HostedPipeline, local: Any) -> None:
    from torch.utils.data import Dataset, IterableDataset

    texts = ["one", "two"]

    class WithoutLength(Dataset):  # type: ignore[misc,type-arg]
        def __getitem__(self, index: int) -> str:
            return texts[index]

    class WithLength(IterableDataset):  # type: ignore[misc,type-arg]
        def __iter__(self) -> Iterator[str]:
            return iter(texts)

        def __len__(self) -> int:
            return 2

    expected, found = (list(pipe(WithoutLength())) for pipe in (local, hosted))
    assert found == expected
    assert len(found) == 2
    expected, found = (len(pipe(WithLength())) for pipe in (local, hosted))
    assert found == expected


@pytest.mark.integration
def test_a_streamer_in_generate_kwargs_runs_in_this_process(client: HostClient) -> None:
    from transformers import TextStreamer

    folder, reasons = tiny_model("image-text-to-text"), []
    recipe = recipe_of(ModelSpec(folder, "image-text-to-text", {}, model="tiny", device="cpu"))
    pipe = HostedPipeline(client, recipe, lambda: lambda **_: "here", reasons.append)
    streamer = TextStreamer(None)  # type: ignore[arg-type]
    assert pipe(text="hello", generate_kwargs={"streamer": streamer}) == "here"
    assert reasons == ["a call cannot run in the host: a streamer must receive the tokens in the test's process"]
