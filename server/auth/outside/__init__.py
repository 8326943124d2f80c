"""Ways in through services that vouch for users: OpenID Connect, Puter, outside issuers of tokens.

Must not make an account where registration does not allow it.
"""
