"""A service that classifies texts about cryptocurrencies and stocks. Its code is the same in every environment."""

from sentiment_service.collector import SentimentCollector

__all__ = ["SentimentCollector"]
