"""The entries of `sources`: types, safe defaults, and what is refused with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tocsin.config import load
from tocsin.errors import ConfigError
from tocsin.source_config import FileSource, HttpSource, KafkaSource, SyslogSource

if TYPE_CHECKING:
    from pathlib import Path


def written(tmp_path: Path, sources: str) -> Path:
    path = tmp_path / "tocsin.yaml"
    path.write_text(f"sources:\n{sources}", "utf-8")
    return path


def test_each_type_has_its_model_and_a_file_needs_none(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
  - {path: a.log}
  - {type: file, path: b.log, formats: [nginx.access]}
  - {type: syslog, transport: udp}
  - {type: http, tokens: ["file:hec.token"]}
  - {type: kafka, topic: beats, timezone: Europe/Berlin}
""",
    )
    sources = load(path).sources
    kinds = [FileSource, FileSource, SyslogSource, HttpSource, KafkaSource]
    assert [type(source) for source in sources] == kinds
    first, second, _, http, kafka = sources
    assert isinstance(first, FileSource)
    assert first.path == str(tmp_path / "a.log")
    assert second.formats == ("nginx.access",)
    assert isinstance(http, HttpSource)
    assert http.tokens == (f"file:{tmp_path / 'hec.token'}",)
    assert http.loopback
    assert kafka.timezone == "Europe/Berlin"


def test_certificates_are_seen_from_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "  - {type: syslog, tls: {certificate_file: tls/cert.pem}}\n")
    (source,) = load(path).sources
    assert isinstance(source, SyslogSource)
    assert source.tls is not None
    assert source.tls.certificate_file == tmp_path / "tls" / "cert.pem"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{type: sylog}", "sources.0: there is no such type of source; types are file, http"),
        ("{type: [x]}", "sources.0: there is no such type of source"),
        ("just text", "sources.0:"),
        ("{type: syslog, porrt: 1}", "sources.0.porrt: there is no such key; did you mean port?"),
        (
            "{type: syslog, tls: {certificate: x}}",
            "sources.0.tls.certificate: there is no such key; did you mean certificate_file?",
        ),
        ("{type: syslog, host: collector}", "sources.0.host: 'collector' is no address"),
        ("{type: syslog, host: 0.0.0.0}", "can be reached from outside without TLS"),
        ('{type: syslog, host: "::", transport: udp}', "can be reached from outside without TLS"),
        (
            "{type: syslog, transport: udp, tls: {certificate_file: a.pem}}",
            "there is no TLS over UDP",
        ),
        ("{type: syslog, max_line: 99999999}", "sources.0.max_line:"),
        ("{type: http, host: 192.0.2.1, tokens: [env:A]}", "without TLS"),
        ("{type: http, host: 192.0.2.1, plaintext: true}", "anybody could write: name `tokens`"),
        ("{type: kafka}", "sources.0.topic: Field required"),
        ("{type: kafka, topic: a b}", "sources.0.topic:"),
        ("{path: a.log, formats: [Not One]}", "sources.0.formats.0:"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, source: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, f"  - {source}\n"))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{type: syslog, host: 127.0.0.2}",
        '{type: syslog, host: "::1"}',
        "{type: http, host: localhost}",
        "{type: syslog, host: 0.0.0.0, plaintext: true}",
        "{type: syslog, host: 0.0.0.0, tls: {certificate_file: a.pem}}",
        "{type: http, host: 0.0.0.0, plaintext: true, anonymous: true}",
        "{type: http, host: 0.0.0.0, tokens: [env:A], tls: {certificate_file: a.pem}}",
        "{type: http, host: 0.0.0.0, tls: {certificate_file: a.pem, client_ca_file: b.pem}}",
    ],
)
def test_what_is_protected_or_said_in_so_many_words_is_taken(tmp_path: Path, source: str) -> None:
    assert len(load(written(tmp_path, f"  - {source}\n")).sources) == 1
