"""HTTP messages at the edges: charsets, content codings, forms, bodies and headers, the same for every edge.

Pure functions over bytes and text. Must not send, receive or read a clock.
"""
