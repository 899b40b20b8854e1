"""The test bench for kills: a Hub with two commits of two models, and stores, volumes and locks in every state."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import Random

from modelenv.locks.project_lock import Lockfile, read_lockfile

from .children import Child, run

MODELS = {"first": "acme/first", "second": "acme/second"}
SECONDS = 200.0
_SHARDS, _SHARD_SIZE = 2, 400_000
_BYTES_PER_SECOND = 1_000_000
_HEAVY = (
    "filelock",
    "huggingface_hub.hf_api",
    "huggingface_hub.file_download",
    "modelenv.cli",
    "modelenv.commands.fetching",
    "modelenv.commands.locks",
    "modelenv.volume.filling",
)
Truth = Mapping[str, Mapping[str, str]]
"""The sha256 of every file, by `repo@commit` and by path."""


@dataclass(frozen=True)
class Case:
    """A command in one state.

    Attributes:
        arguments: The arguments of the command line. `VOLUME` is replaced by the volume's folder.
        project: The template of the project: `none` without a lock, `a` or `b` with the lock of that commit.
        cache: The template of the cache, or None for an empty cache.
        volume: The template of the volume, or None for an empty volume.
        layout: The layout of the template of the volume: `volume` or `hub`.
        damaged: The folder in which one byte is flipped first: `cache`, `volume` or None.
    """

    arguments: tuple[str, ...]
    project: str
    cache: str | None = None
    volume: str | None = None
    layout: str = "volume"
    damaged: str | None = None

    @property
    def is_hub(self) -> bool:
        return "hub" in self.arguments


HUB = ("pull", "--to", "VOLUME", "--layout", "hub")
CASES = {
    "pull, cold": Case(("pull",), "b"),
    "pull, older commit there": Case(("pull",), "b", cache="a"),
    "pull, damaged byte": Case(("pull",), "b", cache="b", damaged="cache"),
    "pull --to, all cold": Case(("pull", "--to", "VOLUME"), "b"),
    "pull --to, cache warm": Case(("pull", "--to", "VOLUME"), "b", cache="b"),
    "pull --to, older commit there": Case(("pull", "--to", "VOLUME"), "b", cache="b", volume="a"),
    "pull --to, damaged byte": Case(("pull", "--to", "VOLUME"), "b", cache="b", volume="b", damaged="volume"),
    "pull --to, hub, all cold": Case(HUB, "b"),
    "pull --to, hub, older commit there": Case(HUB, "b", cache="b", volume="a", layout="hub"),
    "pull --to, hub, plain there": Case(HUB, "b", cache="b", volume="a"),
    "pull --to, hub, damaged byte": Case(HUB, "b", cache="b", volume="b", layout="hub", damaged="volume"),
    "lock, cold": Case(("lock",), "none"),
    "lock --upgrade": Case(("lock", "--upgrade"), "a", cache="a"),
}


@dataclass(frozen=True)
class Place:
    """The folders of one run."""

    root: Path

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def volume(self) -> Path:
        return self.root / "volume"

    @property
    def lock(self) -> Path:
        return self.project / "modelenv.lock"

    def child(self, arguments: tuple[str, ...], **more: float | None) -> Child:
        """Return a run of the command line in these folders."""
        folders = {"VOLUME": str(self.volume), "HUB_VOLUME": str(self.root / "hub")}
        given = tuple(folders.get(word, word) for word in arguments)
        return Child(given, self.project, {"MODEL_CACHE_DIR": str(self.cache)}, self.root / "output.txt", **more)


@dataclass(frozen=True)
class Bench:
    """The templates, and their correct content.

    Attributes:
        root: The folder that contains everything.
        truth: The hashes of the files of each commit.
        locks: The content of the locks of the commits `a` and `b`.
    """

    root: Path
    truth: Truth
    locks: Mapping[str, bytes]

    def lay_out(self, case: Case, name: str, random: Random) -> Place:
        """Return new folders in the state of the case."""
        place = Place(self.root / "runs" / name)
        place.root.mkdir(parents=True)
        shutil.copytree(self.root / "templates" / case.project / "project", place.project)
        for what, template, source in (("cache", case.cache, "cache"), ("volume", case.volume, case.layout)):
            if template is not None:
                shutil.copytree(self.root / "templates" / template / source, place.root / what, symlinks=True)
        if case.damaged is not None:
            files = (path for path in (place.root / case.damaged).rglob("*") if not path.is_symlink())
            large = sorted(path for path in files if path.is_file() and path.stat().st_size >= _SHARD_SIZE)
            flip_byte(random.choice(large), random)
        return place

    def locked(self, which: str) -> Lockfile:
        """Return the lock of commit `a` or `b`."""
        return read_lockfile(self.root / "templates" / which / "project" / "modelenv.lock")


def flip_byte(path: Path, random: Random) -> None:
    """Change one random bit of a file."""
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


@contextmanager
def made_bench(root: Path) -> Iterator[Bench]:
    """Context manager: serve the models, and create the templates with the command line."""
    served, truth, locks = root / "hub", {}, {}
    _write_models(served, Random(1))
    with _hub(served, root):
        place = Place(root / "templates" / "none")
        place.project.mkdir(parents=True)
        lines = [f'{alias} = {{ repo = "{repo}", task = "text-classification" }}' for alias, repo in MODELS.items()]
        (place.project / "pyproject.toml").write_text("\n".join(["[tool.modelenv.models]", *lines, ""]))
        for which in ("a", "b"):
            if which == "b":
                _write_models(served, Random(2))
            made = Place(root / "templates" / which)
            shutil.copytree(place.project, made.project)
            hub = ("pull", "--to", "HUB_VOLUME", "--layout", "hub")
            for arguments in (("lock",), ("pull",), ("pull", "--to", "VOLUME"), hub):
                ended = run(made.child(arguments), SECONDS)
                if ended.code != 0:
                    raise AssertionError(f"{arguments} ended with {ended.code}: {ended.output}")
            locks[which] = made.lock.read_bytes()
            truth.update(_truth(served, read_lockfile(made.lock)))
        yield Bench(root, truth, locks)


def _truth(served: Path, lock: Lockfile) -> Truth:
    return {
        f"{model.repo}@{model.commit}": {
            file.path: hashlib.sha256((served / model.repo / file.path).read_bytes()).hexdigest()
            for file in model.files
        }
        for model in lock.models
    }


def _write_models(served: Path, random: Random) -> None:
    for repo in MODELS.values():
        folder = served / repo
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"model-{number:05}-of-{_SHARDS:05}.safetensors" for number in range(1, _SHARDS + 1)]
        for name in names:
            _replace_file(folder / name, _safetensors(random))
        index = {"metadata": {}, "weight_map": {name[:11]: name for name in names}}
        _replace_file(folder / "model.safetensors.index.json", json.dumps(index).encode())
        config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "n": random.random()}
        _replace_file(folder / "config.json", json.dumps(config).encode())
        _replace_file(folder / "vocab.txt", random.randbytes(5_000).hex().encode())


def _replace_file(path: Path, content: bytes) -> None:
    """Replace a file that the Hub might be serving."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _safetensors(random: Random) -> bytes:
    """Return a valid file of random weights."""
    header = {"weights": {"dtype": "U8", "shape": [_SHARD_SIZE], "data_offsets": [0, _SHARD_SIZE]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + random.randbytes(_SHARD_SIZE)


@contextmanager
def _hub(served: Path, root: Path) -> Iterator[None]:
    """Serve in another process, so that this one has a single thread and can fork. Slowly, so that kills hit."""
    faults, log = root / "faults.toml", root / "hub.txt"
    faults.write_text(f'[[fault]]\nfile = "*.safetensors"\nbytes_per_second = {_BYTES_PER_SECOND}\n')
    command = [sys.executable, "-m", "modelenv", "hub", "serve", str(served), "--faults", str(faults)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(r"^export HF_ENDPOINT=(\S+) ", log.read_text(), re.MULTILINE)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the embedded Hub did not start: {log.read_text()}")
            time.sleep(0.05)
        os.environ["HF_ENDPOINT"] = found[1]  # before huggingface_hub is imported
        for name in _HEAVY:  # so that the forked runs spend their time on files instead of imports
            import_module(name)
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)
