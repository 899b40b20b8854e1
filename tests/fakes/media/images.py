"""The contracts of the tasks with one image or a pair of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..contract import Args, Case, Contract
from .describing import kinds, ranked
from .inputs import IMAGES, LOADER_CALLS, picture, picture_file

FORMS = ("image", "list", "generator", "file")


def _labels(config: dict[str, Any]) -> Callable[[Path], None]:
    """Return a function that changes the labels of the classifier, with random weights."""

    def edit(folder: Path) -> None:
        import torch
        from transformers import ViTConfig, ViTForImageClassification

        found = ViTConfig.from_pretrained(folder).to_dict()
        plain = {key: value for key, value in found.items() if key not in ("id2label", "label2id")}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            ViTForImageClassification(ViTConfig(**{**plain, **config})).save_pretrained(folder)

    return edit


CLASSIFIERS: dict[str, dict[str, Any]] = {
    "one label": {"id2label": {0: "CAT"}},
    "regression": {"num_labels": 1, "problem_type": "regression"},
    "multi-label": {"num_labels": 3, "problem_type": "multi_label_classification"},
    "unnamed labels": {"num_labels": 12},
}
CLASSIFIER_CALLS: list[dict[str, Any]] = [
    *({"top_k": top_k} for top_k in (None, 0, 1, 3, 100, -1, 2.0, "x", True)),
    *({"function_to_apply": f} for f in ("softmax", "SIGMOID", "none", None, "default", "bogus", "", 3, 0, [1])),
    *({"timeout": 1}, {"unknown": 1}, {"top_k": 2, "function_to_apply": "sigmoid"}),
    *LOADER_CALLS,
]


def _no_arguments() -> Args:
    return Args()


def _cases(calls: list[dict[str, Any]], **call: Any) -> list[Case]:
    """Return cases for each form of an image, for each call with some of them, and for invalid inputs."""
    cases = [Case(f"{name} {call or ''}".strip(), make, dict(call)) for name, make in IMAGES.items()]
    cases += [Case(f"{form} | {kwargs}", IMAGES[form], {**call, **kwargs}) for kwargs in calls for form in FORMS]
    cases += [
        Case("nothing", _no_arguments, dict(call)),
        Case("inputs by name", lambda: Args(inputs=picture()), dict(call)),
        Case("images by name", lambda: Args(images=picture()), dict(call)),
        Case("images beside the inputs", lambda: Args(picture(), images=picture(9, 9)), dict(call)),
        Case("two inputs", lambda: Args(picture(), 3), dict(call)),
        Case("predict", picture, dict(call), method="predict"),
        Case("transform", lambda: [picture()], dict(call), method="transform"),
    ]
    return cases


CLASSIFICATION = Contract(
    "image-classification",
    (
        *_cases(CLASSIFIER_CALLS),
        *(
            Case(f"{form} | {call} | {variant}", IMAGES[form], call, variant=variant)
            for variant in CLASSIFIERS
            for form in FORMS[:2]
            for call in ({}, {"top_k": 2}, {"function_to_apply": "softmax"})
        ),
        *(
            Case(f"{form} built with {build}", IMAGES[form], build=build)
            for build in ({"top_k": 2}, {"function_to_apply": "none"}, {"function_to_apply": "x"}, {"batch_size": 2})
            for form in FORMS
        ),
    ),
    describe=ranked(6),
    variants={name: _labels(config) for name, config in CLASSIFIERS.items()},
)
FEATURES = Contract(
    "image-feature-extraction",
    tuple(
        _cases(
            [
                *({"return_tensors": value} for value in (True, "pt", False, None)),
                *({"pool": value} for value in (True, False, 0, None)),
                {"pool": True, "return_tensors": True},
                {"image_processor_kwargs": {}},
                {"image_processor_kwargs": {"do_resize": False}},
                {"image_processor_kwargs": {"size": {"height": 64, "width": 64}}},
                *({"image_processor_kwargs": value} for value in (3, [], False)),
                *({"timeout": 1}, {"unknown": 1}),
                *LOADER_CALLS,
            ]
        )
    ),
)
DEPTH = Contract(
    "depth-estimation",
    (
        *_cases([{"timeout": 1}, {"parameters": {"timeout": 2}}, {"parameters": 3}, {"unknown": 1}, *LOADER_CALLS]),
        *(
            Case(f"{width} x {height}", lambda width=width, height=height: picture(width, height))
            for width, height in ((1, 1), (1, 2), (3, 1), (2, 2))
        ),
        Case("list with one pixel", lambda: [picture(), picture(1, 1)]),
    ),
)
LABELS = {"candidate_labels": ["a cat", "a dog", "a bird"]}
ZERO_SHOT = Contract(
    "zero-shot-image-classification",
    (
        *_cases(
            [
                *(
                    {"candidate_labels": labels}
                    for labels in ([], None, "ab", ("a", "b"), ["a"], ["a", "a"], [1, 2], [None], 3)
                ),
                *({"hypothesis_template": template} for template in ("{}", "no place", "{} {}", 3, None, "")),
                {"tokenizer_kwargs": {"truncation": True}},
                *({"timeout": 1}, {"unknown": 1}),
                *LOADER_CALLS,
            ],
            **LABELS,
        ),
        Case("no labels", picture),
        Case("labels by position", lambda: Args(picture(), ["a", "b"])),
        Case("labels by position for a list", lambda: Args([picture(), picture(9, 9)], ["a", "b"])),
    ),
    describe=ranked(),
)


def _pair() -> tuple[Any, Any]:
    return picture(), picture(40, 60, 1)


PAIRS: dict[str, Callable[[], Any]] = {
    "pair": _pair,
    "pair as a list": lambda: list(_pair()),
    "pair of files": lambda: [picture_file(), picture_file()],
    "list of a pair": lambda: [_pair()],
    "list of pairs": lambda: [_pair(), list(_pair())],
    "tuple of pairs": lambda: (_pair(), _pair()),
    "text of two letters": lambda: "ab",
    "text": lambda: "abc",
    "image": picture,
    "None": lambda: None,
    "number": lambda: 3,
    "empty list": list,
    "empty tuple": tuple,
    "list of one image": lambda: [picture()],
    "list of three images": lambda: [picture(), picture(), picture()],
    "generator": lambda: (pair for pair in [_pair()]),
    "pair and an image": lambda: [_pair(), picture()],
    "pair with a number": lambda: [picture(), 3],
    "list of a pair with a number": lambda: [(picture(), 3)],
    "pair of missing files": lambda: ["a.png", "b.png"],
    "dict": lambda: {"image": picture()},
}
KEYPOINTS = Contract(
    "keypoint-matching",
    (
        *(Case(name, make) for name, make in PAIRS.items()),
        *(
            Case(f"{form} | {call}", PAIRS[form], call)
            for call in (
                *({"threshold": value} for value in (0, -1, 2, None, "x")),
                *({"timeout": 1}, {"unknown": 1}, {"batch_size": 1}),
            )
            for form in ("pair", "list of pairs")
        ),
        Case("nothing", _no_arguments),
        Case("threshold by position", lambda: Args(_pair(), 2.0)),
        Case("inputs by name", lambda: Args(inputs=_pair())),
        *(
            Case(f"list of pairs | {call}", PAIRS["list of pairs"], call)
            for call in ({"batch_size": 0}, {"batch_size": 2}, {"num_workers": -1})
        ),
    ),
    describe=kinds,
)
CONTRACTS = (CLASSIFICATION, FEATURES, DEPTH, ZERO_SHOT, KEYPOINTS)
