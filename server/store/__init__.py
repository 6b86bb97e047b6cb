"""Tables, SQL and transactions: the only room that knows a database. What it hands out are plain models."""
