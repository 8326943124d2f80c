"""Keys of clients, and what they sign."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def private_key(number: int = 1) -> ec.EllipticCurvePrivateKey:
    """A key; another one for each number."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(bits: int = 2_048) -> rsa.RSAPrivateKey:
    """An RSA key."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def public_jwk(key: PrivateKey, **members: str) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), **members}


def assertion(client_id: str, key: Any, now: datetime, *, algorithm: str = "ES256", **claims: Any) -> str:
    """A signed assertion; claims that are None are left out."""
    given = {
        "iss": client_id,
        "sub": client_id,
        "aud": "http://127.0.0.1:8765",
        "exp": int(now.timestamp()) + 60,
        "iat": int(now.timestamp()),
        "jti": "one",
        **claims,
    }
    headers = {"kid": given.pop("kid")} if "kid" in given else None
    return jwt.encode(
        {name: value for name, value in given.items() if value is not None}, key, algorithm=algorithm, headers=headers
    )
