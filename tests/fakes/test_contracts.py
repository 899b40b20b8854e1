"""The contract: the real pipeline and the fake return the same structure for the same call.

If a release of transformers changes a structure, these tests fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from .cases import CONTRACTS as TEXT_CONTRACTS
from .cases import TEXT_CLASSIFICATION
from .cases.inputs import dataset
from .conftest import HELD
from .contract import Case, Contract
from .media import CONTRACTS as MEDIA_CONTRACTS

CONTRACTS = (*TEXT_CONTRACTS, *MEDIA_CONTRACTS)
IMPOSTORS = {
    "a bare MagicMock": MagicMock,
    "a constant answer": lambda: MagicMock(return_value=[{"label": "A", "score": 0.9}]),
}


def _parameters() -> list[Any]:
    return [
        pytest.param(
            contract,
            case,
            id=f"{contract.task} | {case.name}",
            marks=[pytest.mark.xfail(strict=True, reason=case.differs)] if case.differs else [],
        )
        for contract in CONTRACTS
        for case in contract.cases
    ]


@pytest.mark.integration
@pytest.mark.parametrize(("contract", "case"), _parameters())
def test_the_fake_returns_the_structure_of_the_real_pipeline(
    contract: Contract,
    case: Case,
    real_outcome: Callable[[Contract, Case], str],
    fake: Callable[[Contract], Callable[..., Any]],
    record_property: Callable[[str, object], None],
) -> None:
    expected = real_outcome(contract, case)
    record_property(HELD, contract.task)
    found = contract.outcome(case, fake(contract))
    assert found == expected, f"{contract.task} | {case.name}\n  real: {expected}\n  fake: {found}"


@pytest.mark.integration
@pytest.mark.parametrize("impostor", IMPOSTORS)
@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.task)
def test_the_suite_can_fail(contract: Contract, impostor: str, real_outcome: Callable[[Contract, Case], str]) -> None:
    def build(*_: Any, **__: Any) -> Any:
        return IMPOSTORS[impostor]()

    held = [case.name for case in contract.cases if contract.outcome(case, build) == real_outcome(contract, case)]
    assert len(held) < len(contract.cases) / 4, held


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.task)
def test_a_contract_has_at_least_eight_cases_with_unique_names(contract: Contract) -> None:
    names = Counter(case.name for case in contract.cases)
    assert len(contract.cases) >= 8
    assert names.most_common(1)[0][1] == 1


@pytest.mark.integration
@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.task)
def test_the_pipelines_have_equal_attributes(
    contract: Contract,
    real: Callable[[Contract], Callable[..., Any]],
    fake: Callable[[Contract], Callable[..., Any]],
) -> None:
    expected, found = real(contract)(""), fake(contract)("")
    assert found.task == expected.task == contract.task
    assert str(found.device) == str(expected.device) == found.device.type == "cpu"
    assert repr(found.device) == repr(expected.device)
    for name in ("id2label", "label2id", "num_labels", "architectures", "model_type"):
        assert getattr(found.model.config, name) == getattr(expected.model.config, name), name
    assert repr(found).startswith("Fake" + repr(expected).split(":")[0])


@pytest.mark.integration
@pytest.mark.parametrize("variant", TEXT_CLASSIFICATION.variants)
def test_the_config_equals_that_of_the_real_model(
    variant: str, model_of: Callable[[Contract, str], Path], fake: Callable[[Contract], Callable[..., Any]]
) -> None:
    from transformers import AutoConfig

    expected = AutoConfig.from_pretrained(model_of(TEXT_CLASSIFICATION, variant))
    found = fake(TEXT_CLASSIFICATION)(variant).model.config
    for name in ("id2label", "label2id", "num_labels", "problem_type", "architectures", "model_type"):
        assert getattr(found, name) == getattr(expected, name), name


@pytest.mark.integration
def test_a_stream_behaves_like_the_real_one(
    real: Callable[[Contract], Callable[..., Any]], fake: Callable[[Contract], Callable[..., Any]]
) -> None:
    for build in (real(TEXT_CLASSIFICATION), fake(TEXT_CLASSIFICATION)):
        pipe = build("binary")
        texts = pipe(dataset(["a", "b"]))
        with pytest.raises(AttributeError):
            next(texts)
        assert iter(texts) is texts
        assert len(list(texts)) == len(list(texts)) == 2
        spent = pipe(text for text in "ab")
        assert (len(list(spent)), len(list(spent))) == (2, 0)
