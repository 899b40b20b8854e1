"""The handles that `load_model` returns in a test run. A handle calls the pipeline that belongs to the current test.

Code stores its pipeline in a module, behind `lru_cache`, on an object or in a session fixture. Without a handle, it
would keep the pipeline that was right at that time: an integration test would silently use a fake that was created at
import, and pass.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType, MethodType
from typing import TYPE_CHECKING, Any

from modelenv.errors import ModelEnvError, UnexpectedModelAccessError
from modelenv.forcing import moment

if TYPE_CHECKING:
    from modelenv.loading.cache import PipelineKey
    from modelenv.loading.shared import Run

_Path = tuple[str, ...]
_SCRIPTED = frozenset({"return_value", "side_effect"})  # setting these on a fake is not a change of the pipeline
_NOT_USER_CODE = ("modelenv", "pytest_modelenv", "_pytest", "pluggy", "asyncio")


@dataclass(frozen=True)
class Found:
    """The result of a call of `load_model` in one environment.

    Attributes:
        key: The key of the load.
        pipeline: The pipeline, or a fake.
        run: The run that loaded the pipeline, also if that failed and a fake replaces it. None if the source is
            `mock_models`.
    """

    key: PipelineKey
    pipeline: Any
    run: Run | None = None

    @property
    def is_fake(self) -> bool:
        """Whether the pipeline is a fake."""
        return _is_from_fakes(self.pipeline)


Load = Callable[[Found | None], Found]


class Follower:
    """Finds the pipeline of a handle, again whenever the environment or the test changes.

    Args:
        load: Returns the result of the manager's `load_model` in the current environment. Its argument is the result
            of the last real load. It returns this if another load would be the same, so that changes to the pipeline
            stay.
        model: The model's name, for errors.
        loaded_at: The line that loaded the pipeline, for errors.
        fake: The fake to use instead of the manager's, or None. This is a copy with its own answers.
    """

    def __init__(self, load: Load, model: str, loaded_at: str, fake: Any = None) -> None:
        self.origin = (load, model, loaded_at)
        self.handle = ModelHandle(self)
        self.parts: dict[_Path, ModelHandle] = {}
        self._load = load
        self._model = model
        self._loaded_at = loaded_at
        self._fake = fake
        self._now: tuple[object, Any] = (None, None)
        self._held: Found | None = None
        self._change = ""
        self._changed: Any = None

    def answer_as(self, now: object, found: Found) -> None:
        """Use this pipeline as long as `moment()` returns `now`.

        Raises:
            UnexpectedModelAccessError: An attribute of another pipeline was changed, and would be lost.
        """
        if found.run is not None:
            self._held = found
        if found.is_fake and self._fake is not None:
            found = replace(found, pipeline=self._fake)
        if not self.fits(found):
            raise UnexpectedModelAccessError(
                f"the pipeline was changed after it was loaded ({self._change} was set or deleted), but another "
                f"pipeline without this change would be used here",
                model=self._model,
                found=f"loaded at {self._loaded_at}",
                hint="pass the setting to load_model, or load the model in the test or in a function-scoped fixture",
            )
        self._now = (now, found.pipeline)

    def fits(self, found: Found) -> bool:
        """Whether the pipeline can be used: no pipeline was changed, or it is the changed one."""
        return self._changed is None or self._changed is found.pipeline

    def pipeline(self) -> Any:
        """Return the pipeline for the current environment and test, loading it if necessary.

        Raises:
            UnexpectedModelAccessError: An attribute of another pipeline was changed, and would be lost.
            ModelEnvError: The load failed.
        """
        now = moment()
        then, pipeline = self._now
        if then is now:
            return pipeline
        try:
            found = self._load(self._held)
        except ModelEnvError as error:
            error.add_note(f"The pipeline that was used here was loaded at {self._loaded_at}.")
            raise
        self.answer_as(now, found)
        return self._now[1]

    def note_change(self, name: str) -> None:
        """Remember that an attribute of the current pipeline was set or deleted."""
        self._change, self._changed = name, self.pipeline()

    def copied(self, copy_pipeline: Callable[[Any], Any]) -> Follower:
        """Return a new follower whose current pipeline is a copy of this one's."""
        pipeline = copy_pipeline(self.pipeline())
        is_fake = _is_from_fakes(pipeline)
        other = Follower(*self.origin, pipeline if is_fake else None)
        if not is_fake and self._held is not None:
            other.answer_as(moment(), replace(self._held, pipeline=pipeline))
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        pipeline = self.pipeline()
        return Follower, (*self.origin, pipeline if _is_from_fakes(pipeline) else None)

    def shown(self, path: _Path) -> str:
        """Return the `repr` of the part at `path`. Loads nothing."""
        then, pipeline = self._now
        if then is moment():
            return repr(_at(path, pipeline))
        return f"<{'.'.join(('pipeline', *path))} of {self._model}, loaded at {self._loaded_at}>"


class ModelHandle:
    """A proxy of the current test's pipeline, or of a part of it: a fake in a unit test, else the real pipeline.

    Calls, attributes and `isinstance` work as on the pipeline.

    Args:
        follower: Finds the pipeline.
        path: The names of the attributes that lead from the pipeline to this part.
    """

    __slots__ = ("__weakref__", "_follower", "_path")

    def __init__(self, follower: Follower, path: _Path = ()) -> None:
        object.__setattr__(self, "_follower", follower)
        object.__setattr__(self, "_path", path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline or the part of the current environment and test."""
        __tracebackhide__ = True
        return _target(self)(*args, **kwargs)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        try:
            kind: type = _target(self).__class__
        except ModelEnvError:  # tools that inspect all objects get no error; the next call raises it
            return type(self)
        return kind

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        owner = _target(self)
        value = getattr(owner, name)
        if _is_part_of_a_fake(value) or (isinstance(value, MethodType) and value.__self__ is owner):
            parts, path = self._follower.parts, (*self._path, name)
            return parts[path] if path in parts else parts.setdefault(path, HandlePart(self._follower, path))
        return value

    def __setattr__(self, name: str, value: object) -> None:
        owner = _target(self)
        setattr(owner, name, value)
        if not (name in _SCRIPTED and _is_from_fakes(owner)):
            self._follower.note_change(".".join((*self._path, name)))

    def __delattr__(self, name: str) -> None:
        delattr(_target(self), name)
        self._follower.note_change(".".join((*self._path, name)))

    def __dir__(self) -> list[str]:
        return dir(_target(self))

    def __repr__(self) -> str:
        shown: str = self._follower.shown(self._path)
        return shown

    def __copy__(self) -> Any:
        return self._follower.copied(copy.copy).handle

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._follower.copied(lambda pipeline: copy.deepcopy(pipeline, memo)).handle

    def __reduce__(self) -> tuple[Any, ...]:
        return _handle_of, (self._follower,)


class HandlePart(ModelHandle):
    """A handle of a part of a pipeline: a method, or the tokenizer, model or config of a fake."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(_target(self))

    def __bool__(self) -> bool:
        return bool(_target(self))

    def __copy__(self) -> Any:
        return copy.copy(_target(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(_target(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (_target(self),)


def _target(handle: ModelHandle) -> Any:
    """Return the pipeline or the part of a handle in the current environment and test."""
    __tracebackhide__ = True
    return _at(handle._path, handle._follower.pipeline())  # noqa: SLF001 - in the same module


def _at(path: _Path, pipeline: Any) -> Any:
    for name in path:
        pipeline = getattr(pipeline, name)
    return pipeline


def _is_from_fakes(value: object) -> bool:
    return type(value).__module__.startswith("modelenv.fakes.")


def _is_part_of_a_fake(value: object) -> bool:
    return _is_from_fakes(value) and type(value).__name__ != "FakeDevice"  # a device is a value, not a part


def _handle_of(follower: Follower) -> ModelHandle:
    return follower.handle


def _itself(value: Any) -> Any:
    return value


def user_line() -> str:
    """Return the file and line of the innermost caller outside of modelenv and the test runner."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, and much faster than inspect.stack()
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _NOT_USER_CODE:
            return f"{os.path.relpath(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return "a fixture of modelenv"
