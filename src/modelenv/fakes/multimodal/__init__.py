"""Fakes of the tasks on text together with images or documents."""
