"""One execution of a compiled workflow in this process: executor, node runner, effects, journal.

Must not know how the execution was claimed, nor what follows from its end.
"""
