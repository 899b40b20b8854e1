"""Model files on disk: where they lie, whether they are whole, and how they are written."""
