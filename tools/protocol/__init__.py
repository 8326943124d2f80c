"""What a tool, a resource and a prompt are, and how a call becomes an answer.

Must not import a subject's tools.
"""
