"""Fakes of the audio tasks."""
