import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
from labels import labels

KNOWN = labels("acme/classifier")  # while the tests are collected


@pytest.mark.parametrize("label", KNOWN)
def test_each_label_is_text(label):
    assert label


def test_the_labels():
    assert labels("acme/classifier") == KNOWN


def test_a_file_that_does_not_exist():
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("acme/classifier", "no-such-file.json")


def test_a_repo_that_does_not_exist():
    with pytest.raises(RepositoryNotFoundError):
        labels("acme/no-such-model")
