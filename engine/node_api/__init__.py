"""What a node type is, for the built-in ones and for other people's packages (docs/own-nodes.md).

Must not know a single node type, nor how a run is stored.
"""
