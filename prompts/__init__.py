"""What a model is told: templates, context, model adapter, conversation history. Nothing of it is there yet.

Must not: run workflows, or import engine, integrations or storage.
"""
