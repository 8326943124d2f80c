"""What a model is told: built-in guides as data files, and prompt templates; context, model adapter and history are yet
to come.

Must not: run workflows, or import engine, integrations or storage.
"""
