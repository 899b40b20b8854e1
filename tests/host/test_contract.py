"""The contract between local and hosted pipelines: equal calls have equal results, to the bit.

The calls are those of the fakes' contract: for each task of transformers' registry about a hundred forms of inputs,
valid and invalid, and of arguments. The same torch seed is set before each. Each hosted call is made twice, because
the host can cache the answer.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from modelenv.deadlines import Deadline
from modelenv.host.builder import HostBuilder
from modelenv.host.client import HostClient
from modelenv.host.client_stream import HostedStream
from modelenv.host.proxy import HostedPipeline, own_view
from modelenv.loading.build import load_pipeline
from modelenv.loading.spec import ModelSpec
from modelenv.testing import tiny_model
from tests.fakes.cases import CONTRACTS as TEXT_CONTRACTS
from tests.fakes.contract import Args, Case, Contract
from tests.fakes.media import CONTRACTS as MEDIA_CONTRACTS

from .conftest import HELD
from .equality import difference, error_difference

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MEDIA_CALLS = 20  # of each task, because images and sounds take long
BUILD = {"device": "cpu", "trust_remote_code": False}


class Outcome:
    """The outcome of a call: its result and torch's random state afterwards, or its error."""

    def __init__(self, build: Callable[[], Any], case: Case) -> None:
        import torch

        self.error: BaseException | None = None
        self.result: Any = None
        self.length: int | str | None = None
        call = deepcopy(case.call)  # the pipelines change some of their arguments
        try:
            pipe = build()
            torch.manual_seed(0)
            made = case.make()
            args = made if isinstance(made, Args) else Args(made)
            self.result = getattr(pipe, case.method)(*args.args, **{**args.kwargs, **call})
            if isinstance(self.result, HostedStream) or "Iterator" in type(self.result).__name__:
                self.length = _length(self.result)
                self.result = list(self.result)
        except Exception as error:  # noqa: BLE001 - the error is the outcome
            self.error = error
            return
        self.random = torch.get_rng_state()

    def differs_from(self, expected: Outcome) -> str | None:
        """Return how the outcome differs, or None."""
        if expected.error is not None and self.error is not None:
            return error_difference(expected.error, self.error)
        if expected.error is not None or self.error is not None:
            return f"{self.error or self.result!r}, not {expected.error or expected.result!r}"
        if self.length != expected.length:
            return f"a length of {self.length}, not {expected.length}"
        if not self.random.equal(expected.random):
            return "another random state of torch"
        return difference(expected.result, self.result)


def _length(stream: Any) -> int | str:
    try:
        return len(stream)
    except TypeError:
        return "none"


class Pair:
    """The local and hosted pipelines of a contract, each built once."""

    def __init__(self, contract: Contract, client: HostClient, models: Callable[[Contract, str], Path]) -> None:
        self.contract = contract
        self.reasons: list[str] = []
        self._models = models
        self._built: dict[str, Any] = {}
        self._hosted_build = HostBuilder(client, lambda _, reason: self.reasons.append(reason))

    def local(self, case: Case) -> Any:
        return self._once("local", case, load_pipeline)

    def hosted(self, case: Case) -> Any:
        pipe = own_view(self._once("hosted", case, self._hosted_build))
        if isinstance(pipe, HostedPipeline):  # avoid a new local build for each call that needs one
            pipe._remote._build_locally = lambda: self.local(case)
        return pipe

    def _once(self, where: str, case: Case, build: Callable[..., Any]) -> Any:
        key = f"{where} {case.variant} {case.build}"
        if key not in self._built:
            folder = self._models(self.contract, case.variant)
            spec = ModelSpec(folder, self.contract.task, deepcopy(case.build), model="tiny", **BUILD)
            self._built[key] = build(spec, Deadline(200))
        return self._built[key]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Contract, str], Path]:
    """Return a function that builds the model of a contract's variant."""
    root = tmp_path_factory.mktemp("tiny")

    def find(contract: Contract, variant: str) -> Path:
        folder = root / contract.task / re.sub(r"\W", "-", variant or "tiny")
        if not folder.exists():
            tiny_model(contract.task, folder)
            if variant:
                contract.variants[variant](folder)
        return folder

    return find


def _compare(pair: Pair, cases: tuple[Case, ...], record: Callable[[str, object], None]) -> None:
    wrong, here = [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a real pipeline warns about many of these calls
        for case in cases:
            reasons = len(pair.reasons)
            expected = Outcome(lambda case=case: pair.local(case), case)  # type: ignore[misc]
            first, again = (Outcome(lambda case=case: pair.hosted(case), case) for _ in range(2))  # type: ignore[misc]
            here += len(pair.reasons) > reasons
            differs = first.differs_from(expected) or again.differs_from(expected)
            if differs is not None:
                wrong.append(f"{case.name}: {differs[:300]}")
    record(HELD, [pair.contract.task, len(cases) - len(wrong), len(cases), here])
    assert wrong == [], "\n".join(wrong)
    streamed = sum("streamer" in f"{case.call} {case.build}" for case in cases)  # these always run in the test
    assert streamed <= here < streamed + max(1, (len(cases) - streamed) / 10), pair.reasons


@pytest.mark.parametrize("contract", TEXT_CONTRACTS, ids=lambda contract: contract.task)
def test_texts(
    contract: Contract,
    client: HostClient,
    models: Callable[[Contract, str], Path],
    one_thread: None,
    record_property: Callable[[str, object], None],
) -> None:
    if contract.needs is not None:
        pytest.importorskip(contract.needs)
    assert len(contract.cases) >= 100
    _compare(Pair(contract, client, models), contract.cases, record_property)


@pytest.mark.parametrize("contract", MEDIA_CONTRACTS, ids=lambda contract: contract.task)
def test_media(
    contract: Contract,
    client: HostClient,
    models: Callable[[Contract, str], Path],
    one_thread: None,
    record_property: Callable[[str, object], None],
) -> None:
    if contract.needs is not None:
        pytest.importorskip(contract.needs)
    step = max(1, len(contract.cases) // MEDIA_CALLS)
    _compare(Pair(contract, client, models), contract.cases[::step][:MEDIA_CALLS], record_property)
