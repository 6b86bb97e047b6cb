"""What leaves the server for other systems, at least once and never for addresses that are not theirs to reach."""
