"""The probes that detect which source applies to this process, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from modelenv.environment.settings import Settings
from modelenv.environment.sources import VOLUME_METADATA, ModelSource
from modelenv.forks import cached_property

_TRUE = frozenset({"1", "on", "true", "yes"})


@dataclass(frozen=True)
class Finding:
    """The result of one probe.

    Attributes:
        probe: The name of the probe.
        answer: The source that the probe chose, or None if the probe does not apply.
        detail: A description of what the probe found, for people.
    """

    probe: str
    answer: ModelSource | None
    detail: str


@dataclass(frozen=True)
class Explanation:
    """The source that applies to this process, and why.

    Attributes:
        source: The source that applies.
        reason: The probe that chose the source, and what it found.
        asked: The findings of the probes up to and including the one that chose the source.
        unasked: The remaining probes, which have not run.
    """

    source: ModelSource
    reason: str
    asked: tuple[Finding, ...]
    unasked: tuple[Callable[[], Finding], ...] = field(repr=False, compare=False)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all probes, in order. The first access runs the remaining probes."""
        return (*self.asked, *(probe() for probe in self.unasked))


def probe_forced(source: ModelSource | None, origin: str) -> Finding:
    """Check whether an argument or a setting names the source."""
    detail = "not set" if source is None else f"{source.value}, from {origin}"
    return Finding("a forced source", source, detail)


def probe_volume(volume_dir: Path) -> Finding:
    """Check whether a complete volume is mounted. Its metadata file is written last."""
    metadata = volume_dir / VOLUME_METADATA
    try:
        metadata.stat()
        there, detail = True, f"{metadata} exists"
    except (FileNotFoundError, NotADirectoryError):
        there, detail = False, f"no {metadata}"
    except OSError as error:
        # A mount that fails, or that this user may not read, is a broken production machine, not a laptop.
        there, detail = True, f"{metadata} cannot be read: {error.strerror}"
    return Finding("a persistent volume", ModelSource.PERSISTENT_VOLUME if there else None, detail)


def probe_test_run(variables: Mapping[str, str]) -> Finding:
    """Check whether a test is running: pytest sets its own variables, other test runners can set TESTING."""
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
        if variables.get(name):
            return Finding("a running test", ModelSource.MOCK_MODELS, f"{name} is set")
    if is_true(variables.get("TESTING")):
        return Finding("a running test", ModelSource.MOCK_MODELS, f"TESTING={variables['TESTING']}")
    return Finding("a running test", None, "neither PYTEST_CURRENT_TEST nor PYTEST_VERSION nor TESTING=true")


def probe_github_actions(variables: Mapping[str, str]) -> Finding:
    """Check whether this process runs in a GitHub Actions job."""
    value = variables.get("GITHUB_ACTIONS")
    answer = ModelSource.DOWNLOAD_ON_DEMAND if is_true(value) else None
    return Finding("GitHub Actions", answer, f"GITHUB_ACTIONS={value}" if value else "GITHUB_ACTIONS is not set")


def probe_local_cache(cache_dir: Path) -> Finding:
    """Check whether the local cache contains at least one model."""
    from modelenv.files.layouts import first_model

    model = first_model(cache_dir)
    if model is None:
        return Finding("a local cache", None, f"no model in {cache_dir}")
    return Finding("a local cache", ModelSource.LOCAL_CACHE, f"{model} holds a model")


def probe_nothing() -> Finding:
    """Choose the Hub, for when no other probe applies."""
    return Finding("the fallback", ModelSource.HUGGINGFACE_HUB, "used if nothing else applies")


def explain_environment(source: ModelSource | str | None = None, *, settings: Settings | None = None) -> Explanation:
    """Detect which source applies to this process, and explain why.

    Args:
        source: Forces this source, like the variable MODEL_SOURCE.
        settings: The settings to use; by default those of this process.

    Returns:
        The source, the reason, and the finding of every probe.

    Raises:
        ConfigurationError: A setting is invalid, such as an unknown MODEL_SOURCE.
    """
    if source is not None:
        source = ModelSource.parse(source)
    if settings is None:
        settings = Settings.load() if source is None else Settings.load(source=source)
    forced, origin = (settings.source, settings.origins["source"]) if source is None else (source, "argument")
    probes = (
        partial(probe_forced, forced, origin),
        partial(probe_volume, settings.volume_dir),
        partial(probe_test_run, settings.variables),
        partial(probe_github_actions, settings.variables),
        partial(probe_local_cache, settings.cache_dir),
        probe_nothing,
    )
    asked: list[Finding] = []
    for probe in probes:
        found = probe()
        asked.append(found)
        if found.answer is not None:
            break
    assert found.answer is not None  # noqa: S101 - the last probe always applies
    reason = f"{found.probe}: {found.detail}"
    return Explanation(found.answer, reason, tuple(asked), probes[len(asked) :])


def detect_environment(source: ModelSource | str | None = None, *, settings: Settings | None = None) -> ModelSource:
    """Return the source that applies to this process; `explain_environment` also explains why.

    Raises:
        ConfigurationError: A setting is invalid, such as an unknown MODEL_SOURCE.
    """
    return explain_environment(source, settings=settings).source


def is_true(value: str | None) -> bool:
    """Whether the value of a variable means true: 1, on, true or yes, in upper or lower case."""
    return value is not None and value.strip().lower() in _TRUE
