"""Frames into single nodes and through the whole graph, in embedded mode."""
