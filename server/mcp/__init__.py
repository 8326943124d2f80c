"""The MCP endpoint: one low-level server over the tools, prompts and resources, for both protocol eras.

Must not: hold what a tool does (that is ``tools``), or rules that REST would need too.
"""
