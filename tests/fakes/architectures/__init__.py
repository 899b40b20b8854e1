"""Architectures other than those of the tiny models. Their configs decide the structure of the answers."""
