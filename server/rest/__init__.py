"""The REST API: one module per subject.

Must not decide anything differently from the tool of the same name.
"""
