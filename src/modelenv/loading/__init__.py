"""Loads a model: from a request to a folder, and from the folder to a pipeline."""
