"""Executions as a whole: accepted, claimed, run by the worker, controlled, recovered, followed up.

Must not know what a node does.
"""
