"""What is too long for `make test`: faults by the hundred, with an oracle outside of the system."""
