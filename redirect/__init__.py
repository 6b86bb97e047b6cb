"""The front door: what recipients reach over HTTP."""
