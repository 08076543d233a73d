"""Access tokens by client credentials (RFC 6749, 4.4), kept until shortly before they expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from responders.base import Call
    from responders.product import Product

#: A token is not used any more this long before its end, ms.
MARGIN = 60_000


class Tokens:
    """The token of one client at one server."""

    def __init__(self, product: Product, url: str) -> None:
        self._product = product
        self._url = url
        self._token = ""
        self._until = 0

    async def bearer(self, call: Call, form: dict[str, str], now: int) -> dict[str, str]:
        """The Authorization header; `form` has the client and its secret, `now` in ms.

        Raises ConnectorError if the server gives no token.
        """
        if now >= self._until:
            given = {"grant_type": "client_credentials", **form}
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
