"""Hypothesis strategies for locks and for the metadata of volumes."""

from __future__ import annotations

from hypothesis import strategies as st

from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.tasks import TASK_ALIASES, TASKS
from modelenv.volume.metadata import VolumeMetadata, VolumeModel

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VISIBLE = st.characters(
    max_codepoint=0xDFFFF, exclude_categories=["C", "Zl", "Zp"], exclude_characters="/\\\ufffc\ufffd"
)
PARTS = st.text(VISIBLE, min_size=1, max_size=20).filter(lambda part: part not in (".", ".."))
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}(/[A-Z][a-z0-9.]{0,10}[a-z])?", fullmatch=True).filter(
    lambda name: ".." not in name and not name.endswith(".git")
)
SHA1 = st.binary(min_size=20, max_size=20).map(bytes.hex)
SHA256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
FACTS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{2,10}_", fullmatch=True),
    ANY_TEXT | st.booleans() | NUMBERS | st.lists(ANY_TEXT, max_size=3),
    max_size=4,
)


@st.composite
def locked_files(draw: st.DrawFn, path: str) -> LockedFile:
    sha256 = draw(SHA256)
    return LockedFile(path, draw(st.integers(0, 2**63 - 1)), sha256, draw(st.just(sha256) | SHA1))


@st.composite
def locked_models(draw: st.DrawFn) -> LockedModel:
    paths = draw(st.lists(PATHS, min_size=1, max_size=4, unique_by=lambda path: path.split("/")[0]))
    commit = draw(SHA1)
    return LockedModel(
        alias=draw(NAMES),
        repo=draw(NAMES),
        revision=draw(st.none() | st.sampled_from(["main", "v1.0", "refs/pr/1", commit])),
        commit=commit,
        task=draw(st.none() | st.sampled_from(sorted({*TASKS, *TASK_ALIASES, "sentiment"}))),
        files=tuple(draw(locked_files(path)) for path in paths),
        patterns=draw(st.lists(PATHS, max_size=2).map(tuple)),
        facts=draw(FACTS),
    )


MODELS = st.lists(locked_models(), max_size=3, unique_by=lambda model: model.alias)
LOCKFILES = MODELS.map(lambda models: Lockfile(tuple(models)))


@st.composite
def metadata(draw: st.DrawFn) -> VolumeMetadata:
    models = draw(MODELS)
    folders = draw(st.lists(PATHS, min_size=len(models), max_size=len(models), unique=True))
    return VolumeMetadata(tuple(map(VolumeModel, models, folders)))
