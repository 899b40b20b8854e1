"""Locks: what they hold, as values and as text, made from what a project declares and compared with it."""
