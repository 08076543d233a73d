"""Messages to Microsoft Teams by the webhook of a workflow ("when a webhook request is received").

The webhook's URL is its secret. It answers 202 and cannot be asked afterwards, so after a crash a
person has to look whether the message came.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from responders.base import Call, Manifest
from responders.product import Deed, Done, Product, ProductConfig, Secret
from responders.slack import named
from responders.verbs import MESSAGE
from tocsin.errors import ConnectorError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Lines of a message that are sent.
MAX_LINES = 200

MANIFEST = Manifest(
    name="teams",
    summary="Messages to Microsoft Teams",
    actions=(MESSAGE, replace(MESSAGE, verb="notify.teams")),
    max_concurrency=1,
)


class TeamsConfig(ProductConfig):
    """`channels` maps our names to references to webhook URLs."""

    channels: dict[str, Secret]


class Teams(Product[TeamsConfig]):
    """Some channels."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        return {action.verb: Deed(self._post) for action in MANIFEST.actions}

    async def ping(self) -> str:
        """Read the secrets; nothing is sent, as every request is a message."""
        for name in self._config.channels:
            self._url(name)
        return f"teams would send to {', '.join(sorted(self._config.channels))}; not tried"

    async def _post(self, call: Call) -> Done:
        # A TextBlock takes Markdown, in which an alert could forge a link; a TextRun takes text.
        lines = str(call.inputs["message"]).splitlines()[:MAX_LINES]
        blocks = [
            {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": printable(line)}]}
            for line in lines
            if line.strip()
        ]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": blocks,
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        body = {"type": "message", "attachments": [attachment]}
        answer = await self.send(call, "POST", self._url(call.target), json=body)
        if (told := answer.object()).get("error"):
            raise self.refused(told["error"])
        return {"status": answer.status}

    def _url(self, channel: str) -> str:
        url = self.secret(named(self._config.channels, channel))
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            parsed = httpx.URL("")
        if parsed.scheme not in ("https", "http") or not parsed.host:
            raise ConnectorError("invalid", f"the webhook of {channel} is no url")
        # An error may quote a part of it.
        self.hide(parsed.raw_path.decode("ascii", "replace"))
        return url
