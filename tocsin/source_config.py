"""The entries of `sources`: where logs come from, one model per type.

A listener is bound to this machine alone unless it is told otherwise, and then either speaks TLS
or says in so many words (`plaintext`, `anonymous`) that it shall not.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, model_validator

from tocsin.config_types import Duration, KafkaSecurity, Section, Zone

#: Largest `max_line`: what the normalize stage still takes as one event, bytes.
LARGEST_LINE = 1024 * 1024

#: Bounds of `max_body` and `max_waiting`, bytes.
_MIB = 1024 * 1024
LARGEST_BODY = 256 * _MIB
LARGEST_WAITING = 4096 * _MIB

FormatName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class Source(Section):
    """What every source says of its lines.

    `source` is its name in events; `timezone` the IANA zone of times that name none; `formats`
    the expected formats (or datasets), the likeliest first: a hint, never a condition.
    """

    source: str = ""
    tenant: str = "default"
    timezone: Zone = "UTC"
    formats: tuple[FormatName, ...] = ()


class Multiline(Section):
    """Lines that are one event: each that `start` does not match, or (without it) each that is
    indented, continues the line before.

    `start` is a regular expression for the beginning of a line, behind a syslog header. An event
    goes out when the next begins, after `timeout` without another line, or at `max_lines` or
    `max_bytes`.
    """

    start: Annotated[str, Field(max_length=1_000)] = ""
    max_lines: Annotated[int, Field(ge=2, le=2_000)] = 500
    max_bytes: Annotated[int, Field(ge=1024, le=LARGEST_LINE)] = 256 * 1024
    timeout: Annotated[Duration, Field(ge=10, le=60_000)] = 2_000


class LineSource(Source):
    """A source of lines, some of which may be one event together.

    `join_audit` joins the records of one Linux audit event; unless it is said, those of
    `audit/audit.log` and of sources whose `formats` name `auditd` are joined.
    """

    multiline: Multiline | None = None
    join_audit: bool | None = None

    @model_validator(mode="after")
    def _one_way_of_joining(self) -> Self:
        if self.multiline is not None and self.join_audit:
            raise ValueError("lines are joined one way: `multiline` or `join_audit`, not both")
        return self


class FileSource(LineSource):
    """Files to read from the start and follow; `path` may be a pattern (`*`, `**`).

    `source` defaults to the file's path.
    """

    type: Literal["file"] = "file"
    path: str
    follow: bool = True


class Tls(Section):
    """The certificate of a listener (PEM), and whose client certificates it asks for."""

    certificate_file: Path
    key_file: Path | None = None
    client_ca_file: Path | None = None


def _an_address(host: str) -> str:
    if host != "localhost":
        try:
            ip_address(host)
        except ValueError:
            raise ValueError(f"'{host}' is no address; write one like 127.0.0.1 or ::") from None
    return host


class Listener(LineSource):
    """A source that others connect to.

    `max_waiting` bounds the bytes that were taken and are not in the log yet: beyond it a TCP
    sender waits, an HTTP sender is told to (429), a UDP datagram is dropped and counted.
    """

    host: Annotated[str, AfterValidator(_an_address)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    tls: Tls | None = None
    plaintext: bool = False
    max_waiting: Annotated[int, Field(ge=_MIB, le=LARGEST_WAITING)] = 64 * _MIB

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback

    @model_validator(mode="after")
    def _protected(self) -> Self:
        if not (self.loopback or self.tls or self.plaintext):
            raise ValueError(
                f"{self.host} can be reached from outside without TLS: name a certificate in "
                "`tls`, or say `plaintext: true`"
            )
        return self


class SyslogSource(Listener):
    """Syslog (RFC 3164, RFC 5424) over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425)."""

    type: Literal["syslog"]
    transport: Literal["tcp", "udp"] = "tcp"
    port: Annotated[int, Field(ge=0, le=65535)] = 5514
    framing: Literal["auto", "octet-counted", "newline"] = "auto"
    max_line: Annotated[int, Field(ge=480, le=LARGEST_LINE)] = 256 * 1024
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    idle: Annotated[Duration, Field(ge=1)] = 4 * 3_600_000

    @model_validator(mode="after")
    def _no_tls_on_udp(self) -> Self:
        if self.transport == "udp" and self.tls is not None:
            raise ValueError("there is no TLS over UDP; use `transport: tcp`")
        if self.transport == "udp" and self.multiline is not None:
            raise ValueError("a datagram is one message: `multiline` is for `transport: tcp`")
        return self


class HttpSource(Listener):
    """Splunk HEC, Elasticsearch `_bulk`, OTLP/HTTP logs, and plain lines, on one port.

    `tokens` are references; each is good as `Splunk`, `Bearer` and `ApiKey`. `users` maps names
    to references of passwords (Basic). Sizes are bytes; `max_body` counts what is decompressed.
    """

    type: Literal["http"]
    port: Annotated[int, Field(ge=0, le=65535)] = 8088
    tokens: tuple[str, ...] = ()
    users: dict[str, str] = Field(default={})
    anonymous: bool = False
    max_body: Annotated[int, Field(ge=1024, le=LARGEST_BODY)] = 32 * _MIB
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    idle: Annotated[Duration, Field(ge=1_000)] = 75_000
    elasticsearch_version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] = "8.19.0"

    @model_validator(mode="after")
    def _authenticated(self) -> Self:
        known = self.tokens or self.users or (self.tls and self.tls.client_ca_file)
        if not (self.loopback or known or self.anonymous):
            raise ValueError(
                f"{self.host} can be reached from outside and anybody could write: name `tokens`, "
                "`users` or `tls.client_ca_file`, or say `anonymous: true`"
            )
        return self


class KafkaSource(Source):
    """A topic of any Kafka cluster, read in a group of our own (`group`) from its beginning.

    `source` defaults to the topic. `topic` and `group` are Kafka's names: no prefix is added.
    """

    type: Literal["kafka"]
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
    group: Annotated[str, Field(min_length=1, max_length=249)] = "tocsin"
    bootstrap_servers: str = "127.0.0.1:9092"
    security: KafkaSecurity = KafkaSecurity()


SOURCE_TYPES: dict[str, type[BaseModel]] = {
    "file": FileSource,
    "http": HttpSource,
    "kafka": KafkaSource,
    "syslog": SyslogSource,
}


def _type_of(value: Any) -> str | None:
    """Which model an entry is of: files were the first, and need no type."""
    chosen = value.get("type", "file") if isinstance(value, dict) else getattr(value, "type", None)
    return chosen if isinstance(chosen, str) else None


AnySource = Annotated[
    Annotated[FileSource, Tag("file")]
    | Annotated[HttpSource, Tag("http")]
    | Annotated[KafkaSource, Tag("kafka")]
    | Annotated[SyslogSource, Tag("syslog")],
    Discriminator(
        _type_of,
        custom_error_type="source_type",
        custom_error_message="there is no such type of source; types are "
        + ", ".join(SOURCE_TYPES),
    ),
]
