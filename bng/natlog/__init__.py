"""The NAT log as files: their lines, and the search in them. Knows nothing of a running box."""
