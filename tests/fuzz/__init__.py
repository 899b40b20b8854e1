"""Random damage to the lock and to a volume's metadata: `python -m tests.fuzz --help`, from the repository's root."""
