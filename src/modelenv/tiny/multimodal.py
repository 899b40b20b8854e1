"""Tiny real models for the tasks with text and an image or a sound: real architectures with random weights.

Each function writes a folder that `transformers.pipeline` can load. The weights are drawn from torch's random state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.tiny.vocabulary import SPECIAL_TOKENS, byte_tokenizer, vocabulary_size

if TYPE_CHECKING:
    from pathlib import Path

_IMAGE_SIZE = 32
_PATCH_SIZE = 8
_POSITIONS = 512
_SAMPLING_RATE = 16_000
_TOWER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: "
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}{{ '<' ~ part['type'] ~ '>' }}{% endif %}"
    "{% endfor %}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def _save(folder: Path, model: Any, *processors: Any) -> None:
    model.eval()
    model.save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)


def _square() -> dict[str, int]:
    return {"height": _IMAGE_SIZE, "width": _IMAGE_SIZE}


def _token_ids() -> dict[str, int]:
    return {
        "pad_token_id": SPECIAL_TOKENS.index("<pad>"),
        "bos_token_id": SPECIAL_TOKENS.index("<s>"),
        "eos_token_id": SPECIAL_TOKENS.index("</s>"),
    }


def _towers() -> dict[str, Any]:
    """Return the configs of the two towers of a model that embeds images and texts in the same space."""
    text = {"vocab_size": vocabulary_size(), "max_position_embeddings": _POSITIONS, **_TOWER, **_token_ids()}
    vision = {"image_size": _IMAGE_SIZE, "patch_size": _PATCH_SIZE, **_TOWER}
    return {"text_config": text, "vision_config": vision, "projection_dim": 16}


def build_zero_shot_image_classification(folder: Path) -> None:
    """Write a CLIP for images of 32 x 32."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    processor = CLIPImageProcessor(size={"shortest_edge": _IMAGE_SIZE}, crop_size=_square())
    _save(folder, CLIPModel(CLIPConfig(**_towers())), processor, byte_tokenizer(maximum=_POSITIONS))


def build_zero_shot_object_detection(folder: Path) -> None:
    """Write an OWL-ViT with sixteen boxes for each label."""
    from transformers import OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor

    model = OwlViTForObjectDetection(OwlViTConfig(**_towers()))
    _save(folder, model, OwlViTImageProcessor(size=_square()), byte_tokenizer(maximum=_POSITIONS))


def build_document_question_answering(folder: Path) -> None:
    """Write a LayoutLM, which reads words and their positions on a page."""
    from transformers import LayoutLMConfig, LayoutLMForQuestionAnswering

    config = LayoutLMConfig(
        vocab_size=vocabulary_size(),
        max_position_embeddings=_POSITIONS,
        initializer_range=0.5,
        **_TOWER,
        **_token_ids(),
    )
    _save(folder, LayoutLMForQuestionAnswering(config), byte_tokenizer(maximum=_POSITIONS))


def _language_model() -> dict[str, Any]:
    return {
        "vocab_size": vocabulary_size(),
        "max_position_embeddings": _POSITIONS,
        "num_key_value_heads": 2,
        "initializer_range": 0.5,
        **_TOWER,
        **_token_ids(),
    }


def _generation(tokenizer: Any) -> Any:
    """Return a generation config that generates only letters and spaces, 16 tokens by default."""
    from transformers import GenerationConfig

    written = {*tokenizer.convert_tokens_to_ids(list("abcdefghijklmnopqrstuvwxyz")), *_space(tokenizer)}
    return GenerationConfig(
        max_new_tokens=16,
        suppress_tokens=[token for token in range(vocabulary_size()) if token not in written],
        **_token_ids(),
    )


def _space(tokenizer: Any) -> list[int]:
    ids: list[int] = tokenizer(" ", add_special_tokens=False)["input_ids"]
    return ids


def build_image_text_to_text(folder: Path) -> None:
    """Write a LLaVA of a CLIP tower and a Llama, with a chat template."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = byte_tokenizer(maximum=_POSITIONS, add_special_tokens=False)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=_IMAGE_SIZE, patch_size=_PATCH_SIZE, projection_dim=16, **_TOWER),
        text_config=LlamaConfig(**_language_model()),
        image_token_index=SPECIAL_TOKENS.index("<image>"),
        image_seq_length=(_IMAGE_SIZE // _PATCH_SIZE) ** 2,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config = _generation(tokenizer)
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": _IMAGE_SIZE}, crop_size=_square()),
        tokenizer,
        patch_size=_PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the class token of the tower
        chat_template=_CHAT_TEMPLATE,
    )
    _save(folder, model, processor)


def build_any_to_any(folder: Path) -> None:
    """Write a Qwen2-Audio, which converts sound and text to text. Image models need torchvision for this task."""
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioEncoderConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        Qwen2Config,
        WhisperFeatureExtractor,
    )

    tokenizer = byte_tokenizer(maximum=_POSITIONS, add_special_tokens=False)
    encoder = Qwen2AudioEncoderConfig(
        num_mel_bins=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        d_model=16,
        max_source_positions=50,
    )
    config = Qwen2AudioConfig(
        audio_config=encoder,
        text_config=Qwen2Config(**_language_model()),
        audio_token_index=SPECIAL_TOKENS.index("<audio>"),
    )
    model = Qwen2AudioForConditionalGeneration(config)
    model.generation_config = _generation(tokenizer)
    processor = Qwen2AudioProcessor(
        WhisperFeatureExtractor(feature_size=16, sampling_rate=_SAMPLING_RATE, chunk_length=1, n_fft=1024),
        tokenizer,
        chat_template=_CHAT_TEMPLATE,
        audio_token="<audio>",  # noqa: S106 - a token in the vocabulary
    )
    _save(folder, model, processor)
