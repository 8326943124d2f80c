"""The command ``jobsprint`` and everything that it starts.

Must not hold what a request needs.
"""
