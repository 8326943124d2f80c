"""Settings, and what is read from them alone.

Must not build parts: ``server/assembly`` does.
"""
