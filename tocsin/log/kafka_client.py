"""Reaching Kafka: addresses, security, deadlines, and what its errors mean to Tocsin."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as kafka_errors

from tocsin.config import secret
from tocsin.errors import ConfigError, Fenced, LogError, LogUnavailable, RecordTooLarge
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tocsin.config import KafkaSecurity, LogSettings

T = TypeVar("T")

#: Longest that a call waits for a broker before it raises LogUnavailable, seconds.
PATIENCE = 10.0
#: Pause between two attempts of a call that Kafka says may be repeated, seconds.
RETRY_PAUSE = 0.1
#: A member that is silent this long loses its partitions, ms; heartbeats come three times as often.
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_MS = 2_000
#: How long a rebalance waits for members that live but are busy, ms.
REBALANCE_TIMEOUT_MS = 15_000
#: A request's time-out, ms; joining a group is one request and may take a whole rebalance.
REQUEST_TIMEOUT_MS = 8_000
GROUP_REQUEST_TIMEOUT_MS = REBALANCE_TIMEOUT_MS + 5_000
#: How old a client's picture of the cluster may become, ms. A member that computes an assignment
#: just when a broker came back, and sees no partition with a leader, gives none to anybody; the
#: group rebalances when it looks again, with aiokafka's default after five minutes.
METADATA_AGE_MS = 10_000
#: Longest that closing a client waits for what is under way, seconds.
CLOSE_PATIENCE = 3.0
#: Room that a record's key, headers and framing may take beside its value, bytes.
RECORD_OVERHEAD = 1024 * 1024
#: `max.message.bytes` of the topics created: one record of the largest size fits.
MAX_MESSAGE = MAX_RECORD + RECORD_OVERHEAD

_FENCED = (
    kafka_errors.ProducerFenced,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.InvalidProducerIdMapping,
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalStateError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
)
_TOO_LARGE = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.RecordTooLargeError,
)
_DENIED = (
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
    kafka_errors.TransactionalIdAuthorizationFailed,
    kafka_errors.SaslAuthenticationFailed,
    kafka_errors.AuthenticationFailedError,
    kafka_errors.AuthenticationMethodNotSupported,
    kafka_errors.UnsupportedSaslMechanismError,
)


class Connection:
    """Where the brokers are and how to speak to them; makes no connection itself.

    Raises ConfigError for certificate files that cannot be read and for passwords that are no
    reference.
    """

    def __init__(
        self, settings: LogSettings, *, client_id: str, patience: float = PATIENCE
    ) -> None:
        self.address = settings.bootstrap_servers
        self.prefix = settings.prefix
        self.patience = patience
        self._options = {
            "bootstrap_servers": settings.bootstrap_servers,
            "client_id": client_id,
            **_security_options(settings.security),
        }

    def options(self, **more: Any) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes, and `more`."""
        common = {"request_timeout_ms": REQUEST_TIMEOUT_MS, "metadata_max_age_ms": METADATA_AGE_MS}
        return {**common, **self._options, **more}

    def outer(self, name: str) -> str:
        """The name of a topic or group as Kafka knows it."""
        return self.prefix + name

    @asynccontextmanager
    async def deadline(self, doing: str) -> AsyncIterator[None]:
        """Bounds what is done inside by `patience`; raises LogError and its kinds only."""
        try:
            async with asyncio.timeout(self.patience):
                yield
        except (TimeoutError, OSError, kafka_errors.KafkaError) as error:
            raise self.meaning(error, doing) from error

    async def call(self, doing: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns, repeated within `patience` while Kafka says that may help."""
        async with self.deadline(doing):
            while True:
                try:
                    return await attempt()
                except kafka_errors.KafkaError as error:
                    if not error.retriable:
                        raise
                await asyncio.sleep(RETRY_PAUSE)

    def meaning(self, error: Exception, doing: str) -> LogError:
        """Tocsin's error for one of Kafka's, with the address and what to do."""
        what = str(error) or type(error).__name__
        match error:
            case kafka_errors.KafkaError() if isinstance(error, _FENCED):
                return Fenced(
                    f"{doing}: another worker took over ({what}); nothing of this work counts, "
                    "its new owner does it again"
                )
            case kafka_errors.KafkaError() if isinstance(error, _TOO_LARGE):
                return RecordTooLarge(f"{doing}: Kafka at {self.address} refused the size: {what}")
            case kafka_errors.KafkaError() if isinstance(error, _DENIED):
                return LogError(
                    f"{doing}: Kafka at {self.address} denies it: {what}; check log.security and "
                    "the ACLs of this user"
                )
            case TimeoutError():
                what = f"no answer within {self.patience:.0f} s"
        return LogUnavailable(
            f"{doing}: Kafka at {self.address} cannot be used: {what}; what was acknowledged is "
            "safe, the rest is done again when the broker is back"
        )


def _security_options(security: KafkaSecurity) -> dict[str, Any]:
    options: dict[str, Any] = {"security_protocol": security.protocol}
    if security.protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = tls(security)
    if security.protocol.startswith("SASL"):
        options["sasl_mechanism"] = security.mechanism
        options["sasl_plain_username"] = security.username
        options["sasl_plain_password"] = secret(security.password)
    return options


def tls(security: KafkaSecurity) -> ssl.SSLContext:
    """A context that verifies the broker's certificate and its name."""
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        if security.certificate_file is not None:
            context.load_cert_chain(security.certificate_file, security.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = [security.ca_file, security.certificate_file, security.key_file]
        named = ", ".join(str(file) for file in files if file is not None)
        raise ConfigError(f"log.security: {named} cannot be used: {error}") from None
    return context


def free_consumer(connection: Connection) -> AIOKafkaConsumer:
    """A consumer outside any group, reading committed records from the earliest on."""
    return AIOKafkaConsumer(
        **connection.options(
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
    )


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop, in bounded time: a lost broker answers no farewell."""
    stopping = asyncio.ensure_future(consumer.stop())
    done, _ = await asyncio.wait({stopping}, timeout=CLOSE_PATIENCE)
    if not done:
        # aiokafka offers no way to give up but to break its connections.
        await consumer._client.close()
        stopping.cancel()
        # What still runs behind would connect again when the broker is back, and be a member that
        # a rebalance waits for.
        coordinator = consumer._coordinator
        behind = [
            task
            for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
            if (task := getattr(coordinator, name, None)) is not None
        ]
        for task in behind:
            task.cancel()
        await asyncio.wait({stopping, *behind}, timeout=CLOSE_PATIENCE)
        await consumer._client.close()
    with suppress(kafka_errors.KafkaError, asyncio.CancelledError):
        if stopping.done():
            stopping.result()
