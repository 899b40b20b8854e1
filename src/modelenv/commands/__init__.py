"""The commands behind the command line, one module per family. They call the library and return an `Outcome`."""
