"""Benchmarks: measured on the real path, printed, never gating."""
