import pytest


@pytest.fixture(scope="session")
def model(request):
    return request.config.getoption("--model")


@pytest.fixture
def model_manager(model):
    return f"{model}.objects"


@pytest.fixture
def tiny_model():
    return "a tiny database model"
