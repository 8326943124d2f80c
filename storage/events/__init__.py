"""Event buses, one implementation per file, all behind :class:`workflow.ports.EventBus`.

Must not: promise delivery; the store holds the truth.
"""
