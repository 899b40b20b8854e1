"""Volumes for production: filled by `modelenv pull --to`, and read-only for services."""
