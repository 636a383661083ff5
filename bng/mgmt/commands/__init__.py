"""One file per command family; each registers itself."""
