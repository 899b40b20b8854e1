"""The repositories of the embedded Hub: files, commits, branches and tags."""
