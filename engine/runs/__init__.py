"""One run of one plan: executor, journal, effects, node runner.

Must not know how the execution came here or what follows from its end.
"""
