"""The context of a hosted call: random numbers, the current folder; and attributes, copies, pickles and streams."""

from __future__ import annotations

import copy
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelenv.errors import ModelHostError
from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.proxy import HostedPipeline, own_view
from modelenv.host.recipes import recipe_of
from modelenv.loading.spec import ModelSpec
from modelenv.testing import tiny_model

from .equality import difference

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def pair(client: HostClient) -> Callable[..., tuple[HostedPipeline, Any, list[str]]]:
    """Make a hosted and a local pipeline of a task's tiny model, and the list of reasons for a local load."""

    def make(task: str, **kwargs: Any) -> tuple[HostedPipeline, Any, list[str]]:
        from transformers import pipeline

        folder = tiny_model(task)
        local = pipeline(task, model=str(folder), device="cpu", **kwargs)
        recipe = recipe_of(ModelSpec(folder, task, kwargs, model="acme/tiny", device="cpu"))
        reasons: list[str] = []
        return HostedPipeline(client, recipe, lambda: local, reasons.append), local, reasons

    return make


def test_a_seed_set_in_the_test_applies_in_the_host(pair: Any) -> None:
    import torch
    from transformers import set_seed

    hosted, local, reasons = pair("text-generation")
    call = {"do_sample": True, "max_new_tokens": 8, "num_return_sequences": 3}
    for seed in (torch.manual_seed, set_seed):
        answers = []
        for pipe in (local, hosted):
            seed(7)
            first = pipe("the market", **call)
            drawn = torch.rand(1)  # the test draws from the same numbers in between
            answers.append([first, drawn, pipe("the market", **call), list(pipe((t for t in "ab"), **call))])
        assert difference(*answers) is None
        assert answers[1][0] != answers[1][2]
    assert reasons == []


def test_a_relative_path_is_relative_to_the_current_folder_of_the_test(
    pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    hosted, local, reasons = pair("image-classification")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    monkeypatch.chdir(tmp_path)
    assert hosted("red.png") == local("red.png")
    assert list(hosted(name for name in ["red.png"])) == list(local(name for name in ["red.png"]))
    monkeypatch.chdir("/")
    with pytest.raises(ValueError, match="Incorrect image source"):
        hosted("red.png")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert hosted(str(tmp_path / "red.png")) == local(Image.open(tmp_path / "red.png"))
    monkeypatch.chdir("/")
    assert reasons == []


def test_a_host_works_after_the_folder_it_was_started_in_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model("fill-mask")
    recipe = recipe_of(ModelSpec(folder, "fill-mask", {}, model="acme/tiny", device="cpu"))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as place:
        client = HostClient(HostFolder(Path(place)), watch=os.getpid())
        hosted = HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)
        before = hosted("the [MASK]")
        gone.rmdir()
        for here in (tmp_path, Path("/")):
            monkeypatch.chdir(here)
            assert hosted("the [MASK]") == before
        client.stop()


@pytest.mark.parametrize(
    "read",
    [
        lambda pipe: pipe.device,
        lambda pipe: pipe.model.device,
        lambda pipe: (pipe.dtype, pipe.model.dtype),
        lambda pipe: pipe.framework if hasattr(pipe, "framework") else None,
        lambda pipe: pipe.model.generation_config.max_new_tokens,
        lambda pipe: pipe.model.generation_config.to_dict(),
        lambda pipe: pipe.model.config.to_json_string(),
        lambda pipe: pipe.model.config.vocab_size,
        lambda pipe: pipe.feature_extractor,
        lambda pipe: (bool(pipe), bool(pipe.model), bool(pipe.tokenizer), bool(pipe.model.config)),
        lambda pipe: len(pipe.tokenizer),
        lambda pipe: (pipe.tokenizer.pad_token, pipe.tokenizer.all_special_ids, pipe.tokenizer.vocab_size),
        lambda pipe: dict(pipe.tokenizer(["a b", "c"], padding=True, return_tensors="pt")),
        lambda pipe: type(pipe.tokenizer("a b")).__name__,
        lambda pipe: (pipe.tokenizer("a b").tokens(), pipe.tokenizer("a b").word_ids()),
        lambda pipe: pipe.tokenizer.batch_decode([[1, 2], [3]]),
        lambda pipe: pipe.tokenizer.get_vocab(),
    ],
)  # fmt: skip
def test_attributes_have_the_same_values(pair: Any, read: Callable[[Any], Any]) -> None:
    import torch

    hosted, local, reasons = pair("text-generation")
    expected, found = read(local), read(hosted)
    if isinstance(expected, dict) and any(isinstance(value, torch.Tensor) for value in expected.values()):
        assert difference(expected, found) is None
    else:
        assert found == expected
    assert reasons == []


def test_a_hosted_pipeline_is_an_instance_of_the_same_classes(pair: Any) -> None:
    from transformers import (
        GenerationConfig,
        Pipeline,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        TextGenerationPipeline,
    )

    hosted, _, reasons = pair("text-generation")
    assert isinstance(hosted, Pipeline)
    assert isinstance(hosted, TextGenerationPipeline)
    assert isinstance(hosted, HostedPipeline)
    assert isinstance(hosted.model, PreTrainedModel)
    assert isinstance(hosted.tokenizer, PreTrainedTokenizerBase)
    assert isinstance(hosted.model.generation_config, GenerationConfig)
    assert not isinstance(hosted.tokenizer, Pipeline)
    assert reasons == []


def test_a_copy_is_another_proxy_of_the_same_pipeline(pair: Any) -> None:
    hosted, local, reasons = pair("fill-mask")
    for copied in (copy.copy(hosted), copy.deepcopy(hosted)):
        assert copied is not hosted
        assert copied("the [MASK]") == local("the [MASK]")
    assert reasons == []
    hosted.top_k = 1
    assert type(copy.copy(hosted)) is type(local)
    assert reasons == ["its attribute 'top_k' was set"]


def test_a_pickle_contains_the_local_pipeline(pair: Any) -> None:
    hosted, local, reasons = pair("fill-mask")
    again = pickle.loads(pickle.dumps(hosted))
    assert type(again) is type(local)
    assert again("the [MASK]") == local("the [MASK]")
    assert reasons == ["it was pickled"]
    config = pickle.loads(pickle.dumps(own_view(hosted).model.config))
    assert config.to_dict() == local.model.config.to_dict()
    assert reasons[1:] == ["model.config was pickled"]


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (lambda pipe: pipe.tokenizer.add_tokens(["surge"]), "tokenizer.add_tokens was used"),
        (lambda pipe: pipe.model.eval(), "model.eval was used"),
        (lambda pipe: pipe.model.train(), "model.train was used"),
        (lambda pipe: setattr(pipe, "call_count", 5), "its attribute 'call_count' was set"),
        (lambda pipe: setattr(pipe.tokenizer, "pad_token", "x"), "its attribute 'tokenizer.pad_token' was set"),
        (lambda pipe: delattr(pipe, "call_count"), "its attribute 'call_count' was deleted"),
        (lambda pipe: delattr(pipe.model.config, "id2label"), "its attribute 'model.config.id2label' was deleted"),
        (lambda pipe: pipe.model.state_dict(), "model.state_dict was used"),
        (lambda pipe: pipe.save_pretrained, "save_pretrained was used"),
        (lambda pipe: copy.deepcopy(pipe.model.config), "model.config was copied"),
        (lambda pipe: copy.copy(pipe.model.config), "model.config was copied"),
    ],
)  # fmt: skip
def test_operations_that_could_change_the_model_run_in_this_process(
    client: HostClient, use: Callable[[Any], Any], reason: str
) -> None:
    from transformers import pipeline

    folder = tiny_model("fill-mask")
    recipe = recipe_of(ModelSpec(folder, "fill-mask", {}, model="acme/tiny", device="cpu"))
    reasons: list[str] = []
    hosted = HostedPipeline(
        client, recipe, lambda: pipeline("fill-mask", model=str(folder), device="cpu"), reasons.append
    )

    def state(pipe: HostedPipeline) -> tuple[object, ...]:
        return pipe("the [MASK]"), len(pipe.tokenizer), pipe.tokenizer.pad_token, pipe.model.config.to_dict()

    before = state(hosted)
    use(hosted)
    assert reasons == [reason]
    assert state(own_view(hosted)) == before
    assert reasons == [reason]


def test_values_are_copies_and_calls_are_counted_for_each_proxy(pair: Any) -> None:
    hosted, _, reasons = pair("fill-mask")
    hosted.model.config.id2label[0] = "DAMAGED"
    assert hosted.model.config.id2label[0] != "DAMAGED"
    assert hosted.call_count == 0
    hosted("the [MASK]")
    hosted.predict("the [MASK]")
    assert (hosted.call_count, own_view(hosted).call_count) == (2, 0)
    assert reasons == []


def test_a_memory_error_is_raised_like_other_exceptions(pair: Any) -> None:
    def texts() -> Iterator[str]:
        yield "the [MASK]"
        raise MemoryError("so much")

    hosted, local, _ = pair("fill-mask")
    for pipe in (local, hosted):
        with pytest.raises(MemoryError, match="so much"):
            list(pipe(texts()))
    assert hosted("the [MASK]") == local("the [MASK]")


class OfThisModule(str):
    """A class that the host does not know, or knows in another version."""


def test_an_argument_of_the_users_own_class_loads_the_model_here(pair: Any) -> None:
    hosted, local, reasons = pair("fill-mask")
    assert hosted(OfThisModule("the [MASK]")) == local("the [MASK]")
    reason = f"{__name__}.OfThisModule belongs to the tests or the project"
    assert reasons == [f"a call cannot run in the host: {reason}"]
    with pytest.raises(ModelHostError) as caught:
        list(own_view(hosted)(OfThisModule(text) for text in ["the [MASK]"]))
    assert str(caught.value) == (
        "an item or a result of a stream cannot be sent between the test and the model host\n"
        f"  found: {reason}\n"
        "  what to do: load the model in the test's own process: pytest.mark.integration(host=False)"
    )
    with pytest.raises(ModelHostError, match="cannot pickle 'generator' object"):
        list(own_view(hosted)(item for item in [(x for x in "ab")]))


def test_results_over_a_dataset_can_be_iterated_again(pair: Any) -> None:
    from torch.utils.data import Dataset

    class Texts(Dataset):  # type: ignore[misc,type-arg]
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> str:
            return ["the [MASK]", "a [MASK]", "one [MASK]"][index]

    hosted, local, reasons = pair("fill-mask")
    for batch in (1, 2):
        expected, found = local(Texts(), batch_size=batch), hosted(Texts(), batch_size=batch)
        assert len(found) == len(expected)
        assert list(found) == list(found) == list(expected)
    streams = [pipe(text for text in ["the [MASK]"]) for pipe in (local, hosted)]
    assert [(len(list(stream)), len(list(stream))) for stream in streams] == [(1, 0), (1, 0)]
    with pytest.raises(TypeError):
        len(streams[1])
    # Processes that read the inputs would be forked from the host. So none are started; the results are the same.
    assert list(hosted(Texts(), num_workers=2)) == hosted(list(Texts()), num_workers=2) == list(local(Texts()))
    assert reasons == []


def test_an_abandoned_stream_does_not_block_other_calls(pair: Any) -> None:
    hosted, local, _ = pair("fill-mask")
    results = hosted("the [MASK]" for _ in range(100))
    assert next(iter(results)) == local("the [MASK]")
    del results
    assert hosted("a [MASK]") == local("a [MASK]")
