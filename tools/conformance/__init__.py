"""What the official conformance suite wants to find, offered with ``jobsprint serve --conformance-fixtures`` only."""
