"""Job queues, one implementation per file, all behind :class:`workflow.ports.JobQueue`.

Must not: look into a job's payload.
"""
