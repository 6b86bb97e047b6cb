"""Faults that a test of a second cannot show: power cuts, full and failing disks, kills and cuts by the hundred, with an oracle outside."""
