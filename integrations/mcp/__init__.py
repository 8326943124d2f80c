"""Other people's MCP servers, at an address or as programs of this machine.

Never: what a call is for, or when to repeat it.
"""
