"""Starts recording in a process of `modelenv adopt`. Called by `sitecustomize`, before any code of the user."""

from __future__ import annotations

from collections.abc import Mapping

from modelenv.adoption.observing import Observer
from modelenv.adoption.records import Adoption, append


def start(environ: Mapping[str, str]) -> None:
    """Record what this process asks for. In the run without the Hub, also let the lock answer."""
    adoption = Adoption.of(environ)
    if adoption is None:
        return
    append(adoption.folder, "started", [{}])
    Observer(adoption).install()
    if adoption.is_offline:
        _let_the_lock_answer(adoption)


def _let_the_lock_answer(adoption: Adoption) -> None:
    from modelenv.environment.settings import Settings
    from modelenv.environment.sources import ModelSource
    from modelenv.errors import ModelEnvError
    from modelenv.interception.install import Installation

    source = ModelSource.LOCAL_CACHE
    try:
        settings = Settings.load(project_dir=adoption.project, source=source, cache_dir=adoption.cache)
        # Not `install()`: the program can call that itself, with arguments of its own.
        Installation(source, True, True, settings)._start()  # noqa: SLF001
    except ModelEnvError as error:
        append(adoption.folder, "problem", [{"text": str(error)}])
