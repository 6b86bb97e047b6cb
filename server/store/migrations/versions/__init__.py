"""The database's changes, oldest first; each is applied once, in a transaction."""
