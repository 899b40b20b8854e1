"""Other architectures than those of the tiny models: what their configs decide, taken from the real pipelines."""
