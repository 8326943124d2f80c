"""Backups of the embedded store: one file that has the database as it was at one moment, and its large values.

Must not know a setting.
"""
