"""Who is calling over HTTP, and what they may do: accounts, sessions, keys, and what stands in front of the routes.

Must not: know what the routes behind it do.
"""
