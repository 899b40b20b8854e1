import pytest

pytest_plugins = ["tests.fixtures"]


def pytest_addoption(parser):
    parser.addoption("--model-name", default="acme/classifier", help="the model to load")
    parser.addoption("--model_source", default="the database")
    parser.addoption("--real_models", action="store_true", default=True)
    parser.addoption("--model", default="User", help="the database model")


@pytest.fixture
def model_name(request):
    return request.config.getoption("--model-name")
