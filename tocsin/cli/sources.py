"""From the entries of `sources` to what collects: the one place that knows every kind."""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING

from ingest.sources.file import FileSource
from ingest.sources.http.source import HttpSource
from ingest.sources.syslog_datagram import SyslogDatagram
from ingest.sources.syslog_stream import SyslogStream
from ingest.sources.topic import TopicSource
from tocsin.config import LogSettings
from tocsin.errors import ConfigError
from tocsin.source_config import FileSource as FileSettings
from tocsin.source_config import HttpSource as HttpSettings
from tocsin.source_config import KafkaSource as KafkaSettings
from tocsin.source_config import SyslogSource as SyslogSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.sources.topic import Reader
    from tocsin.clock import Clock
    from tocsin.log.base import Log
    from tocsin.source_config import AnySource

    Source = FileSource | HttpSource | SyslogDatagram | SyslogStream | TopicSource


def build_sources(settings: Sequence[AnySource], log: Log, clock: Clock) -> list[Source]:
    """What collects, of every entry; raises ConfigError with the mistakes of all."""
    sources: list[Source] = []
    mistakes: list[str] = []
    for number, entry in enumerate(settings):
        try:
            sources.append(build_source(entry, log, clock))
        except ConfigError as error:
            mistakes.append(f"sources.{number}: {error}")
    names = [source.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1 and not name.endswith(":0")})
    mistakes += [f"sources: {name} stands there twice" for name in twice]
    if mistakes:
        raise ConfigError("nothing was started:\n" + "\n".join(mistakes))
    return sources


def build_source(settings: AnySource, log: Log, clock: Clock) -> Source:
    """What collects, of one entry; raises ConfigError for secrets and files it cannot use."""
    nonce = secrets.token_hex(8)
    match settings:
        case FileSettings():
            return FileSource(settings, log, clock)
        case HttpSettings():
            return HttpSource(settings, log, clock, nonce=nonce)
        case SyslogSettings(transport="udp"):
            return SyslogDatagram(settings, log, clock, nonce=nonce)
        case SyslogSettings():
            return SyslogStream(settings, log, clock, nonce=nonce)
        case KafkaSettings():
            return _topic(settings, log, clock)


def _topic(settings: KafkaSettings, log: Log, clock: Clock) -> TopicSource:
    try:
        from tocsin.log.kafka_reader import KafkaReader
    except ImportError as error:
        raise ConfigError(
            f"a kafka source needs {error.name}: pip install 'tocsin[kafka]'"
        ) from None
    cluster = LogSettings(
        backend="kafka",
        bootstrap_servers=settings.bootstrap_servers,
        prefix="",
        security=settings.security,
    )
    client_id = f"tocsin-{socket.gethostname()}-{os.getpid()}"

    def connect() -> Reader:
        return KafkaReader(cluster, client_id=client_id)

    connect()  # a password that is no reference is a mistake now, not when it is first used
    return TopicSource(settings, log, clock, connect)
