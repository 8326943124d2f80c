"""What an agent can call: MCP tools and resources, one module per subject.

Must not: hold SQL, HTTP routes, or rules that REST would need too (those are ``workflow`` and ``engine``).
"""
