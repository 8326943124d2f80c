"""A document summed up by the first model that is there: ``python -m examples.document_summary``."""
