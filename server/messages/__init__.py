"""A message parsed once: its links found, its template made, and one message per recipient rendered from that."""
