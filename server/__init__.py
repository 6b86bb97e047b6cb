"""The service: the only code that touches data."""
