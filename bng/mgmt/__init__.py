"""Management socket: one JSON request a line."""
