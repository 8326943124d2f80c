"""Two node types for Jobsprint."""
