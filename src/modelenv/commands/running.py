"""The command `modelenv run`: replaces itself by a command that finds the locked models offline.

Any program that uses the Hugging Face cache, in any language, finds them by HF_HUB_CACHE and the references in it.
That cache has links to the locked files only. It is made for one content of the lock, so that no other program moves
a reference in it while the command runs.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from modelenv.commands.fetching import pull
from modelenv.commands.outcome import CommandNotFoundError, CommandNotRunnableError
from modelenv.commands.places import cache_of, needed_lock, volume_of
from modelenv.commands.progress import Progress
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import LockfileError
from modelenv.interception.links import kept_cache, link_files
from modelenv.interception.locked_repos import LockedRepos, lock_in
from modelenv.interception.volume_files import VolumeFiles
from modelenv.locks.declarations import not_as_declared
from modelenv.store.checks import Checks


def run(settings: Settings, progress: Progress, command: Sequence[str], *, cache_dir: Path | None = None) -> NoReturn:
    """Verify the locked models, fetch what is missing unless they are on a volume, and become the command.

    Args:
        settings: The settings, which name the lock.
        progress: Shows the progress.
        command: The command and its arguments.
        cache_dir: A cache other than the detected one.

    Raises:
        CommandNotRunnableError: There is no such command, or it cannot be started.
        LockfileError: There is no lock, or it is not as declared.
        ModelEnvError: A model could not be fetched, or is damaged and could not be fetched again.
    """
    program = _program(command[0])
    volume = volume_of(settings, None) if cache_dir is None else None
    variables = (
        _links_to_cache(settings, progress, cache_dir) if volume is None else _links_to_volume(settings, volume)
    )
    sys.stdout.flush()
    sys.stderr.flush()
    environ = {**os.environ, **variables, "HF_HUB_OFFLINE": "1"}
    try:
        os.execve(program, list(command), environ)  # noqa: S606 - the user's own command, without a shell
    except OSError as error:
        raise _not_started(program, error) from None


def _program(name: str) -> str:
    """Return the path of the command."""
    program = shutil.which(name)
    if program is not None:
        return program
    file = shutil.which(name, mode=os.F_OK) or (name if os.sep in name and Path(name).exists() else None)
    if file is None:
        hint = "check its name and PATH. For a shell's own command, such as `cd`, use sh -c '...'"
        raise CommandNotFoundError("there is no such command", found=name, hint=hint)
    if Path(file).is_dir():
        raise CommandNotRunnableError("a folder is not a command", found=file, hint="name a program")
    hint = f"run `chmod +x {file}`, or name its interpreter, as in `modelenv run -- sh {file}`"
    raise CommandNotRunnableError("the command is not executable", found=file, hint=hint)


def _not_started(program: str, error: OSError) -> CommandNotRunnableError:
    kind = CommandNotFoundError if error.errno == errno.ENOENT else CommandNotRunnableError
    hints = {
        errno.ENOEXEC: f"begin a script with a line such as `#!/bin/sh`, or use `modelenv run -- sh {program}`",
        errno.ENOENT: "check the interpreter in the first line of the script",
        errno.E2BIG: "pass fewer or shorter arguments",
    }
    hint = hints.get(error.errno or 0, "check that this user can run it")
    return kind("the command cannot be started", found=f"{program}: {error.strerror}", hint=hint)


def _links_to_cache(settings: Settings, progress: Progress, cache_dir: Path | None) -> dict[str, str]:
    """Return the variables for links to the files in the cache. modelenv in the command uses the cache itself."""
    lock, store = needed_lock(settings), cache_of(settings, cache_dir)
    stale = not_as_declared(settings.models, lock)
    if stale:
        raise LockfileError(
            f"{settings.lock_path}: the lock is not as declared",
            found="; ".join(map(str, stale)),
            hint="run `modelenv lock` and commit the result",
        )
    pulled = pull(settings, progress, [model.alias for model in lock.models], cache_dir=cache_dir)
    folders = {row["alias"]: Path(row["path"]) for row in pulled.data["models"]}
    links = kept_cache(lock, store.root)
    for commit in LockedRepos(lock).commits:
        for model in commit.entries:
            link_files(links, commit, [file.path for file in model.files], folders[model.alias])
    return {"HF_HUB_CACHE": str(links), "MODEL_CACHE_DIR": str(store.root)}


def _links_to_volume(settings: Settings, volume: Path) -> dict[str, str]:
    lock = lock_in(ModelSource.PERSISTENT_VOLUME, settings)
    if lock is None:
        raise LockfileError(f"{volume}: there is neither metadata of modelenv nor a lock", hint="run `modelenv lock`")
    files = VolumeFiles(volume, kept_cache(lock, volume), Checks(remembers=False))
    for commit in LockedRepos(lock).commits:
        files.check(commit)
    return {"HF_HUB_CACHE": str(files.cache)}
