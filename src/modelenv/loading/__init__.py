"""One road: a request, a folder, a pipeline."""
