"""APIs that are described: by connectors of ours, as data, and by OpenAPI documents of others.

Never: code for one vendor. What an API needs that a description cannot say is a protocol, and has a module (SMTP).
"""
