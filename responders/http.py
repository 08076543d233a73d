"""One way to speak HTTP to a product: bounded, without redirects, every failure classified.

What the connectors of web APIs share. `after_send` is set once the request may have reached the
product: a connection that could not be made is safe to try again, a silence after it is not.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Largest answer that is read, bytes.
MAX_ANSWER = 256 * 1024

#: Seconds to make a connection; the answer may take as long as the call has.
CONNECT_SECONDS = 5.0

#: Longest pause a product may ask for, ms: beyond it a person should know.
MAX_RETRY_AFTER = 3_600_000

#: Longest part of a product's own words that an error quotes, characters.
MAX_TOLD = 200

_BEFORE_SEND = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

# GitHub refuses with 403 what is too much.
_REMAINING = "x-ratelimit-remaining"

# Where products put the reason of a refusal, in the order of asking.
_REASONS = ("message", "error_description", "errorSummary", "detail", "error", "title")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a product answered: a status that the caller accepts, its headers and its body."""

    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> Any:
        """The body as JSON; {} where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}

    def object(self) -> dict[str, Any]:
        """The JSON object of the body, {} where it is none."""
        answer = self.json()
        return answer if isinstance(answer, dict) else {}


def client(
    transport: httpx.AsyncBaseTransport | None = None, *, verify: str | bool = True
) -> httpx.AsyncClient:
    """A client that follows no redirect and takes no proxy or credential from the environment.

    `verify` may name a file of certificate authorities; verification cannot be switched off.
    """
    return httpx.AsyncClient(
        transport=transport,
        verify=_trust("" if verify is True else str(verify)),
        follow_redirects=False,
        trust_env=False,
    )


@cache
def _trust(ca_file: str) -> ssl.SSLContext:
    """The trusted authorities; reading them takes 0.1 s, so once for all connectors."""
    if ca_file:
        return ssl.create_default_context(cafile=ca_file)
    return httpx.create_ssl_context(trust_env=False)


async def post(
    session: httpx.AsyncClient, url: str, body: bytes, headers: Mapping[str, str], timeout: int
) -> dict[str, Any]:
    """POST `body` to `url` and return the JSON object of the answer, {} if it has none.

    `timeout` in ms. Raises ConnectorError for every other end.
    """
    return (await send(session, "POST", url, headers, timeout, body=body)).object()


async def send(
    session: httpx.AsyncClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    timeout: int,
    *,
    body: bytes | None = None,
    params: Mapping[str, str] | None = None,
    accept: Collection[int] = (),
    secrets: Collection[str] = (),
) -> Answer:
    """Send one request; the answer of a 2xx, or of a status in `accept`.

    `timeout` in ms. `secrets` never show in an error, even where the product repeats them.
    Raises ConnectorError for every other end; what the request was is told by its host alone.
    """
    limits = httpx.Timeout(timeout / 1000, connect=min(CONNECT_SECONDS, timeout / 1000))
    try:
        async with session.stream(
            method, url, content=body, params=params, headers=dict(headers), timeout=limits
        ) as response:
            data = await _read(response)
            if response.status_code >= 300 and response.status_code not in accept:
                raise _refusal(response, data, secrets)
            return Answer(response.status_code, response.headers, data)
    except _BEFORE_SEND as error:
        message = f"{_host(url)} cannot be reached: {_why(error)}"
        raise ConnectorError("unavailable", message) from None
    except httpx.TimeoutException:
        message = f"{_host(url)} gave no answer in {timeout} ms"
        raise ConnectorError("timeout", message, after_send=True) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"{_host(url)} broke the connection: {hidden(_why(error), secrets)}"
        raise ConnectorError("unavailable", message, after_send=True) from None


def hidden(text: str, secrets: Collection[str]) -> str:
    """The text without the secrets in it; the longest go first, as one may hold another."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "***")
    return text


def _refusal(response: httpx.Response, data: bytes, secrets: Collection[str]) -> ConnectorError:
    status, host = response.status_code, _host(str(response.request.url))
    told = f"{host} answered {status} {response.reason_phrase}".rstrip()
    if status < 400:
        return ConnectorError("redirect", f"{told}; redirects are refused, correct the url")
    spent = "retry-after" in response.headers or response.headers.get(_REMAINING) == "0"
    if status == 429 or (status == 403 and spent):
        return ConnectorError("rate_limited", told, retry_after=_pause(response.headers))
    if status in (401, 403):
        return ConnectorError("denied", f"{told}: are the secret and its rights right?")
    said = hidden(reason(Answer(status, response.headers, data).json()), secrets)[:MAX_TOLD]
    told = f"{told}: {said}" if said else told
    if status < 500:
        return ConnectorError("http_4xx", told)
    # A gateway answers 5xx for a product that may well have acted.
    pause = _pause(response.headers)
    return ConnectorError("http_5xx", told, retry_after=pause, after_send=True)


def reason(answer: Any) -> str:
    """Why a product refused, in its own words, where a JSON body has them."""
    match answer:
        case str():
            return " ".join(answer.split())
        case [first, *_]:
            return reason(first)
        case {"errors": ([_, *_] | {}) as errors} if errors:
            return reason(errors if isinstance(errors, list) else list(errors.values()))
        case {"errorMessages": [first, *_]}:
            return reason(first)
        case dict():
            return next((told for key in _REASONS if (told := reason(answer.get(key)))), "")
        case _:
            return ""


def _pause(headers: httpx.Headers) -> int | None:
    """How long a product asks to wait, ms: Retry-After, or Okta's and GitHub's reset time."""
    now = time.time()
    if "retry-after" in headers:
        return retry_after(headers["retry-after"], now)
    for name in ("x-rate-limit-reset", "x-ratelimit-reset"):
        value = headers.get(name, "")
        if value.isascii() and value.isdigit():
            return int(min(max(int(value[:12]) - now, 0) * 1000, MAX_RETRY_AFTER))
    return None


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


def _host(url: str) -> str:
    """Where it went, without path and query: they may hold a secret."""
    try:
        return httpx.URL(url).netloc.decode("ascii")
    except httpx.InvalidURL:
        return "the configured url"


def _why(error: Exception) -> str:
    return str(error)[:MAX_TOLD] or type(error).__name__
