"""The pytest plugin of modelenv: fast tests with fakes, integration tests with real models."""
