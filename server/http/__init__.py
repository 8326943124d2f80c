"""What every HTTP route builds on: who is calling, JSON in and out, problems, shutdown.

Must not know a single route.
"""
