"""What a source says of its lines is tried first; a wrong word is counted and costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest.door import Door
from ingest.expected import unknown_names
from ingest.mapping.library import builtin
from ingest.normalize import NormalizeStage
from tests.ingest.raw import record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from tocsin.stage import Batch

NGINX = b'192.0.2.7 - - [01/May/2024:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8"'
SSHD = b"<38>May  1 10:00:00 web-1 sshd[77]: Accepted password for al from 192.0.2.7 port 22 ssh2"
JSON = b'{"acme": 1, "user": "al"}'


def read(line: bytes, formats: str, **headers: bytes) -> tuple[list[dict[str, Any]], Batch]:
    told = (*record(line).headers, ("format", formats.encode()), *headers.items())
    batches = []
    for door in (None, Door()):
        stage = NormalizeStage(door=door)
        batches.append(stage.process([record(line)._replace(headers=told)], KeyedState(), 0))
    documents = [[orjson.loads(out.value) for out in batch.outputs] for batch in batches]
    assert documents[0] == documents[1]
    assert batches[0].noted == batches[1].noted
    return documents[0], batches[0]


@pytest.mark.parametrize(
    ("line", "formats", "parser"),
    [
        (NGINX, "web.access", "web.access"),
        (NGINX, "web", "web.access"),
        (NGINX, "text,access", "web.access"),
        (SSHD, "json,text", "system.sshd"),
        (JSON, "json", "generic.json"),
    ],
)
def test_what_is_named_is_tried_first(line: bytes, formats: str, parser: str) -> None:
    (document,), batch = read(line, formats)
    assert document["tocsin"]["parser"]["name"] == parser
    assert batch.noted == {}


@pytest.mark.parametrize(
    ("line", "formats"),
    [(NGINX, "cef"), (SSHD, "aws.cloudtrail"), (JSON, "text"), (SSHD, "no.such"), (JSON, "\xff,,")],
)
def test_a_wrong_name_is_counted_and_the_line_is_what_it_is(line: bytes, formats: str) -> None:
    (document,), batch = read(line, formats)
    ((plain,), _) = read(line, "")
    assert document == plain
    assert batch.noted == {"format_unexpected": 1}
    assert batch.sent == 1


def test_names_that_nothing_has() -> None:
    names = ["cef", "web", "web.access", "wib", "web.acess"]
    assert unknown_names(names, builtin()) == ["wib", "web.acess"]


def test_tenant_zone_and_peer_are_those_of_the_source() -> None:
    (document,), _ = read(
        b"<38>May  1 10:00:00 web-1 sshd[77]: hello",
        "",
        tenant=b"acme",
        timezone=b"Europe/Berlin",
        peer=b"192.0.2.9",
    )
    assert document["tocsin"]["tenant"] == "acme"
    assert document["tocsin"]["peer"] == "192.0.2.9"
    assert document["@timestamp"].endswith("T08:00:00.000Z")
