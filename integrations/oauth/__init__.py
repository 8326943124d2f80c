"""Consent of a user to other people's systems (OAuth 2.1). Never: what the tokens are then used for."""
