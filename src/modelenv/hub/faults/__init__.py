"""Faults on demand: rules, which requests they hit, and what happens on the wire."""
