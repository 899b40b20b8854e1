"""`import modelenv`: it is fast and complete, and there is one default manager."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

import modelenv

HEAVY = [
    "torch", "transformers", "huggingface_hub", "filelock", "pytest", "asyncio", "typing", "dataclasses", "pathlib",
    "re", "json", "enum", "inspect", "logging", "threading", "tomllib", "dotenv", "typer", "rich", "starlette",
]  # fmt: skip


def run(code: str, *options: str, cwd: Path | None = None) -> str:
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", modelenv.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(modelenv, name) is getattr(modelenv, name)


def test_the_names_are_sorted_and_shown() -> None:
    assert sorted(modelenv.__all__) == modelenv.__all__
    assert set(modelenv.__all__) <= set(dir(modelenv))
    assert dir(modelenv) == sorted(set(dir(modelenv)))


def test_everything_can_be_imported_at_once() -> None:
    assert run("from modelenv import *; print(SmartModelManager, detect_environment().value)").startswith("<class")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'modelenv' has no attribute 'nothing'$"):
        _ = modelenv.nothing
    with pytest.raises(ImportError, match="nothing"):
        exec("from modelenv import nothing")


def test_the_version_is_that_of_the_distribution() -> None:
    assert modelenv.__version__ == importlib.metadata.version("modelenv")


def test_the_import_imports_no_other_library() -> None:
    # `site` is disabled, because its .pth files can import anything.
    source = str(Path(modelenv.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {source!r}); before = set(sys.modules); import modelenv\n"
    brought = set(run(code + "print(*(set(sys.modules) - before))", "-S", "-E").split())
    assert brought == {"modelenv", "__future__"}
    assert not brought & set(HEAVY)


def test_the_import_is_faster_than_argparse() -> None:
    code = (
        "import time\n"
        "times = [time.process_time()]\n"
        "import modelenv; times.append(time.process_time())\n"
        "import argparse; times.append(time.process_time())\n"
        "print(times[1] - times[0] < times[2] - times[1])"
    )
    assert any(run(code) == "True\n" for _ in range(3))  # usually it takes a twentieth of the time


def test_detecting_imports_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys, modelenv; modelenv.detect_environment(); modelenv.model_manager\n"
        "print(*(set(sys.modules) & {'torch', 'transformers', 'huggingface_hub', 'filelock', 'pytest', 'typer'}))"
    )
    assert run(code, cwd=tmp_path).split() == []


@pytest.mark.slow
def test_the_default_manager_is_created_once_on_first_use(tmp_path: Path) -> None:
    code = (
        "import json, sys, modelenv\n"
        "before = 'modelenv.manager' in sys.modules, 'model_manager' in vars(modelenv)\n"
        "from modelenv import model_manager\n"
        "print(json.dumps([before, model_manager is modelenv.model_manager, type(model_manager).__name__]))"
    )
    assert json.loads(run(code, cwd=tmp_path)) == [[False, False], True, "SmartModelManager"]


def test_concurrent_threads_get_one_manager(tmp_path: Path) -> None:
    code = (
        "import threading, time, modelenv\n"
        "from modelenv.manager import SmartModelManager\n"
        "made, got, barrier = [], [], threading.Barrier(8)\n"
        "init = SmartModelManager.__init__\n"
        "def slow(self):\n    made.append(self); time.sleep(0.05); init(self)\n"
        "SmartModelManager.__init__ = slow\n"
        "def ask():\n    barrier.wait(60); got.append(modelenv.model_manager)\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "[thread.start() for thread in threads]; [thread.join(60) for thread in threads]\n"
        "print(len(made), len(got), len(set(map(id, got))))"
    )
    assert run(code, cwd=tmp_path) == "1 8 1\n"


def test_an_invalid_setting_is_an_error_until_it_is_corrected(tmp_path: Path) -> None:
    code = (
        "import os, modelenv\n"
        "for source in ('cloud', 'cloud', 'mock_models'):\n"
        "    os.environ['MODEL_SOURCE'] = source\n"
        "    try: print(modelenv.model_manager.environment.value)\n"
        "    except modelenv.ConfigurationError as error: print(error.what)"
    )
    wrong = "source: unknown model source (from variable MODEL_SOURCE)\n"
    assert run(code, cwd=tmp_path) == wrong * 2 + "mock_models\n"
