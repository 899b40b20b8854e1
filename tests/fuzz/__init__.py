"""Damages the lock and a volume's metadata at random: `python -m tests.fuzz --help`, in the repository's root."""
