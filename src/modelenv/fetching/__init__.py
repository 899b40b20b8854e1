"""The parts of a fetch: which files, over which requests, tried again how often, and failed with what words."""
