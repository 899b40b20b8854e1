"""The plugin's markers: read at collection, turned into an environment, or into an error of the test that has them.

Other projects have markers of the same names. So a marker counts only where the test, or the project, uses modelenv.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from pytest_modelenv.options import ModelOptions
from pytest_modelenv.startup import FORCED_SOURCE, NEEDS_REAL_MODELS, forces_a_source, gate_marker, project_texts

T = TypeVar("T")

MODEL_ACCESS = "model_access"
# Why a test cannot run: a marker of it is wrong.
MISTAKE = pytest.StashKey[str]()
# A test with the gate marker, for which that marker has another meaning.
LEFT_ALONE = pytest.StashKey[bool]()
# The closest `model` marker of a test, with what it says, or why it is wrong.
_CALL = pytest.StashKey[tuple[pytest.Mark, "ModelCall | _WrongMark"]]()
_HOSTED = pytest.StashKey[bool]()
_FIXTURES = frozenset(
    ("mock_models", "model", "model_cache_dir", "model_env", "model_hub", "model_hub_server", "model_manager",
     "real_models", "tiny_model")
)  # fmt: skip
_HOME_OF_FIXTURES = "pytest_modelenv.fixtures"
_OTHER_MARKER = (
    "; if the marker has another meaning in your project, choose one for tests that need real models: the ini-option "
    "model_marker"
)
_OWN_OPTIONS = ("forbid_heavy_imports", "model_cache_dir", "model_marker")


@dataclass(frozen=True)
class ModelCall:
    """What a `model` marker says: the arguments for `load_model`."""

    name: str
    task: str | None
    pipeline_kwargs: Mapping[str, Any]


def model(name: str, task: str | None = None, **pipeline_kwargs: Any) -> ModelCall:
    """Return what `pytest.mark.model(...)` with these arguments says."""
    if not isinstance(name, str) or not isinstance(task, str | None):
        raise TypeError("name and task must be text")
    return ModelCall(name, task, pipeline_kwargs)


def model_source(source: str) -> str:
    """Return the value of the source that `pytest.mark.model_source(source)` names."""
    from modelenv.environment.sources import ModelSource
    from modelenv.errors import ConfigurationError

    try:
        return ModelSource.parse(source).value
    except ConfigurationError as error:
        raise TypeError(f"{error.what} {error.found}, expected {error.expected}") from None


def integration(*, host: bool = True) -> bool:
    """Return whether `pytest.mark.integration(...)` with these arguments allows the model host."""
    if not isinstance(host, bool):
        raise TypeError("host must be True or False")
    return host


def model_access() -> None:
    """Take the arguments of `pytest.mark.model_access`, which has none."""


def model_call(node: pytest.Item) -> ModelCall:
    """Return what the closest `model` marker of a test says.

    Raises:
        pytest.UsageError: there is none, or its arguments are wrong.
    """
    call = _read_call(node)
    if call is None:
        raise pytest.UsageError(
            f"{node.nodeid}: the fixture `model` needs the marker @pytest.mark.model(name, task=...) on the test"
        )
    if isinstance(call, _WrongMark):
        raise pytest.UsageError(f"{node.nodeid}: {call}")
    return call


def call_of(item: pytest.Item) -> ModelCall | None:
    """Return what the closest `model` marker of a test says; None for no marker, and for one that is wrong."""
    call = _read_call(item)
    return call if isinstance(call, ModelCall) else None


def _read_call(item: pytest.Item) -> ModelCall | _WrongMark | None:
    """Read the closest `model` marker of a test, once, unless a fixture has added another one since."""
    mark = item.get_closest_marker("model")
    if mark is None:
        return None
    if _CALL not in item.stash or item.stash[_CALL][0] is not mark:
        item.stash[_CALL] = (mark, _reading(mark, model))
    return item.stash[_CALL][1]


def project_uses_models(config: pytest.Config) -> bool:
    """Return whether the project uses modelenv; asked when collection has ended, before modelenv is imported here.

    It does if its `pyproject.toml` names modelenv, if an ini-option of ours is set, if MODEL_SOURCE names a source of
    ours, or if a test file, or what the test files imported, has imported modelenv.
    """
    project, _ = project_texts(config)
    is_imported = "modelenv" in sys.modules
    is_named = "modelenv" in project or any(map(config.getini, _OWN_OPTIONS))
    return is_imported or is_named or forces_a_source(config)


def prepare(item: pytest.Item, options: ModelOptions, *, asked: bool) -> None:
    """Read a collected test's markers; skip the test, or note the source to force, if they ask for it.

    Args:
        item: the test.
        options: what the user asked for.
        asked: whether the project uses modelenv, or the user asked for real models. If not, the gate marker counts
            only on tests that use modelenv themselves: by a fixture, or by the marker `model_source`.
    """
    gate = gate_marker(item.config)
    fixtures = own_fixtures(item)
    read = _readings(item, gate)
    uses = bool(fixtures) or read.source is not None
    # Markers of these two names are common: a wrong one is a mistake only where nobody else's can be meant.
    is_mistake = {"model": "model" in fixtures, gate: uses}
    mistake = next((text for name, text in read.mistakes.items() if is_mistake.get(name, uses or asked)), None)
    source = read.source
    if mistake is not None:
        item.stash[MISTAKE] = mistake
    elif read.hosted is not None and (uses or asked):
        item.stash[_HOSTED] = read.hosted
        if not options.real_models:
            item.add_marker(pytest.mark.skip(reason=NEEDS_REAL_MODELS))
            return
        source = source or options.source.value
    elif item.get_closest_marker(gate) is not None:
        item.stash[LEFT_ALONE] = True
    if source is not None:
        item.stash[FORCED_SOURCE] = source


@dataclass(frozen=True)
class _Readings:
    """What the closest markers of a test say; None for one that is missing, or wrong.

    Attributes:
        source: what `model_source` says.
        hosted: what the gate marker says.
        mistakes: by the names of the markers that are wrong, why.
    """

    source: str | None
    hosted: bool | None
    mistakes: Mapping[str, str]


def _readings(item: pytest.Item, gate: str) -> _Readings:
    closest = {mark.name: mark for mark in reversed(list(item.iter_markers()))}
    mistakes: dict[str, str] = {}

    def good(name: str, said: T | _WrongMark | None) -> T | None:
        if not isinstance(said, _WrongMark):
            return said
        mistakes[name] = f"{said}{_OTHER_MARKER if name == gate else ''}"
        return None

    def read(name: str, signature: Callable[..., T]) -> T | None:
        return good(name, _reading(closest[name], signature)) if name in closest else None

    read(MODEL_ACCESS, model_access)
    good("model", _read_call(item))
    return _Readings(read("model_source", model_source), read(gate, integration), mistakes)


def own_fixtures(item: pytest.Item) -> frozenset[str]:
    """Return the names of the plugin's fixtures that a test uses, itself or through others.

    A fixture of the project's own that has such a name is none of them, unless it uses the plugin's in turn.
    """
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    names = _FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return frozenset(name for name in names if _is_own(name, known.get(name, ())))


def _is_own(name: str, definitions: Iterable[pytest.FixtureDef[Any]]) -> bool:
    for each in reversed(tuple(definitions)):  # the last one is used; it may ask for the one before
        if each.func.__module__ == _HOME_OF_FIXTURES:
            return True
        if name not in each.argnames:
            return False
    return False


def is_hosted(item: pytest.Item) -> bool:
    """Return whether the test's real models may be those of the model host."""
    return item.stash.get(_HOSTED, True)


def planned(items: Iterable[pytest.Item], source: str) -> Iterator[ModelCall]:
    """Yield what the tests that are forced to `source` will ask the model host for, as far as their markers say."""
    for item in items:
        call = call_of(item)
        if (
            call is not None
            and is_hosted(item)
            and item.stash.get(FORCED_SOURCE, None) == source
            and not _is_skipped(item)
        ):
            yield call


def _is_skipped(item: pytest.Item) -> bool:
    """Whether pytest will skip a test for its markers, as far as they say without conditions as text."""
    given = [(*mark.args, mark.kwargs.get("condition")) for mark in item.iter_markers("skipif")]
    holds = any(condition for conditions in given for condition in conditions if not isinstance(condition, str))
    return holds or item.get_closest_marker("skip") is not None


@dataclass(frozen=True)
class _WrongMark:
    """A marker whose arguments are not those of ours, and why."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def _reading(mark: pytest.Mark, signature: Callable[..., T]) -> T | _WrongMark:
    try:
        return signature(*mark.args, **mark.kwargs)
    except TypeError as error:
        said = str(error).replace(f"{signature.__name__}()", f"{mark.name}()", 1)
        return _WrongMark(f"@pytest.mark.{mark.name}: {said}")
