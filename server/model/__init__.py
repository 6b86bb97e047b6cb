"""The facts as plain classes: their limits, their validation, and what can be wrong with them."""
