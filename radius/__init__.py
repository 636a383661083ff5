"""RADIUS client, accounting spool and CoA server."""
