"""Fakes of the tasks on images and video."""
