from functools import lru_cache

from transformers import pipeline


@lru_cache
def classifier():
    return pipeline(model="acme/classifier")


def label(text):
    return classifier()(text)[0]["label"]
