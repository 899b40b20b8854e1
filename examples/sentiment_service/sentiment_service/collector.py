"""The collector. Its configuration names the models, and modelenv decides where they come from."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping
from operator import mul
from typing import Any, Literal

from modelenv import Settings, SmartModelManager

Kind = Literal["crypto", "stock"]

CRYPTO_MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
STOCK_MODEL = "mrm8488/distilroberta-finetuned-financial-news-sentiment-analysis"
EMBEDDING_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class SentimentCollector:
    """Classifies texts. Loads each model when it is first needed, without blocking the event loop.

    The environment variables CRYPTO_MODEL, STOCK_MODEL and EMBEDDING_MODEL name the models.

    Args:
        env_file: A file of further variables, such as `.env.development`. With ENVIRONMENT=development, a model that
            cannot be loaded is replaced by a fake, with a warning. Otherwise that is an error.
        models: The manager that loads the pipelines. Default: one for the detected environment.
    """

    def __init__(self, env_file: str | None = None, models: SmartModelManager | None = None) -> None:
        settings = Settings.load(env_file=env_file)
        fallback: Literal["mock", "raise"] = "mock" if settings.environment == "development" else "raise"
        self.models = models or SmartModelManager(settings=settings, fallback=fallback)
        self.crypto_model = os.environ.get("CRYPTO_MODEL", CRYPTO_MODEL)
        self.stock_model = os.environ.get("STOCK_MODEL", STOCK_MODEL)
        self.embedding_model = os.environ.get("EMBEDDING_MODEL", EMBEDDING_MODEL)
        self._names: Mapping[str, str] = {"crypto": self.crypto_model, "stock": self.stock_model}
        self._pipeline_in_use = asyncio.Lock()  # a tokenizer is not thread-safe

    async def collect(self, texts: list[str], kind: Kind) -> list[dict[str, Any]]:
        """Return the label and the score of each text, in order."""
        return [await self._analyze_sentiment(text, kind) for text in texts]

    async def _analyze_sentiment(self, text: str, kind: Kind) -> dict[str, Any]:
        """Return `{"label": ..., "score": ...}`, the best of the model's labels for the text."""
        if kind not in self._names:
            raise ValueError(f"kind must be one of {', '.join(self._names)}, found {kind!r}")
        classify = await self.models.aload_model(self._names[kind], "sentiment")
        scores = (await self._run(classify, text))[0]  # all labels, sorted by score
        return {"label": scores[0]["label"].upper(), "score": scores[0]["score"]}

    async def similarity(self, a: str, b: str) -> float:
        """Return how close two texts are in meaning: the cosine of their embeddings, 1.0 for the same text."""
        embed = await self.models.aload_model(self.embedding_model, "feature-extraction")
        left, right = (_mean(tokens) for [tokens] in await self._run(embed, [a, b]))
        return math.fsum(map(mul, left, right)) / (math.hypot(*left) * math.hypot(*right))

    async def _run(self, pipeline: Any, inputs: Any) -> Any:
        async with self._pipeline_in_use:
            return await asyncio.to_thread(pipeline, inputs)


def _mean(tokens: list[list[float]]) -> list[float]:
    """Return the mean of the token vectors, which is the embedding of a text in this family of models."""
    return [math.fsum(column) / len(tokens) for column in zip(*tokens, strict=True)]
