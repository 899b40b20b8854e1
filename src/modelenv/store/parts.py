"""Checks the files of the other parts of a pipeline: the tokenizer, the processor and the generation settings.

transformers loads a model without some of these files, and then gives different output: a tokenizer without its
vocabulary knows no words, and a model without `generation_config.json` generates with other settings. So these files
are required before a load begins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from modelenv.errors import ModelIntegrityError
from modelenv.files.layouts import CONFIG
from modelenv.store.model_files import ModelFiles, Use

TOKENIZER_CONFIG = "tokenizer_config.json"
GENERATION_CONFIG = "generation_config.json"
PROCESSOR_CONFIG = "processor_config.json"
PREPROCESSOR_CONFIG = "preprocessor_config.json"
VIDEO_CONFIG = "video_preprocessor_config.json"
# The parts that the pipeline of each task loads besides the model (`_load_tokenizer` and so on in its class).
PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "any-to-any": ("processor",),
        "audio-classification": ("feature_extractor",),
        "automatic-speech-recognition": ("feature_extractor", "tokenizer"),
        "decision": ("tokenizer",),
        "depth-estimation": ("image_processor",),
        "document-question-answering": ("tokenizer",),
        "feature-extraction": ("tokenizer",),
        "fill-mask": ("tokenizer",),
        "image-classification": ("image_processor",),
        "image-feature-extraction": ("image_processor",),
        "image-segmentation": ("image_processor",),
        "image-text-to-text": ("processor",),
        "keypoint-matching": ("image_processor",),
        "mask-generation": ("image_processor",),
        "object-detection": ("image_processor",),
        "table-question-answering": ("tokenizer",),
        "text-classification": ("tokenizer",),
        "text-generation": ("tokenizer",),
        "text-to-audio": ("tokenizer",),
        "token-classification": ("tokenizer",),
        "video-classification": ("video_processor",),
        "zero-shot-audio-classification": ("feature_extractor", "tokenizer"),
        "zero-shot-classification": ("tokenizer",),
        "zero-shot-image-classification": ("image_processor", "tokenizer"),
        "zero-shot-object-detection": ("image_processor", "tokenizer"),
    }
)
# Tokenizers that need no vocabulary, because they work on bytes or characters, and the models that use them.
WITHOUT_VOCABULARY = frozenset({"ByT5Tokenizer", "CanineTokenizer", "DiaTokenizer", "PerceiverTokenizer"})
MODELS_WITHOUT_VOCABULARY = frozenset({"canine", "dia", "perceiver"})
_VOCABULARY = re.compile(
    r"tokenizer|vocab|merges|spiece|sentencepiece|spm|bpe|tekken|tiktoken|byte_maps|^dict|\.model$", re.IGNORECASE
)
_NO_VOCABULARY = frozenset({TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json"})
_NOT_DATA = (".py", ".md", ".jinja")
_TOKENIZER_FILE = re.compile(r"tokenizer(\.[\w.-]+)?\.json")  # some repos have one per range of versions
_OTHER_VOCABULARIES = re.compile(r"tekken\.json|.*\.model|.*\.tiktoken")  # convertible to any tokenizer
# Since this version, transformers saves generation_config.json with each model that generates.
_GENERATION_CONFIG_SINCE = (4, 27)
_GENERATING = frozenset(
    {"any-to-any", "automatic-speech-recognition", "document-question-answering", "image-text-to-text",
     "table-question-answering", "text-generation", "text-to-audio"}
)  # fmt: skip
_GENERATES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "ForSpeechSeq2Seq", "ForVision2Seq")
DEFAULT_TEMPLATES = frozenset({"qwen2_audio"})  # their processors use a default chat template if there is none


def check_parts(files: ModelFiles, use: Use) -> None:
    """Check that the parts of the task's pipeline have their files.

    Raises:
        ModelIntegrityError: A part has no files.
    """
    assert use.task is not None  # noqa: S101 - the caller checked it
    config = files.object(CONFIG)
    parts = [part for part in PARTS.get(use.task, ()) if part not in use.given]
    if _needs_tokenizer(use) and not _has_vocabulary(files, use):
        raise _no_vocabulary(files, "a vocabulary such as vocab.txt", use.hint)
    if set(parts) - {"tokenizer"} and not {"image_processor", "feature_extractor"} & set(use.given):
        places = (PREPROCESSOR_CONFIG, PROCESSOR_CONFIG, VIDEO_CONFIG)
        # The configurations of timm's models, and of some others, describe the preprocessing.
        stated = {"pretrained_cfg", "image_processor_type", "feature_extractor_type", "auto_map"} & config.keys()
        if not files.names & set(places) and not stated:
            raise ModelIntegrityError(
                "its preprocessor configuration is missing",
                model=files.model,
                expected=" or ".join(places),
                found=f"none in {files.place}",
                hint=use.hint,
            )


def check_saved_files(files: ModelFiles, use: Use) -> None:
    """Check for files that transformers saves with every such model, and silently does without if they are missing.

    Raises:
        ModelIntegrityError: Such a file is missing, and the Hub did not say that this commit does not have it.
    """
    config = files.object(CONFIG)
    version = _version(config.get("transformers_version"))
    named = config.get("architectures")
    architectures = [str(name) for name in named] if isinstance(named, list) else []
    wanted = []
    if version > (0,) and _needs_tokenizer(use) and not _is_without_vocabulary(files):
        wanted.append(TOKENIZER_CONFIG)
    if use.task in _GENERATING and version >= _GENERATION_CONFIG_SINCE:
        wanted += [GENERATION_CONFIG] if any(name.endswith(_GENERATES) for name in architectures) else []
    if config.get("model_type") in DEFAULT_TEMPLATES and _needs_tokenizer(use) and not _has_template(files):
        wanted.append("chat_template.jinja")
    missing = [name for name in wanted if name not in files.names | files.absent]
    if missing:
        raise ModelIntegrityError(
            "files that are saved with every model of this kind are missing",
            model=files.model,
            expected=" and ".join(missing),
            found=f"none in {files.place}, and no sign that the model has none",
            hint=use.hint,
        )


def check_vocabulary(files: ModelFiles, vocabulary: Mapping[str, str], hint: str | None = None) -> None:
    """Check that a tokenizer was built with a vocabulary: without one, transformers builds a tokenizer without words.

    Args:
        files: The files that the tokenizer was built from.
        vocabulary: The vocabulary files of its class, by argument: its `vocab_files_names`.
        hint: How to get missing files.

    Raises:
        ModelIntegrityError: The vocabulary is missing.
    """
    top = files.top - _NO_VOCABULARY
    if not vocabulary or any(map(_TOKENIZER_FILE.fullmatch, top)) or any(map(_OTHER_VOCABULARIES.fullmatch, top)):
        return
    needed = [vocabulary[name] for name in ("vocab_file", "merges_file") if name in vocabulary]
    if needed and not top.issuperset(needed):
        raise _no_vocabulary(files, " and ".join(needed), hint)
    if not needed and not top & set(vocabulary.values()):
        raise _no_vocabulary(files, "a vocabulary", hint)


def _needs_tokenizer(use: Use) -> bool:
    parts = {part for part in PARTS.get(use.task or "", ()) if part not in use.given}
    return bool(parts & {"tokenizer", "processor"}) and "tokenizer" not in use.given


def _has_vocabulary(files: ModelFiles, use: Use) -> bool:
    if _is_without_vocabulary(files):
        return True
    if use.runs_code and ("auto_map" in files.object(TOKENIZER_CONFIG) or "auto_map" in files.object(CONFIG)):
        return True  # only the model's code knows
    return any(_VOCABULARY.search(name) for name in files.top - _NO_VOCABULARY if not name.endswith(_NOT_DATA))


def _is_without_vocabulary(files: ModelFiles) -> bool:
    config = files.object(CONFIG)
    kind = files.object(TOKENIZER_CONFIG).get("tokenizer_class") or config.get("tokenizer_class")
    if kind is None:
        return config.get("model_type") in MODELS_WITHOUT_VOCABULARY
    return isinstance(kind, str) and kind in WITHOUT_VOCABULARY


def _no_vocabulary(files: ModelFiles, expected: str, hint: str | None) -> ModelIntegrityError:
    return ModelIntegrityError(
        "its tokenizer files are missing",
        model=files.model,
        expected=f"tokenizer.json, or {expected}",
        found=f"none in {files.place}",
        hint=hint,
    )


def _has_template(files: ModelFiles) -> bool:
    stated = (files.object(name) for name in (TOKENIZER_CONFIG, PROCESSOR_CONFIG))
    return any(name.startswith(("chat_template.", "additional_chat_templates/")) for name in files.names) or any(
        each.get("chat_template") is not None for each in stated
    )


def _version(text: object) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", text) if isinstance(text, str) else None
    return (0,) if found is None else (int(found[1]), int(found[2]))
