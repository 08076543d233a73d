"""Who may write: tokens and passwords, compared in constant time.

Senders carry the same secret in many ways: `Splunk T` (HEC), `Bearer T` (OTLP, Vector), `ApiKey T`
(Elasticsearch; Beats and clients encode `id:key` in Base64 there), `X-API-Key: T`, and Basic with
a user's password, or with any name and a token as its password (HEC).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from tocsin.config import secret
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tocsin.source_config import HttpSource

#: Longest credential looked at, characters.
_LONGEST = 4_096


class Access:
    """The secrets of one `http` source. Without any, everybody who reaches it may write."""

    def __init__(self, settings: HttpSource) -> None:
        """Raises ConfigError for a secret that is missing, empty or no reference."""
        tokens = [_secret(reference) for reference in settings.tokens]
        users = [f"{name}:{_secret(held)}" for name, held in settings.users.items()]
        self._tokens = [_digest(token) for token in tokens]
        self._users = [_digest(user) for user in users]

    @property
    def open(self) -> bool:
        """Whether no secret is asked for."""
        return not (self._tokens or self._users)

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers may write."""
        if self.open:
            return True
        tokens, users = _presented(headers)
        as_token = [_among(given, self._tokens) for given in tokens]
        as_user = [_among(given, self._users) for given in users]
        return any([*as_token, *as_user])


def _secret(reference: str) -> str:
    value = secret(reference)
    if not value.strip():
        raise ConfigError(f"sources: the secret {reference} is empty: everybody would know it")
    return value


def _digest(text: str) -> bytes:
    """Secrets of one length, so that comparing does not tell theirs."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _among(given: str, known: Iterable[bytes]) -> bool:
    """All are compared, whichever is right."""
    digest = _digest(given)
    return any([hmac.compare_digest(digest, each) for each in known])


def _presented(headers: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What a request offers as a token, and as `name:password`."""
    tokens = [headers["x-api-key"]] if headers.get("x-api-key") else []
    users: list[str] = []
    scheme, _, given = headers.get("authorization", "")[:_LONGEST].partition(" ")
    given = given.strip()
    match scheme.lower():
        case "splunk" | "bearer" if given:
            tokens.append(given)
        case "apikey" if given:
            tokens += [given, *_decoded(given)]
        case "basic":
            users = _decoded(given)
            tokens += [password for _, _, password in (user.partition(":") for user in users)]
    return tokens, users


def _decoded(text: str) -> list[str]:
    """The text in Base64, nothing if it is not."""
    try:
        return [base64.b64decode(text, validate=True).decode("utf-8")]
    except (binascii.Error, ValueError):
        return []
