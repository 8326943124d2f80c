"""Signed addresses through which somebody outside lets a waiting execution go on."""

from __future__ import annotations

import hashlib
import hmac


class ResumeLinks:
    """Makes and checks them. Everybody who has the link may answer; without the secret nobody can make one."""

    def __init__(self, *, base_url: str, secret: bytes) -> None:
        self._base_url = base_url
        self._secret = secret

    def url(self, execution_id: str) -> str:
        """Where to answer what the execution waits for."""
        return f"{self._base_url}/resume/{execution_id}?token={self._token(execution_id)}"

    def is_valid(self, execution_id: str, token: str) -> bool:
        """Whether the token is the one of the execution's link."""
        return hmac.compare_digest(self._token(execution_id).encode(), token.encode())

    def _token(self, execution_id: str) -> str:
        return hmac.new(self._secret, f"resume:{execution_id}".encode(), hashlib.sha256).hexdigest()
