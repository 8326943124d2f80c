"""What a model is told: built-in guides as data files, how models are reached, an estimate of tokens.

Must not: run workflows, or import engine, integrations or storage.
"""
