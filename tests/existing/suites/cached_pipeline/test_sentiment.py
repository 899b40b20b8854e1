import pytest
from sentiment import label


def test_nothing_is_loaded_at_import():
    import sentiment

    assert sentiment.classifier.cache_info().currsize == 0


def test_a_label():
    assert isinstance(label("bitcoin price surge"), str)


def test_the_same_label():
    assert label("good news") == label("good news")


@pytest.mark.xfail(reason="random weights", strict=True)
def test_the_right_label():
    assert label("good news") == "VERY GOOD"


@pytest.mark.skip(reason="needs a GPU")
def test_on_a_gpu():
    assert label("good news")


def test_that_fails():
    assert label("bad news") == "no such label", "this one has failed for months"
