"""Finds what a load would read from outside of the model's folder because a small file of the model names it.

In production, and for a locked model, everything that is loaded is in the model's folder and is locked. transformers
would fetch the named files from the Hub in their current state, so such a load is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from modelenv.errors import UnsafeModelError
from modelenv.files.layouts import CONFIG
from modelenv.store.model_files import ModelFiles

_TOKENIZER_CONFIG = "tokenizer_config.json"
_PROCESSOR_CONFIG = "processor_config.json"
_PREPROCESSOR_CONFIG = "preprocessor_config.json"
_AUDIO_TOKENIZER = "audio_tokenizer_config.json"
# Models that produce a spectrogram. The pipeline converts it to sound with a vocoder, by default one from the Hub
# (`MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES` of transformers).
SPECTROGRAM_MODELS = frozenset({"FastSpeech2ConformerModel", "SpeechT5ForTextToSpeech"})
_WITH_CODE = (CONFIG, _TOKENIZER_CONFIG, _PROCESSOR_CONFIG, _PREPROCESSOR_CONFIG, "video_preprocessor_config.json")


def check_nothing_outside(
    files: ModelFiles, task: str | None, given: Collection[str], *, runs_code: bool = False
) -> None:
    """Check that loading these files reads nothing else.

    Args:
        files: The model's files.
        task: The task of a pipeline, or None if it is unknown.
        given: The parts of the pipeline that the caller passes.
        runs_code: Whether code that comes with the model is allowed to run.

    Raises:
        UnsafeModelError: Something else would be read. The error says what it is, and which file names it.
    """
    for by, what, remedy in _outside(files, task, given, runs_code):
        raise UnsafeModelError(
            "the load would read something that is not among the model's files",
            model=files.model,
            expected="everything that is loaded is in the model's folder, and locked",
            found=f"{by} in {files.place} names {what}",
            hint=remedy,
        )


def check_tokenizer_inside(files: ModelFiles) -> None:
    """Check that the tokenizer's configuration names no file in another folder.

    Raises:
        UnsafeModelError: The configuration names a file in another folder.
    """
    named = files.object(_TOKENIZER_CONFIG).get("fast_tokenizer_files")
    for name in named if isinstance(named, list) else ():
        if not isinstance(name, str) or "/" in name or "\\" in name:
            raise UnsafeModelError(
                "a file of the model names a tokenizer outside of the model's folder",
                model=files.model,
                expected="names of files in the folder",
                found=f"{files.place}/{_TOKENIZER_CONFIG} names {name!r}",
                hint="do not load this model: whoever can write to that place controls its output",
            )


def _outside(
    files: ModelFiles, task: str | None, given: Collection[str], runs_code: bool
) -> Iterator[tuple[str, str, str]]:
    """Yield for each outside reference: the file that names it, what it is, and what to do about it."""
    config = files.object(CONFIG)
    architectures = config.get("architectures")
    vocal = task == "text-to-audio" and isinstance(architectures, list) and "vocoder" not in given
    if vocal and SPECTROGRAM_MODELS.intersection(map(str, architectures or ())):
        remedy = "load a vocoder from a local folder, and pass it: load_model(..., vocoder=...)"
        yield CONFIG, "a model that needs a vocoder, which would be fetched from the Hub", remedy
    yield from _kernels(config)
    if "processor" not in given:
        yield from _audio_tokenizer(files)
    if "image_processor" not in given:
        for name in (_PREPROCESSOR_CONFIG, _PROCESSOR_CONFIG):
            content = files.object(name)
            nested = content.get("image_processor")
            for stated in (content, nested if isinstance(nested, dict) else {}):
                if isinstance(stated.get("class_info_file"), str):  # OneFormer: the names of its classes
                    place = f"{stated['class_info_file']} of {stated.get('repo_path')}"
                    remedy = "create the image processor yourself, and pass it: load_model(..., image_processor=...)"
                    yield name, place, remedy
    for name in _WITH_CODE if runs_code else ():
        for place in _code(files.object(name).get("auto_map")):
            yield name, f"the code {place!r}", "use a repo that contains its own code"


def _kernels(config: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in ("attn_implementation", "_attn_implementation"):
        stated = config.get(key)
        for value in stated.values() if isinstance(stated, dict) else (stated,):
            if isinstance(value, str) and "/" in value:
                yield CONFIG, f"the kernel {value!r}", f"remove {key} from the model's {CONFIG}"


def _audio_tokenizer(files: ModelFiles) -> Iterator[tuple[str, str, str]]:
    stated = files.object(_PROCESSOR_CONFIG).get("audio_tokenizer")
    for name, content in ((_PROCESSOR_CONFIG, stated), (_AUDIO_TOKENIZER, files.object(_AUDIO_TOKENIZER))):
        place = content.get("audio_tokenizer_name_or_path") if isinstance(content, dict) else None
        if place is not None:
            remedy = "create the processor yourself, and pass it: load_model(..., processor=...)"
            yield name, f"the audio tokenizer {place!r}", remedy


def _code(auto_map: Any) -> Iterator[str]:
    """Yield the classes that are in another repo: `repo--module.Class`."""
    stated = auto_map.values() if isinstance(auto_map, dict) else (auto_map,)
    for value in stated:
        for name in value if isinstance(value, list | tuple) else (value,):
            if isinstance(name, str) and "--" in name:
                yield name
