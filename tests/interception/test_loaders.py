"""Unchanged code that loads a model by its plain name: no request when warm, one per file when cold."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import modelenv
from modelenv import Installation, Settings, force_environment
from modelenv.environment.project import Alias
from modelenv.fetching.resolving import Locker
from modelenv.hub import EmbeddedHub
from modelenv.locks.project_lock import Lockfile, write_lockfile
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .conftest import asked

pytestmark = pytest.mark.integration

SECONDS = 250
TEXT, EMBED = "acme/sentiment", "acme/embed"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER = ["tokenizer.json", "tokenizer_config.json"]
MODULES = ["1_Pooling/config.json", "config_sentence_transformers.json", "modules.json", "sentence_bert_config.json"]
NOBODY_LISTENS = "http://127.0.0.1:9"


def tokenizer(name: str, **options: Any) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name, **options)("good")["input_ids"]


def model(name: str) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(name)


def pipeline(name: str, *task: str) -> Any:
    from transformers import pipeline

    return pipeline(*task, model=name)("good")


def fast_tokenizer(name: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_pretrained(name)


def embedding(name: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name).encode("good")


LOADERS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "AutoTokenizer": (lambda: tokenizer(TEXT), [CONFIG, *TOKENIZER]),
    "AutoTokenizer, main": (lambda: tokenizer(TEXT, revision="main"), [CONFIG, *TOKENIZER]),
    "AutoModel": (lambda: model(TEXT), [CONFIG, WEIGHTS]),
    "pipeline": (lambda: pipeline(TEXT, "text-classification"), [CONFIG, WEIGHTS, *TOKENIZER]),
    "pipeline without a task": (lambda: pipeline(TEXT), [CONFIG, WEIGHTS, *TOKENIZER]),
    "Tokenizer": (lambda: fast_tokenizer(TEXT), ["tokenizer.json"]),
    "SentenceTransformer": (lambda: embedding(EMBED), [CONFIG, WEIGHTS, *TOKENIZER, *MODULES]),
}


@pytest.fixture(scope="module")
def repos(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a classifier and of a SentenceTransformer that is made of it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    folder = tmp_path_factory.mktemp("repos")
    shutil.copytree(classifier, folder / TEXT)
    transformer = Transformer(str(classifier))
    pooling = Pooling(transformer.get_embedding_dimension())
    SentenceTransformer(modules=[transformer, pooling]).save(str(folder / EMBED))
    return folder


@pytest.fixture
def hub(repos: Path, tmp_path: Path) -> Iterator[EmbeddedHub]:
    variables = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_CACHE": None}
    with EmbeddedHub(repos) as hub, force_environment(variables={**variables, "HF_ENDPOINT": hub.endpoint}):
        yield hub


@pytest.fixture
def project(hub: EmbeddedHub, tmp_path: Path) -> Path:
    """A project with a lock of both models, and an empty cache."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(f'[tool.modelenv.models]\ntext = "{TEXT}"\nembed = "{EMBED}"\n')
    models = {"text": Alias(ModelRef(TEXT)), "embed": Alias(ModelRef(EMBED))}
    lock = Locker(Store(tmp_path / "locking"), 100).lock(models, Lockfile())
    write_lockfile(folder / "modelenv.lock", lock)
    return folder


@pytest.fixture
def install(project: Path, hub: EmbeddedHub) -> Iterator[Callable[..., Installation]]:
    """Call `modelenv.install()` in the project. The Hub's log is empty afterwards."""

    def call(source: str = "local_cache", *, refuse: bool | None = None, **settings: Any) -> Installation:
        found = Settings.load(
            source=source, project_dir=project, cache_dir=project / "cache", timeout=100, **settings
        )
        hub.clear()
        return modelenv.install(settings=found, refuse=refuse)

    yield call
    modelenv.uninstall()


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_asks_for_missing_files_alone(
    hub: EmbeddedHub, install: Callable[..., Installation], name: str
) -> None:
    load, files = LOADERS[name]
    unlocked = {"README.md": 2} if name == "SentenceTransformer" else {}
    with install() as installation:
        load()
    requests = [f"GET resolve {path}" for path in files]
    requests += [f"{method} resolve {path}" for path in unlocked for method in ("GET", "HEAD")]
    assert sorted(asked(hub)) == sorted(requests)
    assert {what.file: count for what, count in installation.passed_through.items()} == unlocked
    with install() as installation:
        load()
    hub.assert_no_requests()
    assert installation.passed_through == {}


@pytest.mark.parametrize("name", ["AutoTokenizer", "AutoModel", "pipeline", "SentenceTransformer"])
def test_a_refused_model_is_named_in_the_error(
    hub: EmbeddedHub, install: Callable[..., Installation], name: str
) -> None:
    loaders = {"AutoTokenizer": tokenizer, "AutoModel": model, "pipeline": pipeline, "SentenceTransformer": embedding}
    install(refuse=True)
    with pytest.raises(Exception, match="not locked, and requests for what is not locked are refused here") as error:
        loaders[name]("acme/other")
    assert "declare the model in [tool.modelenv.models], then run `modelenv lock`" in str(error.value)
    hub.assert_no_requests()


@pytest.mark.parametrize("name", ["AutoTokenizer", "AutoModel", "pipeline", "SentenceTransformer"])
def test_a_damaged_file_that_cannot_be_replaced_is_named(
    hub: EmbeddedHub,
    install: Callable[..., Installation],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    load, _ = LOADERS[name]
    install()
    load()
    for blob in (project / "cache").rglob("blobs/*"):
        blob.write_bytes(blob.read_bytes()[:-1] + b"~")
    monkeypatch.setattr("modelenv.store.store.Store.is_read_only", lambda store: True)
    with pytest.raises(Exception, match=r"acme/\w+: its files do not match the lock: \d changed"):
        load()


def test_a_disk_that_is_full_is_named(install: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=100))
    install()
    with pytest.raises(modelenv.NoSpaceError, match="the model's files do not fit on the disk"):
        model(TEXT)


def test_threads_and_tasks_load_once(hub: EmbeddedHub, install: Callable[..., Installation]) -> None:
    install()
    with ThreadPoolExecutor(20) as pool:
        assert len(set(map(str, pool.map(tokenizer, [TEXT] * 20)))) == 1

    async def gather() -> None:
        await asyncio.gather(*(asyncio.to_thread(tokenizer, TEXT) for _ in range(5)))

    asyncio.run(gather())
    assert sorted(asked(hub)) == [f"GET resolve {path}" for path in [CONFIG, *TOKENIZER]]


def test_a_service_on_a_volume_loads_by_name(
    hub: EmbeddedHub, project: Path, tmp_path: Path, make_environ: Callable[..., dict[str, str]]
) -> None:
    def run(*command: str, **variables: str) -> None:
        environ = make_environ(MODEL_VOLUME_DIR=str(tmp_path / "volume"), OMP_NUM_THREADS="1", **variables)
        done = subprocess.run(
            [sys.executable, *command], cwd=project, env=environ, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, done.stderr

    run("-m", "modelenv", "pull", "--to", str(tmp_path / "volume"), HF_ENDPOINT=hub.endpoint, NO_PROXY="127.0.0.1")
    service = (
        "import modelenv; modelenv.install()\n"
        "from transformers import pipeline; from sentence_transformers import SentenceTransformer\n"
        f"pipeline('text-classification', model={TEXT!r})('good'); SentenceTransformer({EMBED!r}).encode('good')"
    )
    run("-c", service, HF_ENDPOINT=NOBODY_LISTENS)
    run("-c", service, HF_ENDPOINT=NOBODY_LISTENS, HF_HUB_OFFLINE="1")
