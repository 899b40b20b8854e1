"""The error classes: their texts, their base classes, and pickling between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys

import pytest

from modelenv import errors
from modelenv.errors import (
    ConfigurationError,
    LockfileError,
    ModelDownloadError,
    ModelEnvError,
    ModelFallbackWarning,
    ModelHostError,
    ModelIntegrityError,
    ModelLoadTimeoutError,
    ModelNotFoundError,
    NoSpaceError,
    UnexpectedModelAccessError,
    UnsafeModelError,
    redact,
)

CO_PARENTS = {
    ConfigurationError: ValueError,
    LockfileError: ValueError,
    ModelDownloadError: ConnectionError,
    ModelHostError: RuntimeError,
    ModelIntegrityError: ValueError,
    ModelLoadTimeoutError: TimeoutError,
    ModelNotFoundError: FileNotFoundError,
    NoSpaceError: OSError,
    UnexpectedModelAccessError: RuntimeError,
    UnsafeModelError: ValueError,
}
KINDS = sorted(CO_PARENTS, key=lambda kind: kind.__name__)
TOKEN = "hf_" + "abcdEFGH1234" * 3
FIELDS = {
    "model": "org/name",
    "expected": "one thing",
    "found": "another",
    "tried": ("first", "second"),
    "hint": "do it so",
}
TEXT = (
    "org/name: it failed\n  expected: one thing\n  found: another\n  tried:\n    - first\n    - second\n"
    "  what to do: do it so"
)


def test_every_error_of_the_module_is_tested() -> None:
    classes = {item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, ModelEnvError)}
    assert classes == {ModelEnvError, *CO_PARENTS}


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_has_its_builtin_base_and_shows_all_fields(kind: type[ModelEnvError]) -> None:
    error = kind("it failed", **FIELDS)  # type: ignore[arg-type]
    assert isinstance(error, CO_PARENTS[kind])
    assert str(error) == TEXT
    assert error.args == ("it failed",)


def test_only_errors_about_files_or_the_network_are_os_errors() -> None:
    expected = {ModelNotFoundError, ModelLoadTimeoutError, ModelDownloadError, NoSpaceError}
    assert {kind for kind in KINDS if issubclass(kind, OSError)} == expected


def test_an_error_without_fields_is_one_line() -> None:
    assert str(ConfigurationError("it failed")) == "it failed"


@pytest.mark.parametrize("kind", [ModelEnvError, *KINDS])
def test_an_error_pickles_and_copies_with_all_its_fields(kind: type[ModelEnvError]) -> None:
    error = kind("it failed", **FIELDS)  # type: ignore[arg-type]
    error.add_note("seen in a test")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == TEXT
        assert {name: getattr(twin, name) for name in FIELDS} == FIELDS
        assert twin.__notes__ == ["seen in a test"]


def test_errors_from_another_process_are_complete() -> None:
    code = (
        "import pickle, sys\n"
        "from modelenv import errors\n"
        f"made = [getattr(errors, name)('it failed', **{FIELDS!r}) for name in sys.argv[1:]]\n"
        "sys.stdout.buffer.write(pickle.dumps(made))\n"
    )
    names = [kind.__name__ for kind in KINDS]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, check=True, timeout=60)
    made = pickle.loads(done.stdout)
    assert [type(error) for error in made] == KINDS
    assert {str(error) for error in made} == {TEXT}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"401 for {TOKEN}.", "401 for ***."),
        (f"HF_TOKEN={TOKEN}", "HF_TOKEN=***"),
        ("hf_oauth_eyJhbGciOi.eyJzdWIi.sig-nature", "***"),
        ("authorization: Bearer abc.def-123", "authorization: Bearer ***"),
        ("{'authorization': 'bearer abc'}", "{'authorization': 'bearer ***"),
        ("https://user:pass@hub.example/org", "https://***@hub.example/org"),
        ("https://user:p@ss@hub.example/org", "https://***@hub.example/org"),
        ("https://hub.example/org/name@main", "https://hub.example/org/name@main"),
        ("install hf_transfer, see /data/hf_datasets", "install hf_transfer, see /data/hf_datasets"),
    ],
)
def test_only_tokens_are_redacted(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_known_secret_of_any_form_is_redacted() -> None:
    assert redact("sent open sesame to it", "open sesame", None, "") == "sent *** to it"


def test_no_field_of_an_error_shows_a_token() -> None:
    error = ModelDownloadError(TOKEN, model=TOKEN, expected=TOKEN, found=TOKEN, tried=(TOKEN,), hint=TOKEN)
    for shown in (str(error), repr(error), repr(vars(error)), repr(error.args), pickle.dumps(error).decode("latin1")):
        assert TOKEN not in shown
    assert str(error).count("***") == 6


def test_the_fallback_warning_is_a_warning_for_users() -> None:
    assert issubclass(ModelFallbackWarning, UserWarning)
