"""Fetching models from the Hub: which files, with which requests and retries, and how failures are reported."""
