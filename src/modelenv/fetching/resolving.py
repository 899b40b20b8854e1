"""Creates the lock of a project's declared models from the Hub's current information.

The Hub reports the size of each file, and the sha256 of files in large file storage. The other files are small: they
are fetched once, into the cache where `modelenv pull` would put them, and hashed there.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import is_offline, offline_variable
from modelenv.environment.project import Alias
from modelenv.errors import ModelDownloadError, ModelIntegrityError, UnsafeModelError
from modelenv.fetching.answers import check_blob, check_names, commit_of
from modelenv.fetching.blobs import BlobFetch, WantedFile
from modelenv.fetching.leftovers import remove_leftovers
from modelenv.fetching.monitor import Monitor, monitored
from modelenv.fetching.retries import RetryPolicy, with_retries
from modelenv.fetching.snapshot import translated
from modelenv.files.layouts import CONFIG, cache_folders
from modelenv.locks.declarations import is_as_declared
from modelenv.locks.facts import facts_of
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.references import ModelRef
from modelenv.store.integrity import read_json
from modelenv.store.loadable import check_locked_set
from modelenv.store.model_files import ModelFiles
from modelenv.store.needed_files import plan_files
from modelenv.store.needs import lacking
from modelenv.store.store import Store
from modelenv.store.weights import INDEX, LOCKING_PICKLES

_TOKENIZER = "tokenizer_config.json"


@dataclass(frozen=True)
class Locker:
    """Creates locks.

    Attributes:
        store: The store for files that are fetched to be hashed.
        seconds: The time limit for each model.
        policy: The policy for retries.
        starting: Called with the alias of each model before the Hub is asked about it.
    """

    store: Store
    seconds: float
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    starting: Callable[[str], None] = lambda alias: None

    def lock(
        self, declared: Mapping[str, Alias], current: Lockfile, *, upgrade: Collection[str] = frozenset()
    ) -> Lockfile:
        """Return the lock of the declared models.

        Args:
            declared: The declared models by alias.
            current: The current lock. A model whose declaration is unchanged keeps its commit, without requests to
                the Hub.
            upgrade: The aliases to move to the newest commit of their revision.

        Raises:
            ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError, NoSpaceError: A fetch failed.
            ModelIntegrityError: A repo contains none of the declared files, or its files are not a loadable model.
            UnsafeModelError: The weights that would be loaded are pickled or outside of the model's folder.
        """
        return Lockfile(tuple(self._locked(name, alias, current, upgrade) for name, alias in declared.items()))

    def newest(self, locked: LockedModel) -> str:
        """Return the current commit of the model's declared revision, with one request to the Hub."""
        ref = ModelRef(locked.repo, locked.revision)
        with monitored(Deadline(self.seconds), ref.repo_id) as monitor, translated(self.store, ref, monitor):
            return commit_of(self._info(ref, monitor, files=False), ref)

    def contents(self, ref: ModelRef) -> tuple[str, tuple[str, ...]]:
        """Return the current commit of a revision and the paths of its files, with one request to the Hub."""
        with monitored(Deadline(self.seconds), ref.repo_id) as monitor, translated(self.store, ref, monitor):
            info = self._info(ref, monitor, files=False)
            return commit_of(info, ref), tuple(sorted(sibling.rfilename for sibling in info.siblings or ()))

    def task(self, ref: ModelRef) -> str | None:
        """Return the model's task on the Hub (its `pipeline_tag`) or None, with one request to the Hub."""
        with monitored(Deadline(self.seconds), ref.repo_id) as monitor, translated(self.store, ref, monitor):
            tag = self._info(ref, monitor, files=False).pipeline_tag
        return None if tag is None else str(tag)

    def _locked(self, name: str, alias: Alias, current: Lockfile, upgrade: Collection[str]) -> LockedModel:
        locked = current.by_alias(name)
        if locked is not None and name not in upgrade and is_as_declared(alias, locked):
            return replace(locked, task=alias.task)
        self.starting(name)
        deadline = Deadline(self.seconds)
        with monitored(deadline, alias.ref.repo_id) as monitor, translated(self.store, alias.ref, monitor):
            info = self._info(alias.ref, monitor, files=True)
        commit = commit_of(info, alias.ref)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        paths = _chosen(alias, sorted(siblings))
        return self._with_hashes(name, alias, ModelRef(alias.ref.repo_id, commit), siblings, paths, deadline)

    def _with_hashes(
        self,
        name: str,
        alias: Alias,
        ref: ModelRef,
        siblings: Mapping[str, Any],
        paths: Sequence[str],
        deadline: Deadline,
    ) -> LockedModel:
        blobs = cache_folders(self.store.root, ref)[0].blobs
        with self.store.lock(ref, deadline):
            remove_leftovers(self.store, ref)
            while True:
                wanted = [_wanted(siblings[path], ref) for path in paths]
                to_read = [file for file in wanted if file.sha256 is None or _must_be_read(file.path)]
                fetched = BlobFetch(self.store, ref, blobs, self.policy).fetch(to_read, deadline)
                by_path = {file.path: blobs / file.blob_id for file in to_read}
                there = _model_files(ref, wanted, by_path)
                # The files can require others, such as the weights of a module.
                more = set() if alias.files else lacking(there, siblings, modules=True, pickles=alias.task is None)
                if not more:
                    break
                paths = [*paths, *sorted(more)]
            check_locked_set(there, alias.task, alias.files)
            facts = facts_of(_json(by_path.get(CONFIG)), _json(by_path.get(_TOKENIZER)))
        hashes = {file.path: fetched.fingerprints[file.blob_id].sha256 for file in to_read}
        files = tuple(
            LockedFile(file.path, file.size, file.sha256 or hashes[file.path] or "", file.blob_id) for file in wanted
        )
        revision, commit = alias.ref.revision, ref.revision or ""
        return LockedModel(name, ref.repo_id, revision, commit, alias.task, files, alias.files, facts)

    def _info(self, ref: ModelRef, monitor: Monitor, *, files: bool) -> Any:
        from huggingface_hub import HfApi

        if is_offline():
            raise ModelDownloadError(
                "locking this model needs the Hub, and offline mode is on",
                model=str(ref),
                found=f"{offline_variable()} is set",
                hint=f"unset {offline_variable()}",
            )
        api = HfApi(headers=monitor.headers)

        def ask() -> Any:
            monitor.watch()
            return api.model_info(ref.repo_id, revision=ref.revision, files_metadata=files)

        return with_retries(ask, monitor, self.policy)


def _chosen(alias: Alias, names: Sequence[str]) -> tuple[str, ...]:
    if not alias.files:
        try:
            return plan_files(names, model=alias.ref.repo_id, modules=alias.task is None)
        except UnsafeModelError as error:
            raise UnsafeModelError(
                error.what, model=error.model, expected=error.expected, found=error.found, hint=LOCKING_PICKLES
            ) from None  # fmt: skip
    chosen = tuple(name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in alias.files))
    if not chosen:
        raise ModelIntegrityError(
            "no file in the repo matches the declared patterns",
            model=alias.ref.repo_id,
            expected=", ".join(alias.files),
            found=", ".join(names[:20]) or "an empty repo",
            hint="correct `files` in [tool.modelenv.models]",
        )
    return chosen


def _wanted(sibling: Any, ref: ModelRef) -> WantedFile:
    """Return the file that the Hub lists. Its blob is named by the sha256 in large file storage, else by the git id.

    Raises:
        ModelDownloadError: The Hub does not report these values, or they are invalid.
    """
    check_names([sibling.rfilename], ref)
    if sibling.lfs is not None:
        check_blob(sibling.rfilename, sibling.lfs.size, sibling.lfs.sha256, ref)
        return WantedFile(sibling.rfilename, sibling.lfs.size, sibling.lfs.sha256, sibling.lfs.sha256)
    if sibling.size is None or sibling.blob_id is None:
        raise ModelDownloadError(
            "the Hub does not report the size and the blob id of a file",
            model=str(ref),
            found=sibling.rfilename,
            hint="check HF_ENDPOINT: a mirror might not report everything that the Hub does",
        )
    check_blob(sibling.rfilename, sibling.size, sibling.blob_id, ref)
    return WantedFile(sibling.rfilename, sibling.size, sibling.blob_id, None)


def _must_be_read(path: str) -> bool:
    """Whether the content of a file matters to the lock: facts for a fake, or the names of other files."""
    return path in (CONFIG, _TOKENIZER) or path.endswith(INDEX)


def _model_files(ref: ModelRef, wanted: Sequence[WantedFile], by_path: Mapping[str, Path]) -> ModelFiles:
    def read(name: str, kind: type[Any]) -> Any:
        return read_json(by_path[name], ref.repo_id, kind)

    return ModelFiles(ref.repo_id, str(ref), frozenset(file.path for file in wanted), read)


def _json(path: Path | None) -> Mapping[str, Any]:
    """Return the JSON object in a file, or an empty one, which gives no facts, if the file is missing or invalid."""
    try:
        content = json.loads(path.read_bytes()) if path is not None else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
