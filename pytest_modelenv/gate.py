"""Decides which tests get real models, which are skipped for want of them, and which the plugin leaves alone.

Other projects have markers with the same names. So a marker counts only if its test or the project uses modelenv.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import pytest

from pytest_modelenv.markers import parse_markers
from pytest_modelenv.option_names import ini_of
from pytest_modelenv.options import ModelOptions
from pytest_modelenv.project_files import project_table
from pytest_modelenv.startup import FORCED_SOURCE, MISTAKE, NEEDS_REAL_MODELS, forces_a_source, gate_marker

# Set on tests with the gate marker if that marker has another meaning in the project.
LEFT_ALONE = pytest.StashKey[bool]()
_HOSTED = pytest.StashKey[bool]()
_FIXTURES = frozenset(
    ("mock_models", "model", "model_cache_dir", "model_env", "model_hub", "model_hub_server", "model_manager",
     "real_models", "tiny_model")
)  # fmt: skip
_FIXTURES_MODULE = "pytest_modelenv.fixtures"
_OWN_OPTIONS = ("forbid_heavy_imports", "model_cache_dir", "model_marker", "model_source")


def project_uses_models(config: pytest.Config) -> bool:
    """Return whether the project uses modelenv. Call this after collection, before the plugin imports modelenv.

    It does if its `pyproject.toml` has a table `[tool.modelenv]`, if one of the ini-options below is set, if
    MODEL_SOURCE is one of modelenv's sources, or if the test files have imported modelenv, directly or through other
    modules. To depend on modelenv, and so to install the plugin, is not enough.
    """
    is_imported = "modelenv" in sys.modules
    is_configured = project_table(config) is not None or any(ini_of(config, name) for name in _OWN_OPTIONS)
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
    read = parse_markers(item, gate)
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


def is_hosted(item: pytest.Item) -> bool:
    """Return whether the test can use real models from the model host."""
    return item.stash.get(_HOSTED, True)


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
