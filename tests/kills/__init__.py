"""Kills `pull`, `pull --to` and `lock` at random moments, and sees what is left: `python -m tests.kills --help`."""
