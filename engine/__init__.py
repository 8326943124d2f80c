"""What runs workflows: compiled workflows, executor, node library, expressions and their sandbox, worker loop.

Must not: serve HTTP, speak MCP or SQL, or name a vendor. What leaves the process goes through a
port of ``workflow.ports``.
"""
