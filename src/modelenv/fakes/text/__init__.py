"""Fakes of the tasks on text."""
