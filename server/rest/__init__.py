"""The REST API: one module per subject.

Must not decide anything that a tool of the same name would decide otherwise.
"""
