import encoder
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return encoder.fetch(tmp_path_factory.mktemp("model") / "embedder")


def test_weights(folder):
    assert sum(each.numel() for each in encoder.load(folder).parameters()) > 0


def test_eval_mode(folder):
    assert not encoder.load(folder).training
