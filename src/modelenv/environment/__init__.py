"""The environment of this process: model sources, settings, the project file, and the Hugging Face libraries."""
