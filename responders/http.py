"""One way to speak HTTP to a product: bounded, without redirects, every failure classified.

What the connectors of web APIs share. `after_send` is set once the request may have reached the
product: a connection that could not be made is safe to try again, a silence after it is not.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Largest answer that is read, bytes.
MAX_ANSWER = 256 * 1024

#: Seconds to make a connection; the answer may take as long as the call has.
CONNECT_SECONDS = 5.0

#: Longest pause a product may ask for, ms: beyond it a person should know.
MAX_RETRY_AFTER = 3_600_000

_BEFORE_SEND = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def client(
    transport: httpx.AsyncBaseTransport | None = None, *, verify: str | bool = True
) -> httpx.AsyncClient:
    """A client that follows no redirect and takes no proxy or credential from the environment."""
    return httpx.AsyncClient(
        transport=transport, verify=verify, follow_redirects=False, trust_env=False
    )


async def post(
    session: httpx.AsyncClient,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: int,
) -> dict[str, Any]:
    """POST `body` to `url` and return the JSON object of the answer, {} if it has none.

    `timeout` in ms. Raises ConnectorError for every other end.
    """
    limits = httpx.Timeout(timeout / 1000, connect=min(CONNECT_SECONDS, timeout / 1000))
    try:
        async with session.stream(
            "POST", url, content=body, headers=dict(headers), timeout=limits
        ) as response:
            _raise_for(response)
            return _answer(await _read(response))
    except _BEFORE_SEND as error:
        kind = "unavailable"
        raise ConnectorError(kind, f"{_host(url)} cannot be reached: {_why(error)}") from error
    except httpx.TimeoutException as error:
        message = f"{_host(url)} gave no answer in {timeout} ms"
        raise ConnectorError("timeout", message, after_send=True) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"{_host(url)} broke the connection: {_why(error)}"
        raise ConnectorError("unavailable", message, after_send=True) from error


def _raise_for(response: httpx.Response) -> None:
    status, host = response.status_code, _host(str(response.request.url))
    if status < 300:
        return
    told = f"{host} answered {status} {response.reason_phrase}".rstrip()
    if status < 400:
        raise ConnectorError("redirect", f"{told}; redirects are refused, correct the url")
    if status in (401, 403):
        raise ConnectorError("denied", f"{told}: are the secret and its rights right?")
    if status == 429:
        pause = retry_after(response.headers.get("retry-after", ""), time.time())
        raise ConnectorError("rate_limited", told, retry_after=pause)
    if status < 500:
        raise ConnectorError("http_4xx", told)
    pause = retry_after(response.headers.get("retry-after", ""), time.time())
    # A gateway answers 5xx for a product that may well have acted.
    raise ConnectorError("http_5xx", told, retry_after=pause, after_send=True)


def retry_after(value: str, now: float) -> int | None:
    """The pause of a Retry-After header (RFC 9110, 10.2.3), ms; None if it names none.

    `now` is in seconds since the epoch.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:10]) * 1000, MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
    return int(min(max(until - now, 0) * 1000, MAX_RETRY_AFTER))


async def _read(response: httpx.Response) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_bytes(16 * 1024):
        data += chunk
        if len(data) > MAX_ANSWER:
            message = f"{_host(str(response.request.url))} answered more than {MAX_ANSWER} bytes"
            raise ConnectorError("oversized", message, after_send=True)
    return bytes(data)


def _answer(data: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _host(url: str) -> str:
    """Where it went, without path and query: they may hold a secret."""
    try:
        return httpx.URL(url).netloc.decode("ascii")
    except httpx.InvalidURL:
        return "the configured url"


def _why(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__
