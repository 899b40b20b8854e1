"""The contracts of the audio tasks."""

from __future__ import annotations

import warnings
from typing import Any

from ..contract import Args, Case, Contract
from ..structure import describe
from .describing import lengthless, ranked
from .inputs import LOADER_CALLS, SOUNDS, noise

FORMS = ("array", "list", "generator")
CLASSIFIER_CALLS: list[dict[str, Any]] = [
    *({"top_k": top_k} for top_k in (None, 0, 1, 3, 100, -1, 2.0, "x", True)),
    *({"function_to_apply": f} for f in ("softmax", "SIGMOID", "sigmoid", "none", None, "bogus", "", 3)),
    {"unknown": 1},
    *LOADER_CALLS,
]
SHORT = {f"{samples} samples": (lambda samples=samples: noise(samples)) for samples in (10, 100, 320, 330, 400)}


def _cases(calls: list[dict[str, Any]], **call: Any) -> list[Case]:
    cases = [Case(name, make, dict(call)) for name, make in SOUNDS.items()]
    cases += [Case(f"{form} | {kwargs}", SOUNDS[form], {**call, **kwargs}) for kwargs in calls for form in FORMS]
    cases += [
        Case("nothing", Args, dict(call)),
        Case("two inputs", lambda: Args(noise(), 3), dict(call)),
        Case("predict", noise, dict(call), method="predict"),
    ]
    return cases


CLASSIFICATION = Contract(
    "audio-classification",
    (
        *_cases(CLASSIFIER_CALLS),
        *(Case(name, make) for name, make in SHORT.items()),
        *(
            Case(f"{form} built with {build}", SOUNDS[form], build=build)
            for build in ({"top_k": 2}, {"function_to_apply": "none"}, {"function_to_apply": "x"}, {"batch_size": 2})
            for form in FORMS
        ),
    ),
    describe=ranked(5),
)
LABELS = {"candidate_labels": ["a dog", "a cat", "rain"]}
ZERO_SHOT = Contract(
    "zero-shot-audio-classification",
    (
        *_cases(
            [
                *(
                    {"candidate_labels": labels}
                    for labels in ([], None, "ab", ("a", "b"), ["a"], ["a", "a"], [1, 2], 3)
                ),
                *({"hypothesis_template": template} for template in ("{}", "no place", "{} {}", 3, None)),
                {"unknown": 1},
                *LOADER_CALLS,
            ],
            **LABELS,
        ),
        Case("no labels", noise),
        Case("empty array", lambda: noise(0), LABELS),
    ),
    describe=ranked(),
)


def _heard(answer: Any, _: Case) -> str:
    """Describe a transcript: its words depend on random weights, but not the invariants of its chunks."""

    def override(value: Any) -> str | None:
        if isinstance(value, dict) and "chunks" in value:
            rest = {key: item for key, item in value.items() if key != "chunks"}
            return f"{describe(rest, override)} with {_chunks(value['text'], value['chunks'])}"
        return None

    with warnings.catch_warnings():
        # torch warns that a dataset returns more chunks than it has items
        warnings.simplefilter("ignore", UserWarning)
        return describe(answer, override)


def _chunks(text: str, chunks: list[dict[str, Any]]) -> str:
    parts = [chunk["text"] for chunk in chunks]
    times = [time for chunk in chunks for time in chunk.get("timestamp", ())]
    whole = text.strip() in ("".join(parts).strip(), " ".join(parts).strip())
    some = " or ".join(sorted({describe(chunk) for chunk in chunks}))
    return f"chunks of {some}, whole text={whole} in order={times == sorted(times)}"


def _raw(**extra: Any) -> dict[str, Any]:
    return {"raw": noise(), "sampling_rate": 16_000, **extra}


SPEECH_CALLS: list[dict[str, Any]] = [
    *({"return_timestamps": value} for value in ("char", "word", True, False, None, "x")),
    *({"chunk_length_s": value} for value in (0.5, 0, -1, "x", 0.0001)),
    *({"chunk_length_s": 0.5, "stride_length_s": value} for value in (0.1, (0.1, 0.2), [0.1, 0.1], 0.25, 1, (0.1,))),
    *({"return_language": value} for value in (True, False)),
    *({"generate_kwargs": value} for value in ({}, {"max_new_tokens": 3}, 3)),
    *(
        {"stride_length_s": 1},
        {"max_new_tokens": 3},
        {"decoder_kwargs": {}},
        {"unknown": 1},
        {"ignore_warning": True},
    ),
    {"chunk_length_s": 0.5, "return_timestamps": "word"},
    *LOADER_CALLS,
]
SPEECH = Contract(
    "automatic-speech-recognition",
    (
        *_cases(SPEECH_CALLS),
        *(Case(name, make) for name, make in SHORT.items()),
        Case("dict with keys of its own", lambda: _raw(speaker="x", partial=True)),
        Case("dict with a stride", lambda: _raw(stride=(3200, 3200))),
        Case("dict with a stride of nothing", lambda: _raw(stride=(0, 0))),
        Case("dict with too long a stride", lambda: _raw(stride=(10_000, 10_000))),
        Case("dict with is_last", lambda: _raw(is_last=3)),
        *(
            Case(f"{form} built with {build}", SOUNDS[form], build=build)
            for build in ({"return_timestamps": "word"}, {"return_timestamps": True}, {"chunk_length_s": 0.5})
            for form in FORMS
        ),
        Case("built with words, called with characters", noise, {"return_timestamps": "char"},
             {"return_timestamps": "word"}),
    ),
    describe=_heard,
)  # fmt: skip
TEXTS: dict[str, Any] = {
    "text": lambda: "hello there",
    "letter": lambda: "a",
    "capitals and marks": lambda: "A B!",
    "empty text": lambda: "",
    "space": lambda: " ",
    "no letter of the vocabulary": lambda: "日本",
    "list of one": lambda: ["hello"],
    "list": lambda: ["hello", "world is round"],
    "generator": lambda: (text for text in ("hello", "you")),
    "empty list": list,
    "tuple of equal lengths": lambda: ("ab", "cd"),
    "tuple of unequal lengths": lambda: ("a", "bcd"),
    "list of a list": lambda: [["ab", "cd"]],
    "dict": lambda: {"text": "a"},
    "bytes": lambda: b"a",
    "None": lambda: None,
    "number": lambda: 1,
    "list of None": lambda: [None],
    "chat": lambda: [{"role": "user", "content": "x"}],
}
SPOKEN = Contract(
    "text-to-audio",
    (
        *(Case(name, make) for name, make in TEXTS.items()),
        *(
            Case(f"{form} | {call}", TEXTS[form], call)
            for call in (
                *({"forward_params": value} for value in ({}, {"speaker_id": 0}, None, 3)),
                *({"generate_kwargs": value} for value in ({}, None, {"max_new_tokens": 3})),
                *({"preprocess_params": value} for value in ({}, {"padding": True}, None, 3)),
                *({"processor_kwargs": {}}, {"unknown": 1}),
                *LOADER_CALLS,
            )
            for form in ("text", "list", "generator")
        ),
        Case("nothing", Args),
        Case("two inputs", lambda: Args("a", "b")),
        Case("text by name", lambda: Args(text_inputs="hello")),
        Case("built with a rate", TEXTS["text"], build={"sampling_rate": 8000}),
    ),
    describe=lambda answer, _: describe(answer, lengthless),
)
CONTRACTS = (CLASSIFICATION, ZERO_SHOT, SPEECH, SPOKEN)
