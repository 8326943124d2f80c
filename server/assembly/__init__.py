"""The composition root: every part made once, given what it needs, and ended in reverse order.

Must not hold anything but construction.
"""
