"""Programs that know nothing of modelenv read a volume with the layout `hub`: read-only, without rights, no Hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelenv.hub import EmbeddedHub

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a folder and become another user"),
]

SECONDS = 250
DROP = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")
TEXT, EMBED, ALONE = "acme/sentiment", "acme/embed", "alone"
NOBODY_LISTENS = "http://127.0.0.1:9"
COMMON = """
import errno, json, os, sys
from pathlib import Path
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

commit, found = sys.argv[1], {}
try:
    Path(os.environ["HF_HUB_CACHE"], "probe").write_text("")
except OSError as error:
    found["write"] = errno.errorcode[error.errno]
found["user"] = os.getuid()
found["file"] = hf_hub_download("acme/sentiment", "config.json")
found["folders"] = [snapshot_download("acme/sentiment", revision=name) for name in (None, "main", "v1", commit)]
found["alone"] = snapshot_download("alone")
found["labels"] = AutoModelForSequenceClassification.from_pretrained("acme/sentiment", revision="v1").num_labels
"""
# Only offline: otherwise, the client tries for about 20 s to ask for each listing and each optional file.
OFFLINE = """
from sentence_transformers import SentenceTransformer
from modelenv import SmartModelManager

found["tokens"] = len(AutoTokenizer.from_pretrained("acme/sentiment")("good")["input_ids"])
found["pipeline"] = pipeline("text-classification", model="acme/sentiment")("a record high")[0]["label"]
found["embedding"] = SentenceTransformer("acme/embed").encode("good").shape[0]
cache = scan_cache_dir()
found["scanned"] = sorted(repo.repo_id for repo in cache.repos)
found["corrupt"] = [str(each) for each in cache.warnings if "models--" in str(each)]
loaded = SmartModelManager("persistent_volume").load_model("acme/sentiment", "text-classification")
found["manager"] = loaded("a record high")[0]["label"], loaded.model.name_or_path
"""
PRINT = "\nprint(json.dumps(found))"


@pytest.fixture(scope="module")
def repos(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a classifier, with and without an organisation, and of a SentenceTransformer made of it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    folder = tmp_path_factory.mktemp("repos")
    for name in (TEXT, ALONE):
        shutil.copytree(classifier, folder / name)
    transformer = Transformer(str(classifier))
    pooling = Pooling(transformer.get_embedding_dimension())
    SentenceTransformer(modules=[transformer, pooling]).save(str(folder / EMBED))
    return folder


@pytest.fixture
def tmp_path(open_tmp_path: Path) -> Path:
    """The test's folder. Other users can enter it."""
    return open_tmp_path


Modelenv = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def modelenv(repos: Path, tmp_path: Path, make_environ: Callable[..., dict[str, str]]) -> Iterator[Modelenv]:
    """A function that runs the command line in a project that declares the three models."""
    project = tmp_path / "project"
    project.mkdir()
    with EmbeddedHub(repos) as hub:
        from huggingface_hub import HfApi

        HfApi(endpoint=hub.endpoint, token="any").create_tag(TEXT, tag="v1")
        declared = {"text": (TEXT, None), "tagged": (TEXT, "v1"), "embed": (EMBED, None), "alone": (ALONE, None)}
        lines = [
            f'{alias} = {{ repo = "{repo}"' + ("" if revision is None else f', revision = "{revision}"') + " }"
            for alias, (repo, revision) in declared.items()
        ]
        (project / "pyproject.toml").write_text("\n".join(["[tool.modelenv.models]", *lines, ""]))
        environ = make_environ(HF_ENDPOINT=hub.endpoint, MODEL_CACHE_DIR=str(tmp_path / "cache"))

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                [sys.executable, "-m", "modelenv", *arguments], cwd=project, env=environ,
                capture_output=True, text=True, timeout=SECONDS, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done

        run("lock")
        yield run


def as_nobody(volume: Path, *command: str, **variables: str) -> dict[str, Any]:
    """Run a program as an unprivileged user in a root of its own, in which the volume is mounted read-only."""
    mounting = f'mount --bind "{volume}" "{volume}" && mount -o remount,bind,ro "{volume}" && exec "$@"'
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    home = {"HOME": "/nonexistent", "HF_HOME": "/nonexistent/hf", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", mounting, "bash", *DROP, *command],
        env={**environ, **home, "HF_HUB_CACHE": str(volume), "MODEL_VOLUME_DIR": str(volume), **variables},
        cwd="/", capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if "unshare failed" in done.stderr or "mount: " in done.stderr:
        pytest.skip(f"no folder can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_variable_alone_serves_every_program(
    modelenv: Modelenv, tmp_path: Path, nobody_runs_python: None
) -> None:
    volume = tmp_path / "volume"
    modelenv("pull", "--to", str(volume), "--layout", "hub")
    [folder] = (volume / "models--acme--sentiment/snapshots").iterdir()
    [alone] = (volume / "models--alone/snapshots").iterdir()
    common = {
        "write": "EROFS", "user": 65534, "file": str(folder / "config.json"), "folders": [str(folder)] * 4,
        "alone": str(alone), "labels": 3,
    }  # fmt: skip
    program = (sys.executable, "-c", COMMON + PRINT, folder.name)
    assert as_nobody(volume, *program, HF_ENDPOINT=NOBODY_LISTENS) == common
    program = (sys.executable, "-c", COMMON + OFFLINE + PRINT, folder.name)
    assert as_nobody(volume, *program, HF_HUB_OFFLINE="1") == {
        **common, "tokens": 3, "pipeline": "POSITIVE", "embedding": 32, "scanned": [EMBED, TEXT, ALONE],
        "corrupt": [], "manager": ["POSITIVE", str(folder)],
    }  # fmt: skip
