"""What every HTTP route builds on: the actor, JSON in and out, problem documents, shutdown.

Must not know a single route.
"""
