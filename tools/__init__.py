"""What an agent can use: MCP tools, resources, prompts, tasks and the app, one module per subject.

Must not: hold SQL, HTTP routes, or rules that REST would need too (those are ``workflow`` and ``engine``).
"""
