"""What `deploy/` says, and what comes of its commands."""
