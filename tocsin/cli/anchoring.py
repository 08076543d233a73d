"""Wiring the audit's notary and the places where its roots are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from responders.base import Call
from responders.webhook import NOTIFY
from tocsin.audit_anchor import FileAnchor, root_of
from tocsin.audit_keys import Signer
from tocsin.contracts import Topics
from tocsin.errors import ConfigError, ConnectorError, StoreUnavailable
from tocsin.notary import Notary
from tocsin.runtime import SinkRunner
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from responders.base import Connector
    from tocsin.audit_config import AuditSettings
    from tocsin.cli.loading import Content
    from tocsin.clock import Clock
    from tocsin.contracts import AuditEntry
    from tocsin.log.base import Log, Record
    from tocsin.metrics import Metrics
    from tocsin.runtime import Runner

#: Longest wait for the receiver of a root, ms.
TIMEOUT = 30_000


def signer(settings: AuditSettings) -> Signer | None:
    """The key that signs, None if none is configured; raises ConfigError for one that is wrong."""
    return Signer.of(settings.key) if settings.key else None


def audit_workers(
    settings: AuditSettings,
    key: Signer | None,
    content: Content,
    log: Log,
    clock: Clock,
    metrics: Metrics,
) -> Iterator[Runner]:
    """The notary and a sink for each second place; raises ConfigError."""
    if key is None:
        return
    yield Notary(key, log, every=settings.every, clock=clock, metrics=metrics)
    if settings.file is not None:
        yield SinkRunner(FileAnchor(settings.file), log, clock=clock, metrics=metrics)
    if settings.channel:
        name = content.bindings.get(NOTIFY)
        if name is None:
            raise ConfigError(f"audit.channel is set, and no connector serves {NOTIFY}")
        sink = ChannelAnchor(content.connectors[name], settings.channel)
        yield SinkRunner(sink, log, clock=clock, metrics=metrics)


class ChannelAnchor:
    """A sink of the topic AUDIT that sends its roots by signed webhook, each at least once."""

    name = "anchor-channel"
    topic = Topics.AUDIT

    def __init__(self, connector: Connector, channel: str) -> None:
        self._connector = connector
        self._channel = channel

    async def write(self, records: Sequence[Record]) -> Batch:
        """Send the roots; raises StoreUnavailable while the receiver does not take them."""
        batch = Batch()
        for record in records:
            if (entry := root_of(record.value)) is None:
                batch.filtered["no_root"] += 1
            else:
                await self._send(entry)
                batch.sent += 1
        return batch

    async def _send(self, entry: AuditEntry) -> None:
        body = entry.body
        message = f"audit root: {body['chain']} {body['first']} to {body['last']}, {body['root']}"
        inputs = {
            "channel": self._channel,
            "message": message,
            "data": entry.model_dump(mode="json"),
        }
        try:
            await self._connector.act(Call(NOTIFY, self._channel, inputs, entry.hash, TIMEOUT))
        except ConnectorError as error:
            raise StoreUnavailable(f"a root of the audit was not taken: {error}") from None
