"""No space, no write permission, another user's folder: clear errors, no loss, and the old set still loads.

The file systems are real: a small tmpfs and read-only mounts, in a mount namespace of the process under test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ConfigurationError, ModelIntegrityError, ModelNotFoundError
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.locks.project_lock import Lockfile, write_lockfile
from modelenv.locks.values import LockedModel
from modelenv.store.checks import Checks
from modelenv.store.store import Store

from .conftest import Lock, MakeModel

Isolated = Callable[..., str]
MEGABYTE = 2**20

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount a file system")

PRELUDE = """
import os, sys
from pathlib import Path
from modelenv.deadlines import Deadline
from modelenv.errors import ModelEnvError
from modelenv.loading.locked_folder import obtain_locked
from modelenv.store.checks import Checks
from modelenv.locks.project_lock import read_lockfile, Lockfile
from modelenv.references import ModelRef
from modelenv.store.store import Store
from modelenv.volume.filling import Volume
from modelenv.volume.reading import find_on_volume, volume_metadata
lock, place = read_lockfile(sys.argv[1]), Path(sys.argv[2])
small, large = lock.by_alias("small"), lock.by_alias("large")
def obtain(model, root=place, fetches=True):
    return obtain_locked(Store(root), model, Deadline(30), fetches=fetches, checks=Checks()).path
def attempt(action):
    try:
        return print(action())
    except ModelEnvError as error:
        print(type(error).__name__, "|", error.what, "|", error.found, "|", error.hint)
"""


@pytest.fixture
def tmp_path(open_tmp_path: Path) -> Path:
    """The test's folder. Other users can enter it."""
    return open_tmp_path


@pytest.fixture
def lock_path(hub: EmbeddedHub, make_model: MakeModel, lock: Lock, tmp_path: Path) -> Path:
    """A lock of a small model, and of one that does not fit on the small disk."""
    hub.add(make_model("small"), "acme/small")
    hub.add(make_model("large", weights=3 * MEGABYTE), "acme/large")
    write_lockfile(tmp_path / "modelenv.lock", Lockfile((lock("acme/small", "small"), lock("acme/large", "large"))))
    return tmp_path / "modelenv.lock"


@pytest.fixture
def isolated(
    hub: EmbeddedHub, lock_path: Path, tmp_path: Path, make_environ: Callable[..., dict[str, str]],
    request: pytest.FixtureRequest,
) -> Isolated:  # fmt: skip
    """Run Python with `place` mounted by the shell command, optionally as an unprivileged user."""

    def run(mount: str, code: str, *, place: Path, user: bool = False) -> str:
        as_user = "exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all"
        script = f'set -e; place="$1"; shift; {mount}; {as_user if user else "exec"} "$@"'
        command = [sys.executable, "-c", PRELUDE + code, str(lock_path), str(place)]
        environ = make_environ(HF_ENDPOINT=hub.endpoint, HF_HUB_DISABLE_TELEMETRY="1")
        if user:
            request.getfixturevalue("nobody_runs_python")
            environ["HOME"] = environ["HF_HOME"] = "/nonexistent"
        done = subprocess.run(
            ["unshare", "-m", "bash", "-c", script, "bash", str(place), *command],
            env=environ, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def state_of(folder: Path) -> dict[Path, tuple[int, int, int, int]]:
    """The state that a write would change. Reading changes only the access times."""
    states = {path: path.lstat() for path in (folder, *folder.rglob("*"))}
    return {path: (seen.st_mode, seen.st_size, seen.st_mtime_ns, seen.st_ino) for path, seen in states.items()}


SMALL_DISK = 'mount -t tmpfs -o size=2m none "$place"'
READ_ONLY = 'mount --bind "$place" "$place"; mount -o remount,bind,ro "$place"'


@needs_root
def test_a_full_disk_under_the_cache(isolated: Isolated, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    place.mkdir()
    code = """
first = obtain(small)
attempt(lambda: obtain(large))
assert not list(place.rglob("*.incomplete")), "what did not fit takes no space"
assert not list((place / "models--acme--large" / "snapshots").glob("*"))
assert obtain(small) == first
"""
    said = isolated(SMALL_DISK, code, place=place)
    assert said == (
        f"NoSpaceError | the model's files do not fit on the disk | 2.1 MB free in {place}: 1.1 MB too little | "
        "free 1.1 MB, or set MODEL_CACHE_DIR to a folder on a larger disk\n"
    )


@needs_root
def test_a_full_disk_under_a_volume(isolated: Isolated, tmp_path: Path) -> None:
    place = tmp_path / "volume"
    place.mkdir()
    code = f"""
cache = Path({str(tmp_path / "cache")!r})
fill = lambda *models: Volume(place).fill(Lockfile(models), lambda model: obtain(model, cache), Deadline(30)).copied
attempt(lambda: fill(small))
attempt(lambda: fill(small, large))
attempt(lambda: find_on_volume(place, volume_metadata(place), ModelRef("acme/small"), locked=small, checks=Checks()))
attempt(lambda: sorted(path.name for path in place.glob(".modelenv/staging/*")))
"""
    assert isolated(SMALL_DISK, code, place=place).splitlines() == [
        "('small',)",
        f"NoSpaceError | the model's files do not fit on the disk | 2.1 MB free in {place}: 1.1 MB too little | "
        "free space or change the rights there; what the volume held before still loads",
        f"{place}/acme/small",
        "[]",
    ]


@needs_root
def test_a_read_only_cache_of_another_user(
    hub: EmbeddedHub, isolated: Isolated, lock_path: Path, tmp_path: Path
) -> None:
    from modelenv.locks.project_lock import read_lockfile

    place = tmp_path / "cache"
    small = read_lockfile(lock_path).by_alias("small")
    assert small is not None
    path = obtain_locked(Store(place), small, Deadline(20), fetches=True, checks=Checks()).path
    before = state_of(place)
    hub.clear()
    code = "attempt(lambda: obtain(small)); attempt(lambda: obtain(large))"
    said = isolated(READ_ONLY, code, place=place, user=True).splitlines()
    assert said[0] == str(path)
    assert said[1].startswith("ModelNotFoundError | the locked commit ")
    assert "the store cannot be written" in said[1]
    assert state_of(place) == before
    hub.assert_no_requests()


@needs_root
def test_a_volume_that_cannot_be_written(isolated: Isolated, tmp_path: Path) -> None:
    place = tmp_path / "volume"
    place.mkdir()
    code = "attempt(lambda: Volume(place).fill(Lockfile((small,)), lambda model: place, Deadline(5)))"
    said = isolated(READ_ONLY, code, place=place)
    assert said == (
        f"ConfigurationError | models cannot be written to this folder | {place}: Read-only file system | "
        "free space or change the rights there; what the volume held before still loads\n"
    )


@needs_root
def test_a_cache_that_belongs_to_another_user(isolated: Isolated, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    place.mkdir(mode=0o755)
    code = "attempt(lambda: obtain(small))"
    said = isolated("true", code, place=place, user=True)
    assert said.startswith("ModelNotFoundError | the locked commit ")
    (place / ".locks").mkdir()
    place.chmod(0o777)
    said = isolated("true", code, place=place, user=True)
    assert said.startswith(
        f"ConfigurationError | models cannot be written to this folder | {place}: Permission denied | "
    )


def test_a_read_only_root_with_damage_says_what_to_do(
    hub: EmbeddedHub, make_model: MakeModel, lock: Lock, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(make_model(), "acme/model")
    locked: LockedModel = lock()
    path = obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks()).path
    (path / "config.json").resolve().write_text("[]")
    monkeypatch.setattr(Store, "is_read_only", lambda self: True)  # root always has permission
    hub.clear()
    with pytest.raises(ModelIntegrityError, match="its files do not match the lock: 1 changed"):
        obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks())
    with pytest.raises(ModelNotFoundError, match="the store cannot be written"):
        obtain_locked(Store(store.root / "empty"), locked, Deadline(20), fetches=True, checks=Checks())
    hub.assert_no_requests()


def test_a_file_instead_of_the_root(hub: EmbeddedHub, make_model: MakeModel, lock: Lock, tmp_path: Path) -> None:
    hub.add(make_model(), "acme/model")
    locked = lock()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigurationError, match="models cannot be written to this folder"):
        obtain_locked(Store(tmp_path / "file"), locked, Deadline(20), fetches=True, checks=Checks())
