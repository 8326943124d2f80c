"""Adapters to infrastructure: tables and migrations, repositories, group commit, the job queue, event buses, Redis.

Must not: hold business rules. An adapter that others can replace implements a Protocol of ``workflow``.
"""
