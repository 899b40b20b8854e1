"""The same collector with real models: `pytest --real-models`, with any number of workers."""
# ruff: noqa: SLF001

import pytest
from sentiment_service import SentimentCollector

from modelenv import ModelSource

pytestmark = pytest.mark.integration


@pytest.fixture
def collector(real_models):
    return SentimentCollector()


def test_the_models_are_downloaded_on_demand(collector):
    assert collector.models.environment is ModelSource.DOWNLOAD_ON_DEMAND


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Bitcoin price surge, a record high", "POSITIVE"),
        ("Traders celebrate great gains", "POSITIVE"),
        ("Bitcoin price crash, panic and huge losses", "NEGATIVE"),
        ("A terrible loss, fear spreads", "NEGATIVE"),
    ],
)
@pytest.mark.parametrize("kind", ["crypto", "stock"])
async def test_the_sentiment_is_correct(collector, text, label, kind):
    found = await collector._analyze_sentiment(text, kind)

    assert found["label"] == label
    assert 0.5 < found["score"] <= 1


async def test_answers_are_in_the_order_of_the_texts(collector):
    found = await collector.collect(["a great profit", "an awful loss"], "stock")

    assert [answer["label"] for answer in found] == ["POSITIVE", "NEGATIVE"]


async def test_a_text_is_most_similar_to_itself(collector):
    assert await collector.similarity("Bitcoin surges", "Bitcoin surges") == pytest.approx(1, abs=1e-4)


async def test_a_similar_text_is_closer_than_a_different_one(collector):
    similar = await collector.similarity("The price of Bitcoin rose", "Bitcoin became more expensive")
    different = await collector.similarity("The price of Bitcoin rose", "The cat sleeps in the garden")

    assert similar > different + 0.3
