"""Executions and their journals: group commit, leases, outbox, blobs.

Must not decide what becomes of an execution, but for one whose data is lost: that has failed.
"""
