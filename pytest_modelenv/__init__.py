"""modelenv's pytest plugin: fast tests with fakes, integration tests with real models."""
