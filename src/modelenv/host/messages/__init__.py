"""The messages between workers and the host, and how they are sent over the socket."""
