"""Real senders: rsyslog over TCP, TLS, UDP, `_bulk` and Kafka; clients of HEC, `_bulk` and OTLP.

Every one sends LINES messages, and every one must be in `raw`, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from splunk_handler import SplunkHandler

from dev.rsyslog import RsyslogServer, rsyslog
from ingest.sources.syslog_datagram import SyslogDatagram
from ingest.sources.syslog_stream import SyslogStream
from ingest.sources.topic import TopicSource
from tests.contracts.log.kafka_harness import shared_broker
from tests.ingest.sources.certificates import make_certificates
from tests.ingest.sources.collected import TOPICS, lines, raw_records, running, until
from tests.ingest.sources.http.served import http_source
from tocsin.clock import SystemClock
from tocsin.config import LogSettings
from tocsin.log.base import Topic
from tocsin.log.kafka import KafkaLog
from tocsin.log.kafka_reader import KafkaReader
from tocsin.log.sqlite import SqliteLog
from tocsin.source_config import KafkaSource, SyslogSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ingest.sources.listening import Listening
    from tests.ingest.sources.certificates import Certificates

pytestmark = pytest.mark.live

LINES = 2_000
NONCE = "00112233aabbccdd"
CLOCK = SystemClock()

#: Configurations of senders that come along.
SENDERS = Path(__file__).parents[2] / "deploy" / "senders"

FOLLOW = """\
global(workDirectory="{directory}/state" maxMessageSize="64k")
module(load="imfile" mode="inotify")
input(type="imfile" file="{file}" tag="app:" facility="auth" severity="notice")
{forward}
"""


def example(name: str, address: tuple[str, int], certificates: Certificates) -> str:
    """A sender's configuration with this machine in the place of the example's."""
    text = (SENDERS / name).read_text("utf-8")
    for there, here in {
        'streamDriverPermittedPeers="tocsin.example.com"': 'streamDriverPermittedPeers="localhost"',
        "tocsin.example.com": address[0],
        'port="6514"': f'port="{address[1]}"',
        'serverport="8088"': f'serverport="{address[1]}"',
        "/etc/tocsin/ca.pem": str(certificates.authority),
        "/etc/tocsin/client.pem": str(certificates.client),
        "/etc/tocsin/client.key": str(certificates.client_key),
        "CHANGE-ME": "changeme",
    }.items():
        text = text.replace(there, here)
    return text


class Forwarder(RsyslogServer):
    """An rsyslogd that follows a file and sends its lines as `forward` says."""

    def __init__(self, directory: Path, file: Path, forward: str) -> None:
        super().__init__(directory, bootstrap="", topic="", file=file)
        self._config = FOLLOW.format(directory=directory, file=file, forward=forward)

    def prepare(self) -> None:
        (self.data_dir / "state").mkdir(exist_ok=True)
        (self.data_dir / "rsyslog.conf").write_text(self._config)
        self._pid_file.unlink(missing_ok=True)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log.sqlite", clock=CLOCK)
    await opened.start()
    await opened.create(TOPICS)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    """A file with LINES lines, each with its number."""
    path = tmp_path / "app.log"
    path.write_text("".join(f"session {number} opened\n" for number in range(LINES)))
    return path


def numbers(found: list[bytes]) -> list[int]:
    """The numbers of the lines that arrived, in their order."""
    return [int(line.split(b"session ")[1].split(b" ", 1)[0]) for line in found]


async def forwarded(source: Listening, forwarder: Forwarder) -> None:
    """Let rsyslog send until everything has arrived."""
    with forwarder:
        await until(lambda: source.account.appended >= LINES)


@pytest.mark.parametrize("framing", ["traditional", "octet-counted"])
async def test_rsyslog_over_tcp(
    tmp_path: Path, log: SqliteLog, messages: Path, framing: str
) -> None:
    source = SyslogStream(SyslogSource(type="syslog", port=0), log, CLOCK, nonce=NONCE)
    async with running(source) as (host, port):
        forward = (
            f'action(type="omfwd" target="{host}" port="{port}" protocol="tcp" '
            f'TCP_Framing="{framing}" template="RSYSLOG_TraditionalForwardFormat")'
        )
        await forwarded(source, Forwarder(tmp_path / "rsyslog", messages, forward))
    assert numbers(await lines(log)) == list(range(LINES))
    first, *_ = await raw_records(log)
    assert first.value.startswith(b"<37>")
    assert first.value.endswith(b" app: session 0 opened")
    assert first.header("peer") == b"127.0.0.1"


@pytest.mark.parametrize("driver", ["gtls", "ossl"])
async def test_rsyslog_over_tls_with_a_client_certificate(
    tmp_path: Path, log: SqliteLog, messages: Path, certificates: Certificates, driver: str
) -> None:
    settings = SyslogSource.model_validate(
        {
            "type": "syslog",
            "port": 0,
            "tls": {
                "certificate_file": certificates.server,
                "key_file": certificates.server_key,
                "client_ca_file": certificates.authority,
            },
        }
    )
    source = SyslogStream(settings, log, CLOCK, nonce=NONCE)
    async with running(source) as address:
        forward = example("rsyslog-tls.conf", address, certificates).replace("gtls", driver)
        await forwarded(source, Forwarder(tmp_path / "rsyslog", messages, forward))
    assert sorted(numbers(await lines(log))) == list(range(LINES))


async def test_rsyslog_over_udp(tmp_path: Path, log: SqliteLog, messages: Path) -> None:
    """UDP may lose; on loopback, with a large buffer and few messages, it does not."""
    settings = SyslogSource(type="syslog", transport="udp", port=0)
    source = SyslogDatagram(settings, log, CLOCK, nonce=NONCE)
    async with running(source) as (host, port):
        forward = f'action(type="omfwd" target="{host}" port="{port}" protocol="udp")'
        with Forwarder(tmp_path / "rsyslog", messages, forward):
            await until(lambda: source.account.received >= LINES)
    assert source.account.appended + source.account.dropped.total() == LINES
    assert sorted(numbers(await lines(log))) == list(range(LINES))


async def test_rsyslog_into_bulk(
    tmp_path: Path,
    log: SqliteLog,
    messages: Path,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PASSWORD", "changeme")
    tls = {"certificate_file": certificates.server, "key_file": certificates.server_key}
    source = http_source(log, CLOCK, users={"rsyslog": "env:PASSWORD"}, tls=tls)
    async with running(source) as address:
        forward = example("rsyslog-bulk.conf", address, certificates)
        await forwarded(source, Forwarder(tmp_path / "rsyslog", messages, forward))
    assert sorted(numbers(await lines(log))) == list(range(LINES))
    assert len({record.header("origin-id") for record in await raw_records(log)}) == LINES


async def test_rsyslog_into_kafka_and_from_there(
    tmp_path: Path, log: SqliteLog, messages: Path
) -> None:
    broker = shared_broker()
    topic = f"outside-{uuid.uuid4().hex[:8]}"
    cluster = LogSettings(backend="kafka", bootstrap_servers=broker.bootstrap, prefix="")
    kafka = KafkaLog(cluster, client_id="test")
    await kafka.start()
    await kafka.create([Topic(topic, partitions=3)])
    settings = KafkaSource(
        type="kafka", topic=topic, bootstrap_servers=broker.bootstrap, tenant="acme"
    )
    source = TopicSource(settings, log, CLOCK, lambda: KafkaReader(cluster, client_id="source"))
    work = asyncio.create_task(source.run())
    try:
        with rsyslog(
            tmp_path / "rsyslog", bootstrap=broker.bootstrap, topic=topic, file=messages,
            key="%hostname%",
        ):  # fmt: skip
            await until(lambda: source.account.appended >= LINES)
        await until(lambda: source.idle)
    finally:
        source.stop()
        await work
    assert numbers(await lines(log)) == list(range(LINES))
    records = await raw_records(log)
    assert len({record.header("origin-id") for record in records}) == LINES
    committed = await kafka.committed("tocsin", topic)
    assert sum(committed.values()) == LINES
    await kafka.close()


@contextlib.contextmanager
def logger(handler: logging.Handler) -> Iterator[logging.Logger]:
    """A logger whose only handler this is."""
    made = logging.Logger("live")
    made.addHandler(handler)
    try:
        yield made
    finally:
        made.removeHandler(handler)


async def test_a_client_of_hec(
    log: SqliteLog, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t0ken")
    tls = {"certificate_file": certificates.server, "key_file": certificates.server_key}
    source = http_source(log, CLOCK, tokens=["env:TOKEN"], tls=tls)
    async with running(source) as (host, port):

        def send() -> None:
            handler = SplunkHandler(
                host=host,
                port=port,
                token="t0ken",  # noqa: S106  (the test's own)
                index="main",
                sourcetype="syslog",
                hostname="web-1",
                verify=str(certificates.authority),
                flush_interval=60,
                queue_size=0,
            )
            with logger(handler) as made:
                for number in range(LINES):
                    made.warning("session %d opened", number)
            handler.close()

        await asyncio.to_thread(send)
    assert numbers(await lines(log)) == list(range(LINES))
    first, *_ = (orjson.loads(line) for line in await lines(log))
    assert (first["host"], first["sourcetype"]) == ("web-1", "syslog")


async def test_the_elasticsearch_clients_bulk(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent twice; and with so little room that the client has to come again (429)."""
    monkeypatch.setenv("KEY", "id:key")
    source = http_source(log, CLOCK, tokens=["env:KEY"], max_waiting=1024 * 1024)
    actions = [
        {"_op_type": "create", "_index": "logs", "_id": str(number), "message": _padded(number)}
        for number in range(LINES)
    ]
    async with running(source) as (host, port):

        def send() -> int:
            with Elasticsearch(f"http://{host}:{port}", api_key=("id", "key")) as client:
                assert client.info()["version"]["number"] == "8.19.0"
                options: dict[str, Any] = {
                    "max_retries": 20,
                    "initial_backoff": 0.05,
                    "raise_on_error": False,
                }
                sent = 0
                for chunk in (500, 2_000):
                    done = streaming_bulk(client, actions, chunk_size=chunk, **options)
                    sent += sum(ok for ok, _ in done)
                return sent

        assert await asyncio.to_thread(send) == 2 * LINES
    assert source.account.refused["busy"] > 0, "there was always room: the limit proved nothing"
    records = await raw_records(log)
    by_id = {record.header("origin-id"): record.value for record in records}
    assert len(records) == 2 * LINES
    assert len(by_id) == LINES
    assert sorted(numbers(list(by_id.values()))) == list(range(LINES))


def _padded(number: int) -> str:
    return f"session {number} opened " + "x" * 1_000


async def test_the_opentelemetry_exporter(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t0ken")
    source = http_source(log, CLOCK, tokens=["env:TOKEN"])
    async with running(source) as (host, port):

        def send() -> None:
            exporter = OTLPLogExporter(
                endpoint=f"http://{host}:{port}/v1/logs",
                headers={"Authorization": "Bearer t0ken"},
                compression=Compression.Gzip,
            )
            provider = LoggerProvider(
                Resource.create({"host.name": "web-1", "service.name": "app"})
            )
            provider.add_log_record_processor(
                BatchLogRecordProcessor(exporter, max_queue_size=2 * LINES)
            )
            sender = provider.get_logger("live")
            for number in range(LINES):
                sender.emit(
                    LogRecord(
                        timestamp=time.time_ns(),
                        severity_number=SeverityNumber.WARN,
                        body=f"session {number} opened",
                        attributes={"user": "root"},
                    )
                )
            assert provider.force_flush()
            provider.shutdown()

        await asyncio.to_thread(send)
    found = [orjson.loads(line) for line in await lines(log)]
    assert [each["message"] for each in found] == [f"session {n} opened" for n in range(LINES)]
    assert found[0]["attributes"]["user"] == "root"
    assert found[0]["host"] == "web-1"
