"""Addresses that only this Hub can have given: signed, and good for some time."""

from __future__ import annotations

import hashlib
import hmac
import secrets


class Signer:
    """Signs texts with a secret of its own."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, text: str) -> str:
        """Return the signature of a text."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def valid(self, text: str, signature: str | None) -> bool:
        """Return whether this is the signature of the text."""
        return signature is not None and hmac.compare_digest(self.sign(text).encode(), signature.encode())
