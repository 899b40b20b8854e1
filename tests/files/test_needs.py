"""What a load needs besides configuration and weights, by task, and what it must not read from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from modelenv.errors import ModelEnvError, ModelIntegrityError, UnsafeModelError
from modelenv.store.model_files import ModelFiles, Use
from modelenv.store.needs import check_base, check_needs, lacking
from modelenv.store.parts import check_vocabulary
from modelenv.tasks import TASKS

SAVED = {"transformers_version": "5.24.0", "architectures": ["BertModel"], "model_type": "bert"}
BERT = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
GPT2 = {"vocab_file": "vocab.json", "merges_file": "merges.txt"}


def files(*names: str, absent: tuple[str, ...] = (), **content: Mapping[str, Any] | list[Any]) -> ModelFiles:
    """A model's files; the keywords are JSON files, with `_json` for `.json`."""
    parsed = {name.removesuffix("_json") + ".json": value for name, value in content.items()}

    def read(name: str, kind: type[Any]) -> Any:
        value = json.loads(json.dumps(parsed.get(name, {})))
        if not isinstance(value, kind):
            raise ModelIntegrityError("a file is damaged", found=name)
        return value

    return ModelFiles("org/name", "HERE", frozenset({*names, *parsed}), read, frozenset(absent))


def refuse(found: ModelFiles, use: Use, kind: type[ModelEnvError] = ModelIntegrityError) -> str:
    with pytest.raises(kind) as caught:
        check_needs(found, use)
    assert type(caught.value) is kind
    return str(caught.value)


TEXT = ["text-classification", "feature-extraction", "text-generation", "table-question-answering", "text-to-audio"]
IMAGE = ["image-classification", "depth-estimation", "mask-generation", "video-classification"]
SOUND = ["audio-classification"]
BOTH = ["automatic-speech-recognition", "zero-shot-image-classification", "image-text-to-text", "any-to-any"]


@pytest.mark.parametrize("task", [*TEXT, *BOTH])
@pytest.mark.parametrize("names", [(), ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")])
def test_a_tokenizer_needs_a_vocabulary(task: str, names: tuple[str, ...]) -> None:
    found = files("preprocessor_config.json", *names, config_json={})
    assert refuse(found, Use(task, hint="do this")) == (
        "org/name: its tokenizer files are missing\n"
        "  expected: tokenizer.json, or a vocabulary such as vocab.txt\n  found: none in HERE\n  what to do: do this"
    )


@pytest.mark.parametrize(
    "name",
    ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "tokenizer.model.v3",
     "sentencepiece.bpe.model", "tekken.json", "qwen.tiktoken", "bpe.codes", "byte_maps.json", "dict.txt",
     "source.spm", "prophetnet.tokenizer", "ice_text.model", "tokenizer.4.0.json"],
)  # fmt: skip
@pytest.mark.parametrize("task", [*TEXT, *BOTH])
def test_any_vocabulary_is_enough(task: str, name: str) -> None:
    check_needs(files(name, "preprocessor_config.json", config_json={}), Use(task))


@pytest.mark.parametrize(
    "name", ["tokenizer.py", "tokenization_x.py", "vocab.md", "bert.jinja", "1_Pooling/vocab.txt"]
)
def test_files_that_are_not_a_vocabulary(name: str) -> None:
    refuse(files(name, config_json={}), Use("fill-mask"))


@pytest.mark.parametrize("task", [*IMAGE, *SOUND, *BOTH])
def test_a_preprocessor_needs_its_configuration(task: str) -> None:
    assert refuse(files("tokenizer.json", config_json={}), Use(task)) == (
        "org/name: its preprocessor configuration is missing\n"
        "  expected: preprocessor_config.json or processor_config.json or video_preprocessor_config.json\n"
        "  found: none in HERE"
    )
    for name in ("preprocessor_config.json", "processor_config.json"):
        check_needs(files("tokenizer.json", name, config_json={}), Use(task))


@pytest.mark.parametrize("key", ["pretrained_cfg", "image_processor_type", "auto_map"])
def test_a_configuration_that_describes_the_preprocessing(key: str) -> None:
    check_needs(files(config_json={key: {}}), Use("image-classification"))


@pytest.mark.parametrize("task", sorted(TASKS))
def test_parts_that_the_caller_passes_need_no_files(task: str) -> None:
    given = {"tokenizer", "processor", "image_processor", "feature_extractor", "video_processor"}
    check_needs(files(config_json=SAVED), Use(task, given, whole=False))


@pytest.mark.parametrize("kind", ["ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer", "DiaTokenizer"])
@pytest.mark.parametrize("place", ["tokenizer_config_json", "config_json"])
@pytest.mark.parametrize("whole", [True, False])
def test_tokenizers_of_bytes_and_characters_need_no_vocabulary(kind: str, place: str, whole: bool) -> None:
    content = {"config_json": SAVED, place: {**SAVED, "tokenizer_class": kind}}
    check_needs(files(**content), Use("feature-extraction", whole=whole))


@pytest.mark.parametrize("kind", ["canine", "perceiver", "dia"])
def test_models_that_have_such_a_tokenizer(kind: str) -> None:
    check_needs(files(config_json={"model_type": kind}), Use("feature-extraction", whole=False))
    refuse(files(config_json={"model_type": kind, "tokenizer_class": "BertTokenizer"}), Use("feature-extraction"))


def test_a_model_with_its_own_code_can_do_without_a_vocabulary() -> None:
    found = files(config_json={}, tokenizer_config_json={"auto_map": {"AutoTokenizer": ["a.B", None]}})
    check_needs(found, Use("fill-mask", runs_code=True))
    refuse(found, Use("fill-mask"))


GENERATES = {**SAVED, "architectures": ["LlamaForCausalLM"]}


@pytest.mark.parametrize(
    ("config", "task", "missing"),
    [
        (SAVED, "fill-mask", "tokenizer_config.json"),
        (GENERATES, "fill-mask", "tokenizer_config.json"),
        (GENERATES, "text-generation", "tokenizer_config.json and generation_config.json"),
        ({**GENERATES, "transformers_version": "4.26.1"}, "text-generation", "tokenizer_config.json"),
        ({**SAVED, "model_type": "qwen2_audio"}, "any-to-any", "tokenizer_config.json and chat_template.jinja"),
    ],
)
def test_files_that_are_saved_with_every_model_are_required_unless_the_set_is_known_to_be_complete(
    config: dict[str, Any], task: str, missing: str
) -> None:
    found = files("tokenizer.json", "processor_config.json", config_json=config)
    check_needs(found, Use(task))
    assert refuse(found, Use(task, whole=False, hint="do this")) == (
        "org/name: files that are saved with every model of this kind are missing\n"
        f"  expected: {missing}\n  found: none in HERE, and no sign that the model has none\n"
        "  what to do: do this"
    )
    names = missing.split(" and ")
    check_needs(files("tokenizer.json", "processor_config.json", *names, config_json=config), Use(task, whole=False))
    known = files("tokenizer.json", "processor_config.json", absent=tuple(names), config_json=config)
    check_needs(known, Use(task, whole=False))


@pytest.mark.parametrize(
    "config", [{}, {"model_type": "bert"}, {"transformers_version": None}, {"transformers_version": "main"}]
)
def test_a_model_without_a_known_version_can_lack_them(config: dict[str, Any]) -> None:
    found = files("vocab.json", "merges.txt", config_json={**config, "architectures": ["GPT2LMHeadModel"]})
    check_needs(found, Use("text-generation", whole=False))


@pytest.mark.parametrize(
    "template",
    [{"names": ["chat_template.json"]}, {"names": ["additional_chat_templates/a.jinja"]},
     {"tokenizer_config_json": {"chat_template": "x"}}, {"processor_config_json": {"chat_template": "x"}}],
)  # fmt: skip
def test_a_chat_template_can_be_in_several_places(template: dict[str, Any]) -> None:
    config = {**SAVED, "model_type": "qwen2_audio"}
    names = ["tokenizer.json", "tokenizer_config.json", "processor_config.json", *template.pop("names", ())]
    check_needs(files(*names, config_json=config, **template), Use("any-to-any", whole=False))


@pytest.mark.parametrize(
    "name", ["generation_config", "tokenizer_config", "preprocessor_config", "special_tokens_map"]
)
def test_a_damaged_file_is_not_ignored(name: str) -> None:
    content = {"config_json": {}, f"{name}_json": []}
    assert "a file is damaged" in refuse(files("tokenizer.json", **content), Use("fill-mask"))


def test_an_adapter_names_its_base() -> None:
    found = files("adapter_model.safetensors", adapter_config_json={"base_model_name_or_path": "meta/base"})
    assert refuse(found, Use("text-generation")) == (
        "org/name: this is an adapter (LoRA or another kind of PEFT) without its base model\n"
        "  expected: a complete model, with config.json and its weights\n"
        "  found: only adapter_config.json in HERE, which names the base meta/base\n"
        "  what to do: merge the two with `merge_and_unload()` of peft, save the result with `save_pretrained` "
        "together with its tokenizer, and use that"
    )
    check_base(files(config_json={}, adapter_config_json={"base_model_name_or_path": "meta/base"}))


OUTSIDE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "an audio tokenizer": (
        {"processor_config_json": {"audio_tokenizer": {"audio_tokenizer_name_or_path": "org/codec"}}},
        "text-to-audio", "processor_config.json in HERE names the audio tokenizer 'org/codec'", "processor",
    ),
    "an audio tokenizer in a file": (
        {"audio_tokenizer_config_json": {"audio_tokenizer_name_or_path": "org/codec"}},
        "text-to-audio", "audio_tokenizer_config.json in HERE names the audio tokenizer 'org/codec'", "processor",
    ),
    "a vocoder": (
        {"config_json": {"architectures": ["SpeechT5ForTextToSpeech"]}},
        "text-to-audio", "config.json in HERE names a model that needs a vocoder", "vocoder",
    ),
    "names of classes": (
        {"preprocessor_config_json": {"class_info_file": "ade.json", "repo_path": "org/data"}},
        "image-segmentation", "preprocessor_config.json in HERE names ade.json of org/data", "image_processor",
    ),
    "nested names of classes": (
        {"processor_config_json": {"image_processor": {"class_info_file": "ade.json", "repo_path": "org/data"}}},
        "image-segmentation", "processor_config.json in HERE names ade.json of org/data", "image_processor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_locked_model_reads_nothing_from_elsewhere(case: str) -> None:
    content, task, found, given = OUTSIDE[case]
    there = files("tokenizer.json", "preprocessor_config.json", **{"config_json": {}, **content})
    said = refuse(there, Use(task, closed=True), UnsafeModelError)
    what, expected, names, hint = said.splitlines()
    assert what == "org/name: the load would read something that is not among the model's files"
    assert expected == "  expected: everything that is loaded is in the model's folder, and locked"
    assert names.startswith(f"  found: {found}")
    assert f"{given}=" in hint
    check_needs(there, Use(task))
    check_needs(there, Use(task, {given}, closed=True))


@pytest.mark.parametrize("value", ["org/kernel", {"": "sdpa", "vision_config": "org/kernel"}])
@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_a_locked_model_loads_no_kernel_of_the_hub(key: str, value: Any) -> None:
    found = files("tokenizer.json", config_json={key: value})
    assert "the kernel 'org/kernel'" in refuse(found, Use("fill-mask", closed=True), UnsafeModelError)
    check_needs(files("tokenizer.json", config_json={key: "sdpa"}), Use("fill-mask", closed=True))


@pytest.mark.parametrize("name", ["config", "tokenizer_config", "processor_config", "preprocessor_config"])
@pytest.mark.parametrize(
    "value", ["org/other--m.C", {"AutoModel": "org/other--m.C"}, {"A": [None, "org/other--m.C"]}]
)
def test_a_locked_model_runs_no_code_of_another_repo(name: str, value: Any) -> None:
    content = {"config_json": {}, f"{name}_json": {"auto_map": value}}
    found = files("tokenizer.json", **content)
    said = refuse(found, Use("fill-mask", runs_code=True, closed=True), UnsafeModelError)
    assert f"{name}.json in HERE names the code 'org/other--m.C'" in said
    check_needs(found, Use("fill-mask", closed=True))  # the code does not run
    check_needs(found, Use("fill-mask", runs_code=True))
    own = {"config_json": {"auto_map": {"AutoModel": "modeling_x.Model"}}}
    check_needs(files("tokenizer.json", **own), Use("fill-mask", runs_code=True, closed=True))


@pytest.mark.parametrize("name", ["/etc/tokenizer.4.0.json", "../tokenizer.4.0.json", "a\\tokenizer.4.0.json", 3])
def test_no_tokenizer_outside_of_the_folder(name: object) -> None:
    found = files("tokenizer.json", config_json={}, tokenizer_config_json={"fast_tokenizer_files": [name]})
    assert f"HERE/tokenizer_config.json names {name!r}" in refuse(found, Use("fill-mask"), UnsafeModelError)
    named = {"fast_tokenizer_files": ["tokenizer.4.0.json", "tokenizer.json"]}
    check_needs(files("tokenizer.json", config_json={}, tokenizer_config_json=named), Use("fill-mask"))


@pytest.mark.parametrize(
    ("vocabulary", "names"),
    [
        ({}, []),
        (BERT, ["vocab.txt"]),
        (BERT, ["tokenizer.json"]),
        (BERT, ["tokenizer.4.0.json"]),
        (BERT, ["tekken.json"]),
        (GPT2, ["vocab.json", "merges.txt"]),
        (GPT2, ["tokenizer.json"]),
        ({"tokenizer_file": "tokenizer.json"}, ["tokenizer.model"]),
        ({"source_spm": "source.spm", "target_spm": "target.spm"}, ["source.spm"]),
    ],
)
def test_a_tokenizer_with_its_vocabulary(vocabulary: dict[str, str], names: list[str]) -> None:
    check_vocabulary(files(*names), vocabulary)


@pytest.mark.parametrize(
    ("vocabulary", "names", "expected"),
    [
        (BERT, ["vocab.json", "merges.txt", "tokenizer_config.json"], "vocab.txt"),
        (GPT2, ["vocab.json"], "vocab.json and merges.txt"),
        (GPT2, ["merges.txt"], "vocab.json and merges.txt"),
        ({"tokenizer_file": "tokenizer.json"}, ["vocab.txt"], "a vocabulary"),
        ({"source_spm": "source.spm", "target_spm": "target.spm"}, ["vocab.json"], "a vocabulary"),
    ],
)
def test_a_tokenizer_without_words(vocabulary: dict[str, str], names: list[str], expected: str) -> None:
    with pytest.raises(ModelIntegrityError) as caught:
        check_vocabulary(files(*names), vocabulary, "do this")
    assert caught.value.expected == f"tokenizer.json, or {expected}"
    assert caught.value.hint == "do this"


def test_named_weights_in_a_listing_are_fetched_too() -> None:
    found = files(config_json={"transformers_weights": "x.safetensors"})
    offered = ["config.json", "model.safetensors", "x.safetensors"]
    assert lacking(found, offered, modules=False) == {"x.safetensors"}
    assert lacking(found, ["config.json"], modules=False) == set()
    pickled = files(pytorch_model_bin_index_json={}, model_safetensors_index_json={})
    assert lacking(pickled, offered, modules=False) == set()
