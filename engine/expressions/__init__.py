"""``={{ … }}``: templates, the Python fast path, and the JavaScript worker pool with hard limits.

Must not: evaluate JavaScript inside the server's own process, or know the node that an expression belongs to.
"""
