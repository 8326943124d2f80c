"""Schedules: when they fire, how each slot is accounted for, and the port of their ledger.

Nothing here reads a clock, waits or stores: the duty that fires schedules is :mod:`engine.schedules`.
"""
