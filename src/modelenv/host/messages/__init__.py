"""What workers and the host send each other, and how it crosses the socket."""
