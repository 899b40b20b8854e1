"""Fakes of the text tasks."""
