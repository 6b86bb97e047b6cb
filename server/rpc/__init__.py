"""The door for internal services: one thin servicer per service of the contract, and the one place that knows gRPC codes."""
