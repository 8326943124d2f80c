"""Schedules at work: the duty that fires them, the watchdog beside it, and what people and agents do with them.

It accepts executions and looks at them through :mod:`engine.executions`; when slots are and what becomes of them is
decided in :mod:`workflow.schedules`.
"""
