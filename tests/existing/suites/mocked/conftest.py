import sys
from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def transformers(monkeypatch):
    stub = mock.MagicMock()
    stub.pipeline.return_value.return_value = [{"label": "POSITIVE"}]
    monkeypatch.setitem(sys.modules, "transformers", stub)
    return stub
