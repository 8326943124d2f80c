"""Job queues, one implementation per file, all behind :class:`workflow.sharing.JobQueue`.

Must not: look into a job's payload.
"""
