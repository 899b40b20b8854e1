"""Failed fetches are remembered for all processes of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import (
    ModelDownloadError,
    ModelEnvError,
    ModelIntegrityError,
    ModelLoadTimeoutError,
    ModelNotFoundError,
    NoSpaceError,
    UnsafeModelError,
)
from modelenv.fetching.failures import FailureLog
from modelenv.references import ModelRef

REF = ModelRef("org/name")
DEADLINE = Deadline(60)
KINDS = [
    ModelDownloadError,
    ModelIntegrityError,
    ModelLoadTimeoutError,
    ModelNotFoundError,
    NoSpaceError,
    UnsafeModelError,
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_is_raised_again_with_the_same_message(tmp_path: Path, kind: type[ModelEnvError]) -> None:
    log = FailureLog(tmp_path / "made when needed")
    error = kind("gone", model="org/name", expected="é", found="b", tried=("here", "there"), hint="c")
    log.remember(REF, error, DEADLINE)
    with pytest.raises(kind) as caught:
        log.raise_if_failed(REF, DEADLINE)
    assert str(caught.value) == str(error)
    assert caught.value.tried == ("here", "there")


def test_a_model_that_did_not_fail_is_tried(tmp_path: Path) -> None:
    FailureLog(tmp_path / "missing").raise_if_failed(REF, DEADLINE)
    log = FailureLog(tmp_path)
    log.remember(REF, ModelNotFoundError("gone"), DEADLINE)
    log.raise_if_failed(ModelRef("org/other"), DEADLINE)
    log.raise_if_failed(ModelRef("org/name", "v2"), DEADLINE)


def test_the_last_failure_counts(tmp_path: Path) -> None:
    log = FailureLog(tmp_path)
    log.remember(REF, ModelDownloadError("first"), DEADLINE)
    log.remember(REF, ModelNotFoundError("second"), DEADLINE)
    with pytest.raises(ModelNotFoundError, match="second"):
        log.raise_if_failed(REF, DEADLINE)
    assert len(list(tmp_path.iterdir())) == 1


def test_another_process_raises_it_too(tmp_path: Path) -> None:
    FailureLog(tmp_path).remember(REF, ModelNotFoundError("gone", model="org/name", tried=("the Hub",)), DEADLINE)
    code = (
        "import sys; from pathlib import Path\n"
        "from modelenv.deadlines import Deadline; from modelenv.fetching.failures import FailureLog\n"
        "from modelenv.references import ModelRef\n"
        "try: FailureLog(Path(sys.argv[1])).raise_if_failed(ModelRef('org/name'), Deadline(1))\n"
        "except FileNotFoundError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "org/name: gone\n  tried:\n    - the Hub\n"


def test_a_longer_deadline_is_tried_again(tmp_path: Path) -> None:
    log = FailureLog(tmp_path)
    log.remember(REF, ModelLoadTimeoutError("not loaded within 1 s"), Deadline(1))
    for seconds in (0.5, 1):
        with pytest.raises(ModelLoadTimeoutError):
            log.raise_if_failed(REF, Deadline(seconds))
    log.raise_if_failed(REF, Deadline(2))


def test_allowed_pickles_are_tried_again(tmp_path: Path) -> None:
    log = FailureLog(tmp_path)
    log.remember(REF, UnsafeModelError("its weights are pickled"), DEADLINE)
    with pytest.raises(UnsafeModelError):
        log.raise_if_failed(REF, DEADLINE)
    log.raise_if_failed(REF, DEADLINE, allow_pickle=True)
    log.remember(REF, ModelNotFoundError("gone"), DEADLINE)
    with pytest.raises(ModelNotFoundError):
        log.raise_if_failed(REF, DEADLINE, allow_pickle=True)
