"""Faults that are injected into a running house, and what recipients notice of them: `make chaos`."""
