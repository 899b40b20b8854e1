"""Fakes of the tasks on text with images, sounds or documents."""
