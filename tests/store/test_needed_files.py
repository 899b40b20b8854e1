"""Which files of a repo are planned, with the listings of real repos."""

from __future__ import annotations

import pytest

from modelenv.errors import ModelIntegrityError, UnsafeModelError
from modelenv.store.needed_files import is_read, plan_files

TEXT = ["config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
NOISE = [".gitattributes", "README.md", "LICENSE.md", "figure.png"]


def shards(stem: str, ending: str, count: int) -> list[str]:
    return [f"{stem}-{number:05}-of-{count:05}{ending}" for number in range(1, count + 1)]


LLAMA = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "LICENSE", "USE_POLICY"]
LLAMA_WEIGHTS = [*shards("model", ".safetensors", 4), "model.safetensors.index.json"]
CASES = {
    "bert": (
        [*TEXT, "model.safetensors"],
        [*NOISE, "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot",
         "coreml/fill-mask/float32_model.mlpackage/Data/com.apple.CoreML/model.mlmodel"],
    ),
    "sharded llama": (
        [*LLAMA, *LLAMA_WEIGHTS],
        [*NOISE, "original/consolidated.00.pth", "original/params.json", "original/tokenizer.model",
         *shards("pytorch_model", ".bin", 2), "pytorch_model.bin.index.json"],
    ),
    "mistral": (
        [*LLAMA, "params.json", "tekken.json", "tokenizer.model.v3", *LLAMA_WEIGHTS],
        [*NOISE, "consolidated.safetensors"],
    ),
    "large mistral": (
        [*LLAMA, *LLAMA_WEIGHTS],
        ["consolidated.safetensors.index.json", *shards("consolidated", ".safetensors", 9)],
    ),
    "fp16 variants": (
        [*TEXT, "model.safetensors"],
        ["model.fp16.safetensors", "pytorch_model.fp16.bin", "model.safetensors.index.fp16.json.md"],
    ),
    "sharded fp16 variants": (
        [*TEXT, *LLAMA_WEIGHTS],
        [*shards("model.fp16", ".safetensors", 2), *shards("model", ".fp16.safetensors", 2)],
    ),
    "shards with names of their own": (
        [*TEXT, *LLAMA_WEIGHTS, "mtp.safetensors", "model-vision.safetensors"],
        ["pytorch_model.bin"],
    ),
    "whole and in shards": (
        [*TEXT, "model.safetensors"],
        LLAMA_WEIGHTS,
    ),
    "onnx": (
        [*TEXT, "model.safetensors"],
        ["onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model.onnx_data", "model.onnx", "openvino/model.xml",
         "openvino/openvino_model.bin"],
    ),
    "adapter beside its base": (
        ["config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json"],
        ["training_args.bin", "optimizer.pt", "scheduler.pt", "runs/Nov01/events.out.tfevents", "README.md"],
    ),
    "sentence-transformers": (
        [*TEXT, "1_Pooling/config.json", "config_sentence_transformers.json", "model.safetensors", "modules.json",
         "sentence_bert_config.json"],
        [*NOISE, "pytorch_model.bin", "train_script.py.md", "tf_model.h5", "openvino/openvino_model.xml"],
    ),
    "code and templates": (
        ["config.json", "model.safetensors", "modeling_x.py", "chat_template.jinja", "more_templates/a.jinja",
         "preprocessor_config.json", "merges.txt", "vocab.json", "spiece.model", "qwen.tiktoken", "voices/a.npy"],
        ["model.gguf"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_only_needed_files_are_planned(case: str) -> None:
    needed, other = CASES[case]
    assert plan_files([*other, *needed], model="org/name") == tuple(sorted(needed))


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_safetensors_are_preferred_even_if_pickles_are_allowed(allow_pickle: bool) -> None:
    names = ["config.json", "model.safetensors", "pytorch_model.bin"]
    assert plan_files(names, model="m", allow_pickle=allow_pickle) == ("config.json", "model.safetensors")


PICKLED = {
    "one file": (["pytorch_model.bin"], ["tf_model.h5", "training_args.bin"]),
    "shards": ([*shards("pytorch_model", ".bin", 2), "pytorch_model.bin.index.json"], ["optimizer.pt"]),
    "another name": (["weights.pt"], []),
    "beside safetensors that transformers does not load": (["pytorch_model.bin"], ["model.fp16.safetensors"]),
}


@pytest.mark.parametrize("case", PICKLED)
def test_pickles_are_planned_only_if_they_are_allowed(case: str) -> None:
    needed, other = PICKLED[case]
    names = ["config.json", *needed, *other]
    assert plan_files(names, model="m", allow_pickle=True) == tuple(sorted(["config.json", *needed]))
    with pytest.raises(UnsafeModelError, match="its weights are pickled"):
        plan_files(names, model="m")


def test_the_error_for_pickles_says_what_to_do() -> None:
    with pytest.raises(UnsafeModelError) as caught:
        plan_files(["config.json", "pytorch_model.bin"], model="org/name", place="https://hub/org/name")
    assert str(caught.value) == (
        "org/name: its weights are pickled, and loading a pickle runs the code in it\n"
        "  expected: safetensors\n"
        "  found: pytorch_model.bin in https://hub/org/name\n"
        "  what to do: use a revision with safetensors, or, if you trust its author, "
        "call load_model(..., allow_pickle=True)"
    )


@pytest.mark.parametrize(
    "names",
    [[], TEXT, ["config.json", "unet/model.safetensors"]],
    ids=["nothing", "tokenizer only", "in a folder only"],
)
@pytest.mark.parametrize("allow_pickle", [False, True])
def test_a_repo_without_weights_is_refused(names: list[str], allow_pickle: bool) -> None:
    with pytest.raises(ModelIntegrityError) as caught:
        plan_files(names, model="org/name", allow_pickle=allow_pickle)
    top = sorted(name for name in names if "/" not in name)
    found = ", ".join(top[:3]) + (f" and {len(top) - 3} more" if len(top) > 3 else "") + " in the repo"
    assert str(caught.value) == (
        "org/name: there are no weights\n  expected: model.safetensors or its shards\n"
        f"  found: {found if top else 'no files in the repo'}\n"
        "  what to do: check the name and the revision; to fetch files for another program, list them as "
        "`files = [...]` in [tool.modelenv.models]"
    )


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_a_repo_in_another_format_says_which(allow_pickle: bool) -> None:
    with pytest.raises(ModelIntegrityError, match="it contains GGUF files, which no transformers pipeline loads"):
        plan_files(["README.md", "model.gguf"], model="org/name", allow_pickle=allow_pickle)


def test_an_adapter_without_its_base_is_refused() -> None:
    with pytest.raises(ModelIntegrityError) as caught:
        plan_files(["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"], model="org/name")
    assert str(caught.value) == (
        "org/name: this is an adapter (LoRA or another kind of PEFT) without its base model\n"
        "  expected: a complete model, with config.json and its weights\n"
        "  found: only adapter_config.json in the repo\n"
        "  what to do: merge the two with `merge_and_unload()` of peft, save the result with `save_pretrained` "
        "together with its tokenizer, and use that"
    )


def test_the_weights_of_an_adapter_are_not_those_of_the_model() -> None:
    with pytest.raises(ModelIntegrityError, match="there are no weights"):
        plan_files(["config.json", "adapter_config.json", "adapter_model.safetensors"], model="org/name")


def test_no_weights_are_required_if_modules_name_them() -> None:
    names = ["modules.json", "0_Transformer/config.json", "0_Transformer/model.safetensors", "README.md"]
    with pytest.raises(ModelIntegrityError, match="there are no weights"):
        plan_files(names, model="org/name")
    assert plan_files(names, model="org/name", modules=True) == ("0_Transformer/config.json", "modules.json")


@pytest.mark.parametrize("name", ["LICENSE", "LICENSE.txt", "docs/NOTICE", "train_log.csv", "trainer_state.json"])
def test_files_for_people_do_not_matter(name: str) -> None:
    assert not is_read(name)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.safetensors", "1_Pooling/config.json"])
def test_files_that_a_load_reads_matter(name: str) -> None:
    assert is_read(name)


def test_names_can_be_any_iterable() -> None:
    assert plan_files(iter(["model.safetensors", "config.json"]), model="m") == ("config.json", "model.safetensors")
