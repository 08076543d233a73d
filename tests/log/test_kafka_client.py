"""What Kafka's errors and security settings become."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
from aiokafka import errors as kafka_errors

from tocsin.config import KafkaSecurity, LogSettings
from tocsin.errors import ConfigError, Fenced, LogError, LogUnavailable, RecordTooLarge
from tocsin.log.kafka import KafkaLog
from tocsin.log.kafka_client import Connection

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "192.0.2.1:9092"


def connection(**security: object) -> Connection:
    settings = LogSettings(
        bootstrap_servers=ADDRESS, security=KafkaSecurity.model_validate(security)
    )
    return Connection(settings, client_id="test", patience=0.05)


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (kafka_errors.ProducerFenced(), Fenced),
        (kafka_errors.CommitFailedError("rebalanced"), Fenced),
        (kafka_errors.IllegalStateError("not assigned"), Fenced),
        (kafka_errors.MessageSizeTooLargeError(), RecordTooLarge),
        (kafka_errors.TopicAuthorizationFailedError("raw"), LogError),
        (kafka_errors.SaslAuthenticationFailed(), LogError),
        (kafka_errors.KafkaConnectionError(), LogUnavailable),
        (kafka_errors.RequestTimedOutError(), LogUnavailable),
        (ConnectionRefusedError("refused"), LogUnavailable),
        (TimeoutError(), LogUnavailable),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
async def test_an_error_says_what_happened_where(error: Exception, becomes: type) -> None:
    with pytest.raises(LogError) as caught:
        async with connection().deadline("doing it"):
            raise error
    assert type(caught.value) is becomes
    assert str(caught.value).startswith("doing it: ")
    if becomes is not Fenced:
        assert ADDRESS in str(caught.value)


async def test_what_hangs_is_unavailable_within_the_patience() -> None:
    with pytest.raises(LogUnavailable, match="no answer within"):
        async with connection().deadline("waiting"):
            await asyncio.Event().wait()


async def test_a_call_is_repeated_only_when_kafka_says_that_it_may_help() -> None:
    attempts = []

    async def recovers() -> int:
        attempts.append(1)
        if len(attempts) < 2:
            raise kafka_errors.GroupCoordinatorNotAvailableError
        return 7

    assert await Connection(LogSettings(), client_id="t").call("asking", recovers) == 7

    async def refuses() -> None:
        attempts.append(1)
        raise kafka_errors.ClusterAuthorizationFailedError

    attempts.clear()
    with pytest.raises(LogError, match="ACLs"):
        await connection().call("asking", refuses)
    assert len(attempts) == 1


def test_tls_verifies_certificate_and_name() -> None:
    context = connection(protocol="SSL").options()["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        connection(protocol="SSL", ca_file=str(missing))


def test_a_password_is_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "from the environment")
    security = {"protocol": "SASL_PLAINTEXT", "username": "tocsin"}
    options = connection(**security, password="env:KAFKA_PASSWORD").options()  # noqa: S106
    assert options["sasl_plain_password"] == "from the environment"  # noqa: S105
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    with pytest.raises(ConfigError, match="reference"):
        connection(**security, password="in the clear")  # noqa: S106


async def test_a_broker_that_is_not_there_is_named_and_nothing_stays_open(
    unused_tcp_port: int,
) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    log = KafkaLog(LogSettings(bootstrap_servers=address), client_id="test", patience=1.0)
    with pytest.raises(LogUnavailable, match=address):
        await log.start()
    await log.close()
