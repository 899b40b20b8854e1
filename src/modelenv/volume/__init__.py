"""Volumes for production: filled where they may be written, and read where they may not."""
