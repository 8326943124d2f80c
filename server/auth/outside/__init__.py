"""Authentication by outside identity providers: OpenID Connect, Puter, outside issuers of tokens.

Must not make an account where registration does not allow it.
"""
