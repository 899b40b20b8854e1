"""Settings, each with its origin. The first wins: argument, variable, .env file, pyproject.toml, default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modelenv.environment.hub_client import hub_constants
from modelenv.environment.project import Alias, find_project_file, lock_beside, read_project_file
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError

ENV_FILE = ".env"
_LONGEST_TIMEOUT = 365 * 86_400.0  # the interpreter overflows on waits of some hundred years


def timeout_seconds(value: Any) -> float:
    """Return a timeout as seconds; raise ConfigurationError if it is not a positive number."""
    try:
        seconds = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise ConfigurationError(
            "a timeout must be a positive number of seconds",
            expected=f"more than 0, at most {_LONGEST_TIMEOUT:.0f}",
            found=repr(value),
        )
    return seconds


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError("this setting must be text", found=repr(value))
    return value.strip()


def _path(value: Any) -> Path:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ConfigurationError("this setting must be a path", found=repr(value))
    try:
        return Path(text.strip()).expanduser()
    except RuntimeError:  # raised by pathlib if it cannot find the home folder
        raise ConfigurationError("the path starts with an unknown user's home folder", found=repr(value)) from None


def _given(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Return our variables that have a value; an empty one counts as unset."""
    asked = ((name, variables.get(name)) for name in VARIABLES)
    return {name: value for name, value in asked if value and value.strip()}


@dataclass(frozen=True)
class _Field:
    name: str
    variable: str | None
    parse: Callable[[Any], Any]
    default: Any


_FIELDS = (
    _Field("source", "MODEL_SOURCE", ModelSource.parse, None),
    _Field("cache_dir", "MODEL_CACHE_DIR", _path, "model_cache"),
    _Field("volume_dir", "MODEL_VOLUME_DIR", _path, "/app/models"),
    _Field("timeout", "MODEL_TIMEOUT", timeout_seconds, None),
    _Field("device", None, _text, "auto"),
    _Field("environment", "ENVIRONMENT", _text, None),
)
_PROBED = ("TESTING", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "PYTEST_VERSION")
VARIABLES = (*_PROBED, *(field.variable for field in _FIELDS if field.variable is not None))


@dataclass(frozen=True)
class Settings:
    """The settings of modelenv, as they were when they were read.

    Attributes:
        source: The forced source, or None.
        cache_dir: The folder of the local cache, as an absolute path; in CI, if it is set, the download folder.
        volume_dir: The folder where the persistent volume is mounted, as an absolute path.
        timeout: The seconds that one load may take, or None for the default of the source.
        device: `auto` (CUDA, then MPS, then CPU), or a torch device such as `cpu` or `cuda:1`.
        environment: The name of the deployment from ENVIRONMENT, such as `development`. It is for the service itself;
            modelenv does not use it.
        models: The models of `[tool.modelenv.models]` by alias.
        project_file: The `pyproject.toml` that was read, or None.
        variables: The variables that the probes check, with their values.
        origins: The origin of each setting's value, by the name of the setting.
    """

    source: ModelSource | None
    cache_dir: Path
    volume_dir: Path
    timeout: float | None
    device: str
    environment: str | None
    models: Mapping[str, Alias]
    project_file: Path | None
    variables: Mapping[str, str]
    origins: Mapping[str, str]
    _reading: Callable[[], Settings] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(
        cls,
        *,
        env_file: str | os.PathLike[str] | None = None,
        project_dir: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Settings:
        """Read the settings.

        Args:
            env_file: A file of `NAME=value` lines; by default `.env` in the project's folder, if it exists.
            project_dir: The folder in which the search for `pyproject.toml` starts, going upwards; by default the
                working folder. If no such file is found, this is the project's folder.
            environ: The environment variables; by default those of this process.
            arguments: Settings by name, which override everything else: `source`, `cache_dir`, `volume_dir`,
                `timeout`, `device`, `environment`.

        Raises:
            ConfigurationError: A value is invalid, a file cannot be read, or an argument is unknown. The message says
                where the value came from.
        """
        _check_names(arguments)
        working_dir = _working_folder()
        start = working_dir / (project_dir or "")
        project = read_project_file(find_project_file(start))
        is_own = environ is None
        environ = _given(os.environ if environ is None else environ)
        env_path, file_values = _read_env_file(env_file, project.folder or start)
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for each in _FIELDS:
            value, origin, base = each.default, "default", working_dir
            if arguments.get(each.name) is not None:
                value, origin = arguments[each.name], "argument"
            elif each.variable and environ.get(each.variable):
                value, origin = environ[each.variable], f"variable {each.variable}"
            elif each.variable and file_values.get(each.variable):
                value, origin = file_values[each.variable], f"{each.variable} in {env_path}"
            elif each.name in project.settings:
                value, origin = project.settings[each.name], f"[tool.modelenv] in {project.path}"
                base = project.folder or working_dir
            values[each.name] = _parse(each, value, origin, base)
            origins[each.name] = origin
        reading = partial(cls.load, env_file=env_file, project_dir=project_dir, **arguments)
        known = {**file_values, **environ}
        variables = {name: known[name] for name in _PROBED if known.get(name)}
        return cls(
            **values,
            models=project.models,
            project_file=project.path,
            variables=MappingProxyType(variables),
            origins=MappingProxyType(origins),
            _reading=reading if is_own else None,
        )

    def read_again(self) -> Settings:
        """Re-read the settings with the original arguments. Returns self if they come from an explicit `environ`."""
        return self if self._reading is None else self._reading()

    @property
    def lock_path(self) -> Path | None:
        """The path of the lock, which need not exist, beside the project file; None without a project file."""
        return lock_beside(self.project_file)

    def timeout_of(self, source: ModelSource) -> float:
        """Return the seconds that one load from `source` may take."""
        return source.timeout if self.timeout is None else self.timeout

    def root_of(self, source: ModelSource) -> Path | None:
        """Return the folder with the models of `source`, or None for `MOCK_MODELS`, which has no files.

        Raises:
            ConfigurationError: `huggingface_hub` cannot parse one of its variables, so its cache is unknown.
        """
        if source is ModelSource.MOCK_MODELS:
            return None
        if source is ModelSource.PERSISTENT_VOLUME:
            return self.volume_dir
        if source is ModelSource.HUGGINGFACE_HUB:
            return Path(hub_constants().HF_HUB_CACHE)
        if source is ModelSource.DOWNLOAD_ON_DEMAND and self.origins["cache_dir"] == "default":
            import tempfile  # takes longer to import than the rest of this module

            return Path(tempfile.gettempdir()) / f"modelenv-{os.getuid()}" / "models"
        return self.cache_dir

    def cache_setting(self, source: ModelSource) -> str:
        """Return the name of the variable or argument that sets the folder with the models of `source`."""
        if source is ModelSource.PERSISTENT_VOLUME:
            return "MODEL_VOLUME_DIR"
        if source is ModelSource.HUGGINGFACE_HUB:
            is_set = any(os.environ.get(name) for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"))
            return "HF_HUB_CACHE" if is_set else "HF_HOME"
        return "cache_dir" if self.origins["cache_dir"] == "argument" else "MODEL_CACHE_DIR"


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigurationError("the working folder no longer exists", hint="change to another folder") from None


def _check_names(arguments: Mapping[str, Any]) -> None:
    known = {field.name for field in _FIELDS}
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise ConfigurationError(
            f"unknown setting {unknown[0]!r}", expected="one of " + ", ".join(sorted(known)), found=unknown[0]
        )


def _parse(field: _Field, value: Any, origin: str, base: Path) -> Any:
    if value is None:
        return None
    try:
        parsed = field.parse(value)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{field.name}: {error.what} (from {origin})",
            expected=error.expected,
            found=error.found,
            hint=error.hint,
        ) from None
    return base / parsed if isinstance(parsed, Path) else parsed


def _read_env_file(path: str | os.PathLike[str] | None, folder: Path) -> tuple[Path, Mapping[str, str]]:
    """Return the path and the values of the file at `path`, or else of `.env` in `folder` if it exists."""
    env_path = folder / ENV_FILE if path is None else _path(path)
    if path is None and not os.path.isfile(env_path):  # noqa: PTH113 - pathlib raises if this user may not search it
        return env_path, {}
    if not os.path.exists(env_path):  # noqa: PTH110 - pathlib raises if this user may not search the folder
        raise ConfigurationError("the env file does not exist", found=str(env_path))
    from dotenv import dotenv_values

    try:
        with env_path.open(encoding="utf-8") as stream:
            return env_path, _given(dotenv_values(stream=stream))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("the env file cannot be read", found=f"{env_path}: {error}") from None
