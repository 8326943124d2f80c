"""What a model is told: prompt templates as versioned data, and the guides built in.

Must not: run workflows, or know which transport asks.
"""
