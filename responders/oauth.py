"""Access tokens by client credentials (RFC 6749, 4.4), kept until shortly before they expire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from responders.base import Call
    from responders.product import Product

#: A token is not used any more this long before its end, ms.
MARGIN = 60_000


class Client(Protocol):
    """Who asks: its name, and a reference to its secret."""

    @property
    def client_id(self) -> str: ...

    @property
    def client_secret(self) -> str: ...


class Tokens:
    """The token of one client at one server."""

    def __init__(self, product: Product[Any], url: str, client: Client, scope: str = "") -> None:
        self._product = product
        self._url = url
        self._client = client
        self._scope = {"scope": scope} if scope else {}
        self._token = ""
        self._until = 0

    async def bearer(self, call: Call, now: int) -> dict[str, str]:
        """The Authorization header; `now` in ms.

        The secret is read each time: without it nothing is called, even while a token is good.
        Raises ConnectorError if it is not there, or if the server gives no token.
        """
        secret = self._product.secret(self._client.client_secret)
        if now >= self._until:
            given = {
                "grant_type": "client_credentials",
                "client_id": self._client.client_id,
                "client_secret": secret,
                **self._scope,
            }
            try:
                answer = await self._product.send(call, "POST", self._url, form=given)
            except ConnectorError as error:
                # A refused client is told with 400 (RFC 6749, 5.2). Nothing was acted on yet.
                kind = "denied" if error.kind == "http_4xx" else error.kind
                told = f"no access token: {error}"
                raise ConnectorError(kind, told, retry_after=error.retry_after) from None
            body = answer.object()
            token, lasts = body.get("access_token"), body.get("expires_in", 0)
            if not isinstance(token, str) or not token:
                raise ConnectorError("denied", "no access token: the answer has none")
            self._token = self._product.hide(token)
            self._until = now + max(int(lasts) * 1000 - MARGIN, 0)
        return {"authorization": f"Bearer {self._token}"}

    def forget(self) -> None:
        """Take a new token next time: this one was refused."""
        self._until = 0
