"""Kills `pull`, `pull --to` and `lock` at random moments, and checks the result: `python -m tests.kills --help`."""
