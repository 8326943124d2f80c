"""What is kept and carried: tables and migrations, repositories, the job queue, the event bus.

Must not: hold business rules. Each adapter implements one Protocol of ``workflow.ports``.
"""
