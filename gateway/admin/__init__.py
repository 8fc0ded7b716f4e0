"""The gateway's own view of itself, over HTTP on loopback."""
