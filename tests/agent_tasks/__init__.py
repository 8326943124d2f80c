"""Tasks of users, done by way of the tools: calls and tokens are counted."""
