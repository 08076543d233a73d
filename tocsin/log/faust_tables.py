"""Keyed state in Faust tables: groups, rebalances and recovery are Faust's.

`FaustStage` runs one stage so. `FaustLog` below it is the Kafka log, except that its stateful
subscriptions run a Faust app: an agent collects the input topic's events, a table holds the
state, recovered from its changelog before events flow. Three things Faust leaves undone are done
here, with tocsin.log.kafka_state:

- A completion is one Kafka transaction: outputs, changes, offset. (Faust's producer does not say
  when a write to the changelog failed, and it commits offsets apart from the state.)
- Taking partitions over fences their previous owner; Faust has no way to keep a worker that was
  frozen from writing over its successor's state. Then a barrier is appended to the changelog:
  Faust recovers until it has read the last offset, and the end mark of a transaction, which
  stands there otherwise, is never delivered.
- Records are delivered without gaps. Around a rebalance Faust can drop some that it had fetched
  (three of 10,000 when a frozen worker came back, in one run of five); what is missing is read
  from the topic.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from faust.auth import SASLCredentials, SSLCredentials

from tocsin.config import secret
from tocsin.log.faust_group import FaustApp, FaustSubscription, changelog_of
from tocsin.log.kafka import KafkaLog
from tocsin.log.kafka_client import (
    HEARTBEAT_MS,
    METADATA_AGE_MS,
    PATIENCE,
    REBALANCE_TIMEOUT_MS,
    SESSION_TIMEOUT_MS,
    tls,
)
from tocsin.runtime import StageRunner

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.config import LogSettings
    from tocsin.log.base import Listener, Subscription
    from tocsin.metrics import Metrics
    from tocsin.stage import Stage

#: Records of one completion: their changes fit one batch of the changelog.
BATCH = 200
#: Seconds; a time-out that never comes.
NEVER = 1e9


class FaustLog(KafkaLog):
    """The log on Kafka, with Faust behind its stateful subscriptions.

    `data_dir` is where Faust keeps what little it writes (the tables are in memory).
    """

    def __init__(
        self,
        settings: LogSettings,
        *,
        client_id: str,
        data_dir: Path,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(settings, client_id=client_id, patience=patience)
        self._settings = settings
        self._data_dir = data_dir

    async def subscribe(
        self,
        group: str,
        topic: str,
        *,
        stateful: bool = False,
        listener: Listener | None = None,
    ) -> Subscription:
        """Join a group; a stateful one as a Faust app named like the group."""
        if not stateful:
            return await super().subscribe(group, topic, listener=listener)
        partitions = await self.partitions(topic)
        await self.changelog(changelog_of(group), partitions)
        app = self._app(group)
        subscription = FaustSubscription(
            self, app, group, topic, partitions, listener, on_close=self._forget
        )
        self._subscriptions.add(subscription)
        subscription.start()
        return subscription

    def _app(self, group: str) -> FaustApp:
        directory = self._data_dir / group
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("faust", "mode"):  # they tell a story at INFO at each rebalance
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.WARNING)
        servers = self._settings.bootstrap_servers.split(",")
        return FaustApp(
            self.connection.outer(group),
            broker=[f"kafka://{server.strip()}" for server in servers],
            broker_credentials=_credentials(self._settings),
            broker_session_timeout=SESSION_TIMEOUT_MS / 1000,
            broker_heartbeat_interval=HEARTBEAT_MS / 1000,
            # Faust commits nothing and must not complain that it does not.
            broker_commit_livelock_soft_timeout=NEVER,
            stream_processing_timeout=NEVER,
            broker_rebalance_timeout=REBALANCE_TIMEOUT_MS / 1000,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=METADATA_AGE_MS,
            producer_metadata_max_age_ms=METADATA_AGE_MS,
            stream_recovery_delay=0.0,
            # Work in hand is waited for here (_revoked); Faust would wait without end for
            # acknowledgements that work given up never gets.
            stream_wait_empty=False,
            table_standby_replicas=self._settings.table_replicas,
            topic_replication_factor=self._settings.replication_factor,
            topic_disable_leader=True,
            store="memory://",
            datadir=str(directory),
            autodiscover=False,
            web_enabled=False,
            web_bind="127.0.0.1",
        )


def _credentials(settings: LogSettings) -> Any:
    security = settings.security
    context = tls(security) if security.protocol in ("SSL", "SASL_SSL") else None
    if security.protocol.startswith("SASL"):
        return SASLCredentials(
            username=security.username,
            password=secret(security.password),
            ssl_context=context,
            mechanism=security.mechanism,
        )
    return None if context is None else SSLCredentials(context)


class FaustStage(StageRunner):
    """A stage run as a Faust app: the stage's runner on a FaustLog of its own."""

    def __init__(
        self,
        stage: Stage,
        settings: LogSettings,
        *,
        clock: Clock,
        metrics: Metrics,
        data_dir: Path,
        batch_size: int = BATCH,
    ) -> None:
        name = f"tocsin-{stage.name}-{socket.gethostname()}-{os.getpid()}"
        self._faust = FaustLog(settings, client_id=name, data_dir=data_dir)
        self._connected = False
        super().__init__(stage, self._faust, clock=clock, metrics=metrics, batch_size=batch_size)

    async def run(self) -> None:
        """Process until `stop`; see Runner.run."""
        try:
            await super().run()
        finally:
            await self._faust.close()

    async def _session(self) -> None:
        if not self._connected:
            await self._faust.start()
            self._connected = True
        await super()._session()
