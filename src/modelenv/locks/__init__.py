"""Locks: their values, their text form, and how they compare with what a project declares."""
