import pytest
from huggingface_hub import HfApi, hf_hub_download


@pytest.mark.model("User")
def test_manager(model_manager):
    assert model_manager == "User.objects"


def test_model(model, tiny_model):
    assert (model, tiny_model) == ("User", "a tiny database model")


def test_options(pytestconfig):
    assert pytestconfig.getoption("--model_source") == "the database"
    assert pytestconfig.option.real_models


@pytest.mark.integration
def test_download(model_name):
    assert hf_hub_download(model_name, "config.json")


@pytest.mark.integration("needs the Hub")
def test_info(model_name):
    assert HfApi().model_info(model_name).id == model_name


@pytest.mark.integration(reason="needs the Hub")
class TestHub:
    def test_exists(self, model_name):
        assert HfApi().repo_exists(model_name)

    def test_does_not_exist(self, model):
        assert not HfApi().repo_exists(f"acme/{model}")
