"""Signed webhooks: tell a person or program, or have a product of your own contain something.

Each request carries `Idempotency-Key` (the same for every attempt) and `X-Tocsin-Signature:
t=SECONDS,v1=HEX`, the HMAC-SHA256 (RFC 2104) of `SECONDS.BODY` with the shared secret. The
receiver checks it, refuses old ones, and answers a repeated key as it did the first time.
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator

from responders import http
from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from tocsin.config import secret
from tocsin.errors import ConfigError, ConnectorError
from tocsin.ids import canonical_json, digest

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTIFY, CONTAIN = "notify.webhook", "containment.webhook"

#: Largest body that is sent, bytes.
MAX_BODY = 256 * 1024


class WebhookConfig(BaseModel):
    """`channels` maps names to URLs to notify; `containment` is the base of /apply and /undo.

    Plain http is refused unless `allow_http` (a receiver on this machine). `secret` is a
    reference (env:NAME, file:/path).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    channels: dict[str, str] = {}
    containment: str = ""
    secret: str
    allow_http: bool = False
    ca_file: str = ""

    @field_validator("channels", "containment")
    @classmethod
    def _urls(cls, value: dict[str, str] | str) -> dict[str, str] | str:
        for url in value.values() if isinstance(value, dict) else filter(None, [value]):
            parsed = httpx.URL(url)
            if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
                raise ValueError("write http(s)://host/path, without user and password")
        return value


class Notification(Inputs):
    """A message for one channel; `data` goes along as JSON."""

    message: Annotated[str, Field(max_length=10_000)]
    data: dict[str, Any] = Field(default_factory=dict)
    channel: str = "default"


class Containment(Inputs):
    """Something to contain, for at most `ttl_seconds` (None: until it is undone)."""

    entity: str
    ttl_seconds: Annotated[int, Field(gt=0)] | None = None


_NOTIFY = Action(
    verb=NOTIFY,
    action_class=ActionClass.NOTIFY,
    idempotence=Idempotence.KEYED,
    inputs=Notification,
    target="channel",
    entity=EntityKind.CHANNEL,
    summary="Send a signed message",
)
_CONTAIN = Action(
    verb=CONTAIN,
    action_class=ActionClass.CONTAIN,
    idempotence=Idempotence.KEYED,
    inputs=Containment,
    target="entity",
    entity=EntityKind.ADDRESS,
    reversible=True,
    summary="Have a receiver of your own contain an address",
    residual="What the receiver does not reach stays open; nothing can be asked of it.",
)

#: Everything a webhook can serve.
ACTIONS = (_NOTIFY, _CONTAIN)


class Webhook:
    """Receivers that share one secret. It serves a verb only where its URL is configured."""

    def __init__(
        self, config: WebhookConfig, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._config = config
        self._http = http.client(transport, verify=config.ca_file or True)
        served = [_NOTIFY] if config.channels else []
        served += [_CONTAIN] if config.containment else []
        self._manifest = Manifest(
            name="webhook",
            summary="Signed HTTP requests to receivers of your own",
            actions=tuple(served),
        )

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    async def act(self, call: Call) -> dict[str, Any]:
        """Notify, or ask the receiver to contain; the proof is its answer."""
        if call.verb == NOTIFY:
            body = {"message": call.inputs["message"], "data": call.inputs.get("data", {})}
            answer = await self._send(self._channel(call.target), body, call.key, call.timeout)
        else:
            ttl = call.inputs.get("ttl_seconds")
            body = {"entity": call.target, "ttl_seconds": ttl}
            answer = await self._send(self._url("apply"), body, call.key, call.timeout)
        if answer.get("ok") is False or answer.get("error"):
            reason = str(answer.get("error", "ok is false"))[:200]
            raise ConnectorError("invalid", f"the receiver answered 200 and refused: {reason}")
        return {"answer": answer, "key": call.key}

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the receiver to let go; it answers 404 for what it does not hold: done."""
        body = {"entity": call.target, "applied_key": proof.get("key", "")}
        try:
            answer = await self._send(self._url("undo"), body, call.key, call.timeout)
        except ConnectorError as error:
            if error.kind == "http_4xx" and " 404" in str(error):
                return {"answer": {}, "was": "not held"}
            raise
        if answer.get("ok") is False or answer.get("error"):
            raise ConnectorError("invalid", "the receiver answered 200 and refused to undo")
        return {"answer": answer}

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """Raises ConnectorError: a webhook cannot be asked, its key makes repeating safe."""
        raise ConnectorError("invalid", f"a webhook cannot tell whether {call.target} is contained")

    async def check(self) -> str:
        """Check configuration and secret; nothing is sent."""
        self._secret()
        urls = [*self._config.channels.values(), *filter(None, [self._config.containment])]
        if not urls:
            raise ConnectorError("invalid", "webhook has neither channels nor containment")
        for url in urls:
            self._permitted(url)
        hosts = sorted({httpx.URL(url).host for url in urls})
        return f"webhook would send to {', '.join(hosts)}; not tried"

    async def close(self) -> None:
        """Close idle connections."""
        await self._http.aclose()

    def _channel(self, name: str) -> str:
        if (url := self._config.channels.get(name)) is None:
            known = ", ".join(sorted(self._config.channels)) or "none"
            raise ConnectorError("invalid", f"no channel is called {name}; configured: {known}")
        return url

    def _url(self, what: str) -> str:
        if not self._config.containment:
            raise ConnectorError("invalid", "webhook has no containment url")
        return f"{self._config.containment.rstrip('/')}/{what}"

    def _permitted(self, url: str) -> None:
        if httpx.URL(url).scheme != "https" and not self._config.allow_http:
            host = httpx.URL(url).host
            raise ConnectorError(
                "invalid", f"http to {host} is refused: use https, or set allow_http: true"
            )

    def _secret(self) -> bytes:
        try:
            return secret(self._config.secret).encode()
        except ConfigError as error:
            raise ConnectorError("denied", f"webhook secret: {error}") from None

    async def _send(self, url: str, body: dict[str, Any], key: str, timeout: int) -> dict[str, Any]:
        self._permitted(url)
        data = canonical_json(body)
        if len(data) > MAX_BODY:
            message = f"the body has {len(data)} bytes, at most {MAX_BODY} are sent"
            raise ConnectorError("oversized", message)
        headers = {
            "content-type": "application/json",
            "idempotency-key": key or digest("webhook", data.decode()),
            "user-agent": "tocsin",
            "x-tocsin-signature": signature(self._secret(), data, int(time.time())),
        }
        return await http.post(self._http, url, data, headers, timeout)


def signature(key: bytes, body: bytes, at: int) -> str:
    """The signature header of a body sent `at` (seconds since the epoch)."""
    mac = hmac.new(key, b"%d." % at + body, sha256)
    return f"t={at},v1={mac.hexdigest()}"
