"""Guards: a test with fakes that accesses a real model fails, and the error names the line."""
