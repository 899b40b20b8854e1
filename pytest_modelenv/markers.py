"""The plugin's markers: each is parsed at collection, and gives its test an environment or an error.

Other projects have markers with the same names. So a marker counts only if its test or the project uses modelenv.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from pytest_modelenv.options import ModelOptions
from pytest_modelenv.startup import FORCED_SOURCE, NEEDS_REAL_MODELS, forces_a_source, gate_marker, project_table

T = TypeVar("T")

MODEL_ACCESS = "model_access"
# The error message for a test with an invalid marker.
MISTAKE = pytest.StashKey[str]()
# Set on tests with the gate marker if that marker has another meaning in the project.
LEFT_ALONE = pytest.StashKey[bool]()
# The closest `model` marker of a test, with the parsed call or the reason why it is invalid.
_CALL = pytest.StashKey[tuple[pytest.Mark, "ModelCall | _InvalidMark"]]()
_HOSTED = pytest.StashKey[bool]()
_FIXTURES = frozenset(
    ("mock_models", "model", "model_cache_dir", "model_env", "model_hub", "model_hub_server", "model_manager",
     "real_models", "tiny_model")
)  # fmt: skip
_FIXTURES_MODULE = "pytest_modelenv.fixtures"
_OTHER_MARKER = (
    "; if this marker has another meaning in your project, set the ini-option model_marker to the marker of your "
    "tests that need real models"
)
_OWN_OPTIONS = ("forbid_heavy_imports", "model_cache_dir", "model_marker")


@dataclass(frozen=True)
class ModelCall:
    """The arguments of a `model` marker, for `load_model`."""

    name: str
    task: str | None
    pipeline_kwargs: Mapping[str, Any]


def model(name: str, task: str | None = None, **pipeline_kwargs: Any) -> ModelCall:
    """Parse the arguments of `pytest.mark.model(...)`."""
    if not isinstance(name, str) or not isinstance(task, str | None):
        raise TypeError("name and task must be text")
    return ModelCall(name, task, pipeline_kwargs)


def model_source(source: str) -> str:
    """Parse the argument of `pytest.mark.model_source(...)`, and return the value of the source."""
    from modelenv.environment.sources import ModelSource
    from modelenv.errors import ConfigurationError

    try:
        return ModelSource.parse(source).value
    except ConfigurationError as error:
        raise TypeError(f"{error.what} {error.found}, expected {error.expected}") from None


def integration(*, host: bool = True) -> bool:
    """Parse the arguments of `pytest.mark.integration(...)`, and return whether the model host is allowed."""
    if not isinstance(host, bool):
        raise TypeError("host must be True or False")
    return host


def model_access() -> None:
    """Parse the arguments of `pytest.mark.model_access`: it takes none."""


def model_call(node: pytest.Item) -> ModelCall:
    """Return the arguments of a test's closest `model` marker.

    Raises:
        pytest.UsageError: The test has no such marker, or its arguments are invalid.
    """
    call = _parse_call(node)
    if call is None:
        raise pytest.UsageError(
            f"{node.nodeid}: the fixture `model` needs the marker @pytest.mark.model(name, task=...) on the test"
        )
    if isinstance(call, _InvalidMark):
        raise pytest.UsageError(f"{node.nodeid}: {call}")
    return call


def call_of(item: pytest.Item) -> ModelCall | None:
    """Return the arguments of a test's closest `model` marker, or None if there is no valid one."""
    call = _parse_call(item)
    return call if isinstance(call, ModelCall) else None


def _parse_call(item: pytest.Item) -> ModelCall | _InvalidMark | None:
    """Parse the closest `model` marker of a test, once, unless a fixture has added another one since."""
    mark = item.get_closest_marker("model")
    if mark is None:
        return None
    if _CALL not in item.stash or item.stash[_CALL][0] is not mark:
        item.stash[_CALL] = (mark, _parse(mark, model))
    return item.stash[_CALL][1]


def project_uses_models(config: pytest.Config) -> bool:
    """Return whether the project uses modelenv. Call this after collection, before the plugin imports modelenv.

    It does if its `pyproject.toml` has a table `[tool.modelenv]`, if one of the ini-options below is set, if
    MODEL_SOURCE is one of modelenv's sources, or if the test files have imported modelenv, directly or through other
    modules. To depend on modelenv, and so to install the plugin, is not enough.
    """
    is_imported = "modelenv" in sys.modules
    is_configured = project_table(config) is not None or any(map(config.getini, _OWN_OPTIONS))
    return is_imported or is_configured or forces_a_source(config)


def prepare(item: pytest.Item, options: ModelOptions, *, asked: bool) -> None:
    """Parse a collected test's markers, and skip the test or store the source to force, as they say.

    Args:
        item: The test.
        options: The user's options.
        asked: Whether the project uses modelenv or the user asked for real models. If not, the gate marker counts
            only on tests that use modelenv themselves, through a fixture or the marker `model_source`.
    """
    gate = gate_marker(item.config)
    fixtures = own_fixtures(item)
    read = _parse_markers(item, gate)
    uses = bool(fixtures) or read.source is not None
    # Markers with these two names are common. An invalid one is an error only if it must be modelenv's.
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
class _Markers:
    """The values of a test's closest markers. None for a marker that is missing or invalid.

    Attributes:
        source: The source in `model_source`.
        hosted: Whether the gate marker allows the model host.
        mistakes: The error messages of invalid markers, by marker name.
    """

    source: str | None
    hosted: bool | None
    mistakes: Mapping[str, str]


def _parse_markers(item: pytest.Item, gate: str) -> _Markers:
    closest = {mark.name: mark for mark in reversed(list(item.iter_markers()))}
    mistakes: dict[str, str] = {}

    def good(name: str, said: T | _InvalidMark | None) -> T | None:
        if not isinstance(said, _InvalidMark):
            return said
        mistakes[name] = f"{said}{_OTHER_MARKER if name == gate else ''}"
        return None

    def read(name: str, signature: Callable[..., T]) -> T | None:
        return good(name, _parse(closest[name], signature)) if name in closest else None

    read(MODEL_ACCESS, model_access)
    good("model", _parse_call(item))
    return _Markers(read("model_source", model_source), read(gate, integration), mistakes)


def own_fixtures(item: pytest.Item) -> frozenset[str]:
    """Return the names of the plugin's fixtures that a test uses, directly or through other fixtures.

    A fixture of the project that overrides one of them does not count, unless it uses the plugin's fixture itself.
    """
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    names = _FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return frozenset(name for name in names if _is_own(name, known.get(name, ())))


def _is_own(name: str, definitions: Iterable[pytest.FixtureDef[Any]]) -> bool:
    for each in reversed(tuple(definitions)):  # the last one is used; it can request the one before it
        if each.func.__module__ == _FIXTURES_MODULE:
            return True
        if name not in each.argnames:
            return False
    return False


def is_hosted(item: pytest.Item) -> bool:
    """Return whether the test can use real models from the model host."""
    return item.stash.get(_HOSTED, True)


def planned(items: Iterable[pytest.Item], source: str) -> Iterator[ModelCall]:
    """Yield the models that tests forced to `source` will load from the host, as far as their markers name them."""
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
    """Whether `skip` and `skipif` markers will skip the test. Conditions in the form of strings are ignored."""
    given = [(*mark.args, mark.kwargs.get("condition")) for mark in item.iter_markers("skipif")]
    holds = any(condition for conditions in given for condition in conditions if not isinstance(condition, str))
    return holds or item.get_closest_marker("skip") is not None


@dataclass(frozen=True)
class _InvalidMark:
    """Why the arguments of a marker are not valid for modelenv."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def _parse(mark: pytest.Mark, signature: Callable[..., T]) -> T | _InvalidMark:
    try:
        return signature(*mark.args, **mark.kwargs)
    except TypeError as error:
        said = str(error).replace(f"{signature.__name__}()", f"{mark.name}()", 1)
        return _InvalidMark(f"@pytest.mark.{mark.name}: {said}")
