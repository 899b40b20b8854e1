"""Guards: tests with fakes that reach for a real model fail, and say where."""
