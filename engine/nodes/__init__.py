"""The node library: one file per node type, each with one pydantic parameter model.

Must not: reach outside the process except through the ports of the node's call, or register
itself; ``engine.nodes.registry`` names every built-in type.
"""
