"""How accepted executions reach a worker, in this process or in another one.

Must not decide what becomes of an execution: it only carries and reports.
"""
