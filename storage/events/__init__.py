"""The event bus of one process, behind :class:`workflow.ports.EventBus`; the one over Redis is in ``storage.redis``.

Must not: promise delivery; the store holds the truth.
"""
