"""What models are sent: guides and prompt templates, conversations and the windows of them, how models are reached.

Must not: run workflows, or import engine, integrations or storage.
"""
