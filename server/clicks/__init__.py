"""A click's way: from what was seen of it, through the group commit, to what the recipient gets."""
