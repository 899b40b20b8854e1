"""A folder of models on disk: its layouts, what a model needs, and the checks."""
