"""A folder that cannot be written: the error names the setting that changes it, for each source."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelenv.commands.places import cache_of
from modelenv.deadlines import Deadline
from modelenv.environment.libraries import environment
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError
from modelenv.hub import EmbeddedHub
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .conftest import MakeModel

REF = ModelRef("acme/model")
VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "MODEL_CACHE_DIR")


def fetched(store: Store) -> Path:
    return find_or_fetch_model(store, REF, Deadline(30)).path


@pytest.mark.parametrize(
    ("source", "variable", "named"),
    [
        (ModelSource.LOCAL_CACHE, "MODEL_CACHE_DIR", "MODEL_CACHE_DIR"),
        (ModelSource.DOWNLOAD_ON_DEMAND, "MODEL_CACHE_DIR", "MODEL_CACHE_DIR"),
        (ModelSource.HUGGINGFACE_HUB, "HF_HOME", "HF_HOME"),
        (ModelSource.HUGGINGFACE_HUB, "HF_HUB_CACHE", "HF_HUB_CACHE"),
        (ModelSource.HUGGINGFACE_HUB, "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"),
    ],
)
def test_the_setting_in_the_hint_helps(
    hub: EmbeddedHub, make_model: MakeModel, tmp_path: Path, source: ModelSource, variable: str, named: str
) -> None:
    hub.add(make_model(), "acme/model")
    (tmp_path / "file").write_text("no folder can be made below this")
    nothing = dict.fromkeys(VARIABLES[1:])

    def store() -> Store:
        return Store.of(source, Settings.load())

    with environment({**nothing, variable: str(tmp_path / "file" / "models")}):
        with pytest.raises(ConfigurationError) as caught:
            fetched(store())
        assert caught.value.hint == f"set {named} to a folder that this user can write, or fill the store beforehand"
        with environment({named: str(tmp_path / "writable")}):
            assert fetched(store()).is_relative_to(tmp_path / "writable")


def test_the_hint_names_an_argument_or_an_option(tmp_path: Path) -> None:
    settings = Settings.load(cache_dir=tmp_path / "models")
    assert Store.of(ModelSource.LOCAL_CACHE, settings).setting == "cache_dir"
    assert cache_of(settings, None).setting == "cache_dir"
    assert cache_of(settings, tmp_path / "other").setting == "--cache-dir"
    with environment({"MODEL_CACHE_DIR": str(tmp_path)}):
        assert cache_of(Settings.load(), None).setting == "MODEL_CACHE_DIR"
    assert Store.of(ModelSource.PERSISTENT_VOLUME, settings).setting == "MODEL_VOLUME_DIR"
