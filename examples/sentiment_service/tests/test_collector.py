"""The collector with fakes: how the service uses a model's answers. No torch, no files, no network."""
# ruff: noqa: SLF001

import asyncio

import pytest
from sentiment_service import SentimentCollector

from modelenv import ModelLoadTimeoutError, ModelSource


@pytest.fixture
def collector(mock_models, model_manager, monkeypatch):
    monkeypatch.setenv("CRYPTO_MODEL", "my-org/crypto")
    monkeypatch.setenv("STOCK_MODEL", "my-org/stock")
    return SentimentCollector(models=model_manager)


@pytest.fixture
def crypto_fake(collector, model_manager):
    """The same fake that the collector gets: a manager returns the same pipeline for the same model."""
    return model_manager.load_model(collector.crypto_model, "sentiment")


async def test_an_answer_is_a_label_and_a_score(collector, crypto_fake):
    crypto_fake.when("crash").returns("NEGATIVE", 0.97)

    assert await collector._analyze_sentiment("Bitcoin crash", "crypto") == {"label": "NEGATIVE", "score": 0.97}
    crypto_fake.assert_called_once_with("Bitcoin crash")


async def test_each_kind_uses_its_own_model(collector, crypto_fake, model_manager):
    stock_fake = model_manager.load_model(collector.stock_model, "sentiment")
    stock_fake.when("dividend").returns("POSITIVE", 0.88)

    found = await collector._analyze_sentiment("A higher dividend", "stock")

    assert found == {"label": "POSITIVE", "score": 0.88}
    crypto_fake.assert_not_called()


async def test_answers_are_in_the_order_of_the_texts(collector, crypto_fake):
    crypto_fake.when("up").returns("POSITIVE", 0.9)
    crypto_fake.when("down").returns("NEGATIVE", 0.8)

    found = await collector.collect(["up", "down"], "crypto")

    assert [answer["label"] for answer in found] == ["POSITIVE", "NEGATIVE"]


async def test_many_concurrent_texts(collector, crypto_fake):
    texts = [f"text {number}" for number in range(20)]

    found = await asyncio.gather(*(collector._analyze_sentiment(text, "crypto") for text in texts))

    assert all(0 <= answer["score"] <= 1 for answer in found)
    assert crypto_fake.call_count == len(texts)


async def test_an_error_of_the_model_is_not_hidden(collector, crypto_fake):
    crypto_fake.side_effect = ModelLoadTimeoutError("too slow")

    with pytest.raises(TimeoutError, match="too slow"):
        await collector._analyze_sentiment("Bitcoin", "crypto")


async def test_an_unknown_kind_is_an_error(collector):
    with pytest.raises(ValueError, match="kind must be one of crypto, stock, found 'bond'"):
        await collector._analyze_sentiment("Bund", "bond")


def test_the_models_are_named_by_the_environment(collector):
    assert (collector.crypto_model, collector.stock_model) == ("my-org/crypto", "my-org/stock")
    assert SentimentCollector().models.environment is ModelSource.MOCK_MODELS  # detected: pytest is running
