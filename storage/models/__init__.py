"""What belongs to models: conversations, exchanges, prompt templates, vectors.

Must not call a model.
"""
