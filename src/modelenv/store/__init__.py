"""A folder of models on disk: its layouts, the files that a model needs, and the checks."""
