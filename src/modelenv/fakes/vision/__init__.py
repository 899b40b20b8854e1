"""Fakes of the image and video tasks."""
