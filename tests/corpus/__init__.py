"""Checks the message room against mails as they lie in a folder: python -m tests.corpus FOLDER."""
