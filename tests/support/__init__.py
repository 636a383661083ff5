"""Tools shared by tests: wire transcripts, the lab, the load client."""
