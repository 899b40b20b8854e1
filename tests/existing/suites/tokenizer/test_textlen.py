import pytest
from textlen import count_tokens


@pytest.mark.parametrize("text", ["bitcoin", "bitcoin price surge"])
def test_longer_texts_have_more_tokens(text):
    assert count_tokens(text) < count_tokens(text + " and the market is up")


def test_no_tokens_are_lost():
    assert count_tokens("bitcoin price") > 0


def test_arithmetic():
    assert 1 + 1 == 2
