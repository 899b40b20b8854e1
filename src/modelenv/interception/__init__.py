"""Answers the requests of `huggingface_hub`'s own client for locked models, so that unchanged code loads them."""
