"""The attributes of a fake: its parts, device, dtype, config and tokenizer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from modelenv.fakes import fake_pipeline

from .cases import FILL_MASK, TEXT_GENERATION, ZERO_SHOT_CLASSIFICATION
from .contract import Contract
from .media import sounds
from .test_contracts import CONTRACTS

PARTS = ("tokenizer", "feature_extractor", "image_processor", "processor")
# Whether these are None depends on the model.
OPEN = {
    ("any-to-any", "image_processor"),
    ("image-text-to-text", "feature_extractor"),
    ("document-question-answering", "image_processor"),
    ("document-question-answering", "feature_extractor"),
    ("text-to-audio", "processor"),
}
Build = Callable[[Contract], Callable[..., Any]]
CHAT = [{"role": "user", "content": "What is new?"}]


def is_none(pipe: Any, part: str) -> bool:
    """Whether a part is None. A fake without the part raises AttributeError if the part is not always None."""
    try:
        return getattr(pipe, part) is None
    except AttributeError:
        return False


@pytest.mark.integration
@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.task)
def test_a_part_is_none_if_that_of_the_real_pipeline_is(contract: Contract, real: Build, fake: Build) -> None:
    expected, found = real(contract)(""), fake(contract)("")
    for part in PARTS:
        if (contract.task, part) not in OPEN:
            assert is_none(found, part) == is_none(expected, part), part


@pytest.mark.integration
@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.task)
def test_device_dtype_and_config_equal_the_real_ones(contract: Contract, real: Build, fake: Build) -> None:
    expected, found = real(contract)(""), fake(contract)("")
    assert found.device == found.model.device == expected.device == expected.model.device == found.device
    assert (found.device == "cpu") == (expected.device == "cpu")
    assert found.dtype == found.model.dtype == expected.dtype
    assert (found.model.eval() is found.model) == (expected.model.eval() is expected.model)
    assert found.model.training == expected.model.training
    assert expected.model.config._name_or_path == expected.model.name_or_path
    assert found.model.config._name_or_path == found.model.name_or_path
    theirs = expected.model.config.to_dict()
    assert set(found.model.config.to_dict()) <= set(theirs) | {"num_labels"}
    for name in ("id2label", "label2id", "model_type", "architectures"):  # a real call can set the problem type
        assert found.model.config.to_dict()[name] == theirs[name], name


@pytest.mark.integration
def test_attributes_of_single_tasks_equal_the_real_ones(real: Build, fake: Build) -> None:
    for build in (real, fake):
        assert build(ZERO_SHOT_CLASSIFICATION)("").entailment_id == 2
    [speech] = [contract for contract in sounds.CONTRACTS if contract.task == "text-to-audio"]
    assert fake(speech)("").sampling_rate == real(speech)("").sampling_rate


@pytest.mark.integration
def test_the_tokenizer_returns_the_same_as_the_real_one(real: Build, fake: Build) -> None:
    expected, found = real(TEXT_GENERATION)("").tokenizer, fake(TEXT_GENERATION)("").tokenizer
    assert (found.vocab_size, len(found)) == (expected.vocab_size, len(expected))
    ids = expected.encode("the price of")
    assert found.decode(ids[0]) == expected.decode(ids[0])
    for cleans in (True, False, None):
        assert found.decode(ids, clean_up_tokenization_spaces=cleans) == expected.decode(
            ids, clean_up_tokenization_spaces=cleans
        )
    import torch

    assert found.decode(torch.tensor(ids)) == expected.decode(torch.tensor(ids))
    for call in ({}, {"add_generation_prompt": True}, {"tools": []}, {"chat_template": "{{ messages[0].content }}"}):
        assert found.apply_chat_template(CHAT, tokenize=False, **call) == expected.apply_chat_template(
            CHAT, tokenize=False, **call
        )
    prefilled = [*CHAT, {"role": "assistant", "content": "Not"}]
    for continues in (True, False):
        assert found.apply_chat_template(
            prefilled, tokenize=False, continue_final_message=continues
        ) == expected.apply_chat_template(prefilled, tokenize=False, continue_final_message=continues)


@pytest.mark.integration
@pytest.mark.parametrize("cleans", [True, False, None])
def test_a_decoded_text_is_cleaned_up_like_the_real_one(cleans: bool | None, real: Build, fake: Build) -> None:
    expected, found = real(FILL_MASK)("").tokenizer, fake(FILL_MASK)("").tokenizer
    ids = expected.encode("it is paris , is n't it ? i 'm in the market ' s city . they 've , we 're !")
    assert found.decode(ids, clean_up_tokenization_spaces=cleans) == expected.decode(
        ids, clean_up_tokenization_spaces=cleans
    )


@pytest.mark.integration
def test_a_streamer_of_transformers_can_be_iterated(real: Build, fake: Build) -> None:
    from transformers import TextIteratorStreamer

    for build in (real, fake):
        pipe = build(TEXT_GENERATION)("")
        for skips in (True, False):
            streamer = TextIteratorStreamer(pipe.tokenizer, skip_prompt=skips, skip_special_tokens=True, timeout=60)
            [answer] = pipe("the price of", streamer=streamer, max_new_tokens=6, return_full_text=not skips)
            assert "".join(streamer) == answer["generated_text"]


def test_unsupported_operations_of_a_tokenizer_are_errors_with_a_reason() -> None:
    tokenizer = fake_pipeline("fill-mask").tokenizer
    with pytest.raises(TypeError) as caught:
        tokenizer("a text")
    assert str(caught.value) == (
        "the tokenizer of a fake cannot be called, because the model's files do not contain which arrays it returns. "
        "Use encode"
    )
    with pytest.raises(TypeError, match="a fake can only render a chat template as text: pass tokenize=False"):
        tokenizer.apply_chat_template(CHAT)
    with pytest.raises(ValueError, match="the tokenizer has no chat template"):
        tokenizer.apply_chat_template(CHAT, tokenize=False)
    with pytest.raises(ValueError, match="add_generation_prompt and continue_final_message exclude each other"):
        tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True, continue_final_message=True)


@pytest.mark.parametrize("name", ["preprocess", "forward", "postprocess", "save_pretrained", "dtype", "tokenizer"])
def test_a_missing_attribute_of_a_fake_is_an_error_with_a_reason(name: str) -> None:
    fake = fake_pipeline("text-classification", model="some/model")
    with pytest.raises(AttributeError) as caught:
        getattr(fake, name)
    assert str(caught.value).startswith(f"a fake pipeline has no {name!r}, because it loads no model.")


@pytest.mark.parametrize("name", ["num_parameters", "dtype", "generation_config"])
def test_a_missing_attribute_of_a_model_is_an_error_with_a_reason(name: str) -> None:
    fake = fake_pipeline("text-classification", model="some/model")
    with pytest.raises(AttributeError) as caught:
        getattr(fake.model, name)
    assert str(caught.value) == (
        f"the model of a fake has no {name!r}: it has only the values in config.json, and no weights. If the code "
        "under test needs it, mark the test with @pytest.mark.integration and run pytest with --real-models"
    )


def test_without_torch_device_and_dtype_have_stand_ins() -> None:
    code = (
        "import sys\n"
        "from modelenv.fakes import fake_pipeline\n"
        "fake = fake_pipeline('text-classification', config={'dtype': 'float16'})\n"
        "assert str(fake.device) == fake.device.type == 'cpu' and fake.device.index is None\n"
        "assert repr(fake.device) == \"device(type='cpu')\" and fake.device == fake.model.device != 'cpu'\n"
        "assert fake.dtype == fake.model.dtype == 'torch.float16'\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.integration
def test_a_config_can_use_the_old_name_of_dtype() -> None:
    import torch

    fake = fake_pipeline("text-classification", config={"torch_dtype": "float16"})
    assert fake.dtype is torch.float16
