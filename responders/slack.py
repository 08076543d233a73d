"""Messages to Slack channels (Web API, chat.postMessage).

Slack answers 200 with `ok: false` for what it refuses. A message carries the effect's id as
metadata, so that after a crash the channel's latest messages tell whether it was posted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from responders.base import Call, Idempotence, Manifest
from responders.product import Deed, Done, Product, ProductConfig, Secret, Url, dig, rows
from responders.verbs import MESSAGE
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


EVENT = "tocsin_effect"
_MESSAGE = replace(MESSAGE, idempotence=Idempotence.PROBE)
_DENIED = ("invalid_auth", "not_authed", "account_inactive", "token_revoked", "missing_scope")

MANIFEST = Manifest(
    name="slack",
    summary="Messages to Slack channels",
    actions=(_MESSAGE, replace(_MESSAGE, verb="notify.slack")),
    max_concurrency=1,
    secrets=("token",),
)


class SlackConfig(ProductConfig):
    """A bot token with `chat:write`, and `channels:history` to look for a message after a crash;
    `channels` maps our names to Slack's ids.
    """

    token: Secret
    channels: dict[str, str]
    url: Url = "https://slack.com/api"


class Slack(Product[SlackConfig]):
    """One workspace."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        deed = Deed(self._post, probe=self._posted)
        return {action.verb: deed for action in MANIFEST.actions}

    async def ping(self) -> str:
        """Ask who the token belongs to."""
        me = await self._ask(Call("", "", {}, "", 10_000), "POST", "auth.test")
        return f"slack answers as {me.get('user', 'an unnamed bot')}"

    async def _post(self, call: Call) -> Done:
        metadata = {"event_type": EVENT, "event_payload": {"key": call.key}}
        body = {
            "channel": named(self._config.channels, call.target),
            # Text of ours is no markup: an alert cannot mention a channel or forge a link.
            "text": escaped(call.inputs["message"]),
            "metadata": metadata,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        told = await self._ask(call, "POST", "chat.postMessage", json=body)
        return {"channel": str(told.get("channel", "")), "ts": str(told.get("ts", ""))}

    async def _posted(self, call: Call) -> Done | None:
        channel = named(self._config.channels, call.target)
        params = {"channel": channel, "limit": "100", "include_all_metadata": "true"}
        told = await self._ask(call, "GET", "conversations.history", params=params)
        for each in rows(told, "messages"):
            if dig(each, "metadata", "event_payload", "key") == call.key:
                return {"channel": channel, "ts": str(each.get("ts", ""))}
        return None

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.secret(self._config.token)}"}
        url = f"{self._config.url}/{path}"
        answer = await self.send(call, method, url, headers=headers, params=params, json=json)
        told = answer.object()
        if told.get("ok") is True:
            return told
        if told.get("error") in _DENIED:
            raise ConnectorError("denied", f"slack: {told['error']}")
        if told.get("error") in ("ratelimited", "rate_limited"):
            raise ConnectorError("rate_limited", "slack asks for a pause", retry_after=30_000)
        raise self.refused(told.get("error") or "the answer is not ok")


def escaped(text: object) -> str:
    """Text without Slack's control characters (&, <, >)."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def named(channels: Mapping[str, str], name: str) -> str:
    """What a configured name stands for; raises ConnectorError naming those there are."""
    if (found := channels.get(name)) is None:
        known = ", ".join(sorted(channels)) or "none"
        raise ConnectorError("invalid", f"no channel is called {name}; configured: {known}")
    return found
