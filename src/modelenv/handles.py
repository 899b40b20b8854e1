"""What `load_model` returns inside a test run: a handle that answers as the pipeline of the test that runs now.

Code keeps its pipeline: in a module, behind `lru_cache`, on an object, in a session fixture. Without a handle it
keeps what was right when it asked: a fake made at import would answer in an integration test, and the run would be
green.
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
_SCRIPTED = frozenset({"return_value", "side_effect"})  # setting these on a fake is a part of its test
_NOT_USER_CODE = ("modelenv", "pytest_modelenv", "_pytest", "pluggy", "asyncio")


@dataclass(frozen=True)
class Found:
    """The pipeline that a call of `load_model` gives in one environment.

    Attributes:
        key: what makes another load the same one.
        pipeline: the pipeline, or a fake.
        run: what was asked for a real pipeline, also where a fake stands in for it; None in an environment of fakes.
    """

    key: PipelineKey
    pipeline: Any
    run: Run | None = None

    @property
    def is_fake(self) -> bool:
        """Whether the pipeline is a fake."""
        return _is_of_a_fake(self.pipeline)


Load = Callable[[Found | None], Found]


class Follower:
    """Finds the pipeline that a handle answers as, anew whenever another environment or test holds.

    Args:
        load: returns what the manager's `load_model` gives here and now. It takes what the last real load gave, and
            returns that where another load would be the same: what was changed on the pipeline stays changed.
        model: the model's name, for errors.
        loaded_at: the line that loaded the pipeline, for errors.
        fake: answers wherever fakes do, instead of the manager's: a copy, with the answers that were set on it.
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
        """Answer as this pipeline for as long as the moment `now` lasts.

        Raises:
            UnexpectedModelAccessError: an attribute was changed on another pipeline than this one.
        """
        if found.run is not None:
            self._held = found
        if found.is_fake and self._fake is not None:
            found = replace(found, pipeline=self._fake)
        if not self.fits(found):
            raise UnexpectedModelAccessError(
                f"the pipeline was changed after it was loaded ({self._change} was set or deleted), and another one "
                f"would answer here, without the change",
                model=self._model,
                found=f"loaded at {self._loaded_at}",
                hint="pass the setting to load_model, or load the model in the test or in a function-scoped fixture",
            )
        self._now = (now, found.pipeline)

    def fits(self, found: Found) -> bool:
        """Whether this can answer as that pipeline: it is the one that was changed, or none was."""
        return self._changed is None or self._changed is found.pipeline

    def pipeline(self) -> Any:
        """Return the pipeline of the environment and the test that hold now, loaded if it was not.

        Raises:
            UnexpectedModelAccessError: an attribute was changed on another pipeline than the one that answers here.
            ModelEnvError: the load failed.
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
        """Remember that an attribute of the present pipeline was set or deleted."""
        self._change, self._changed = name, self.pipeline()

    def copied(self, copy_pipeline: Callable[[Any], Any]) -> Follower:
        """Return another follower, whose present pipeline is a copy of this one's."""
        pipeline = copy_pipeline(self.pipeline())
        is_fake = _is_of_a_fake(pipeline)
        other = Follower(*self.origin, pipeline if is_fake else None)
        if not is_fake and self._held is not None:
            other.answer_as(moment(), replace(self._held, pipeline=pipeline))
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        pipeline = self.pipeline()
        return Follower, (*self.origin, pipeline if _is_of_a_fake(pipeline) else None)

    def shown(self, path: _Path) -> str:
        """Return what the part at `path` prints as; loads nothing."""
        then, pipeline = self._now
        if then is moment():
            return repr(_at(path, pipeline))
        return f"<{'.'.join(('pipeline', *path))} of {self._model}, loaded at {self._loaded_at}>"


class ModelHandle:
    """A pipeline, or a part of one, that follows the test: a fake in a unit test, else the real one.

    It is called, read and changed like the pipeline, and `isinstance` takes it for one.

    Args:
        follower: finds the pipeline.
        path: the names that lead from the pipeline to this part.
    """

    __slots__ = ("__weakref__", "_follower", "_path")

    def __init__(self, follower: Follower, path: _Path = ()) -> None:
        object.__setattr__(self, "_follower", follower)
        object.__setattr__(self, "_path", path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline, or the part, of the environment that holds now."""
        __tracebackhide__ = True
        return _present(self)(*args, **kwargs)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        try:
            kind: type = _present(self).__class__
        except ModelEnvError:  # asked by tools that look at every object of the process; the next call raises it
            return type(self)
        return kind

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        owner = _present(self)
        value = getattr(owner, name)
        if _is_part_of_a_fake(value) or (isinstance(value, MethodType) and value.__self__ is owner):
            parts, path = self._follower.parts, (*self._path, name)
            return parts[path] if path in parts else parts.setdefault(path, HandlePart(self._follower, path))
        return value

    def __setattr__(self, name: str, value: object) -> None:
        owner = _present(self)
        setattr(owner, name, value)
        if not (name in _SCRIPTED and _is_of_a_fake(owner)):
            self._follower.note_change(".".join((*self._path, name)))

    def __delattr__(self, name: str) -> None:
        delattr(_present(self), name)
        self._follower.note_change(".".join((*self._path, name)))

    def __dir__(self) -> list[str]:
        return dir(_present(self))

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
    """A part that was reached through a handle: a method, or the tokenizer, model or config of a fake."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(_present(self))

    def __bool__(self) -> bool:
        return bool(_present(self))

    def __copy__(self) -> Any:
        return copy.copy(_present(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(_present(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (_present(self),)


def _present(handle: ModelHandle) -> Any:
    """Return what a handle stands for in the environment and the test that hold now."""
    __tracebackhide__ = True
    return _at(handle._path, handle._follower.pipeline())  # noqa: SLF001 - of this module


def _at(path: _Path, pipeline: Any) -> Any:
    for name in path:
        pipeline = getattr(pipeline, name)
    return pipeline


def _is_of_a_fake(value: object) -> bool:
    return type(value).__module__.startswith("modelenv.fakes.")


def _is_part_of_a_fake(value: object) -> bool:
    return _is_of_a_fake(value) and type(value).__name__ != "FakeDevice"  # a device is a value, not a part


def _handle_of(follower: Follower) -> ModelHandle:
    return follower.handle


def _itself(value: Any) -> Any:
    return value


def user_line() -> str:
    """Return the file and line of the innermost caller outside of modelenv and of the test runner."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, and far cheaper than inspect.stack()
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _NOT_USER_CODE:
            return f"{os.path.relpath(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return "a fixture of modelenv"
