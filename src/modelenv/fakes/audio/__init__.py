"""Fakes of the tasks on sound."""
