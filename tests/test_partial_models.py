"""An incomplete model gives the result of the whole model, bit by bit, or an error.

Each file of every task's tiny model is removed, truncated, or replaced by a broken link. All loads are in this
process.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from modelenv import ConfigurationError, ModelIntegrityError, Settings, SmartModelManager, force_environment
from modelenv.deadlines import Deadline
from modelenv.hub import EmbeddedHub
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store
from modelenv.testing import tiny_model
from modelenv.tiny import BUILDERS
from modelenv.tiny.text import bert_tokenizer

from .host.equality import difference
from .tiny_inputs import answer

pytestmark = pytest.mark.integration

# A truncated text file in a folder that was filled by hand cannot be detected, because its length is unknown.
UNKNOWABLE = {("cut", "vocab.txt"), ("cut", "chat_template.jinja")}


@dataclass(frozen=True)
class Whole:
    """A whole model, its copy in a cache that another program filled, and its results."""

    task: str
    folder: Path
    snapshot: Path
    answer: Any

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    with EmbeddedHub() as hub:
        home = tmp_path_factory.mktemp("hf")
        variables = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": None, "HF_HUB_CACHE": None}
        with force_environment(variables={**variables, "HF_TOKEN": None, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}):
            yield hub


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def whole(request: pytest.FixtureRequest, environ: EmbeddedHub, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The tiny model of one task, and a cache without a listing, as left by older programs and `hf_hub_download`."""
    from huggingface_hub import snapshot_download

    task = request.param
    if task == "table-question-answering":
        pytest.importorskip("pandas")
    folder = tiny_model(task)
    environ.add(folder, f"tiny/{task}")
    cache = tmp_path_factory.mktemp("cache")
    snapshot = Path(snapshot_download(f"tiny/{task}", cache_dir=cache))
    shutil.rmtree(snapshot.parent.parent / "trees")
    return Whole(task, folder, snapshot, answer(load(folder.parent, f"acme/{folder.name}", task, folder), task))


def load(root: Path, name: str, task: str, folder: Path | None = None) -> Any:
    """Load a model by name from a store, or from a folder with transformers only."""
    if folder is not None:
        import transformers

        return transformers.pipeline(task, model=str(folder), device="cpu")
    settings = Settings.load(cache_dir=root, volume_dir=root, timeout=200, device="cpu")
    return SmartModelManager("persistent_volume", settings=settings).load_model(name, task)


def cache_with(whole: Whole, root: Path) -> Path:
    """Copy the cache, and return the snapshot."""
    source = whole.snapshot.parent.parent
    shutil.copytree(source, root / source.name, symlinks=True)
    return root / source.name / "snapshots" / whole.snapshot.name


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    content = path.read_bytes()
    Path(os.path.realpath(path)).write_bytes(content[: len(content) // 2])


def break_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


DAMAGE: dict[str, Callable[[Path], None]] = {"removed": remove, "cut": cut, "broken link": break_link}


def outcome(whole: Whole, root: Path, name: str) -> str | None:
    """Load and call the model. Return how its result differs from the whole model's, or None after our own error."""
    try:
        pipeline = load(root, name, whole.task)
    except ModelIntegrityError:
        return None
    found = answer(pipeline, whole.task)
    if isinstance(found, type) or isinstance(whole.answer, type):
        return None  # no result
    return difference(whole.answer, found)


def test_every_damaged_cache_is_completed_from_the_hub(whole: Whole, tmp_path: Path) -> None:
    for damage in DAMAGE:
        for name in whole.names:
            root = tmp_path / damage / name
            DAMAGE[damage](cache_with(whole, root) / name)
            obtained = find_or_fetch_model(Store(root), ModelRef(f"tiny/{whole.task}"), Deadline(60))
            found = {path.name: path.read_bytes() for path in obtained.path.iterdir()}
            assert found == {path.name: path.read_bytes() for path in whole.folder.iterdir()}, (damage, name)


def test_a_damaged_cache_on_a_volume_gives_the_right_result_or_an_error(whole: Whole, tmp_path: Path) -> None:
    assert outcome(whole, _volume(whole, tmp_path / "whole", by_hand=False), f"tiny/{whole.task}") is None
    wrong = {}
    for damage in DAMAGE:
        for name in whole.names:
            root = tmp_path / damage / name
            DAMAGE[damage](cache_with(whole, root) / name)
            wrong[damage, name] = outcome(whole, root, f"tiny/{whole.task}")
    assert {key: value for key, value in wrong.items() if value} == {}


def _volume(whole: Whole, root: Path, *, by_hand: bool) -> Path:
    if by_hand:
        shutil.copytree(whole.folder, root / "acme" / "model")
    else:
        cache_with(whole, root)
    return root


def test_a_damaged_folder_filled_by_hand_gives_the_right_result_or_an_error(whole: Whole, tmp_path: Path) -> None:
    pipeline = load(_volume(whole, tmp_path / "whole", by_hand=True), "acme/model", whole.task)
    found = answer(pipeline, whole.task)
    assert found == whole.answer if isinstance(found, type) else difference(whole.answer, found) is None
    wrong = {}
    for damage in DAMAGE:
        for name in whole.names:
            if (damage, name) not in UNKNOWABLE:
                root = _volume(whole, tmp_path / damage / name, by_hand=True)
                DAMAGE[damage](root / "acme" / "model" / name)
                wrong[damage, name] = outcome(whole, root, "acme/model")
    assert {key: value for key, value in wrong.items() if value} == {}


@pytest.mark.parametrize("kind", ["ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer"])
def test_tokenizers_without_a_vocabulary_still_load(kind: str, tmp_path: Path) -> None:
    import transformers

    folder = tmp_path / "acme" / "model"
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=60_000, **sizes)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    getattr(transformers, kind)().save_pretrained(folder)
    assert not {"vocab.txt", "tokenizer.json"} & {path.name for path in folder.iterdir()}
    pipeline = load(tmp_path, "acme/model", "text-classification")
    assert type(pipeline.tokenizer).__name__ == kind


def test_a_tokenizer_of_a_processor_has_its_vocabulary_too(tmp_path: Path) -> None:
    """transformers silently creates a processor whose tokenizer has no vocabulary."""
    import transformers

    folder = tmp_path / "acme" / "model"
    text = {"vocab_size": 200, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "encoder_hidden_size": 32}  # fmt: skip
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 16}  # fmt: skip
    config = transformers.BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    processor = transformers.BlipProcessor(transformers.BlipImageProcessorPil(), bert_tokenizer())
    processor.save_pretrained(folder)
    assert load(tmp_path, "acme/model", "image-text-to-text").processor.tokenizer is not None
    shutil.copytree(folder, tmp_path / "other" / "acme" / "model")
    folder = tmp_path / "other" / "acme" / "model"
    (folder / "tokenizer.json").rename(folder / "vocab.bpe")  # looks like a vocabulary, but is not this tokenizer's
    with pytest.raises(ModelIntegrityError) as caught:
        load(tmp_path / "other", "acme/model", "image-text-to-text")
    assert caught.value.what == "its tokenizer files are missing"
    assert caught.value.expected == "tokenizer.json, or vocab.txt"


def test_an_adapter_beside_its_base_needs_peft(tmp_path: Path) -> None:
    """Without peft, transformers silently uses the base model alone."""
    pytest.importorskip("transformers")
    if find_spec("peft"):
        pytest.skip("peft is installed")
    shutil.copytree(tiny_model("fill-mask"), tmp_path / "acme" / "model")
    (tmp_path / "acme/model/adapter_config.json").write_text("{}")
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, "acme/model", "fill-mask")
    assert str(caught.value) == (
        "acme/model: the model comes with an adapter, which needs peft, but peft is not installed\n"
        f"  found: {tmp_path}/acme/model/adapter_config.json\n  what to do: pip install peft"
    )
