"""How models are reached: providers and their words, ordered fallback, structured output, limits, memory, history.

Must not: run workflows, or import engine, integrations or storage. ``server`` makes the HTTP connections.
"""
