"""Texts that begin as XML does and are none: read once, whoever asks."""

from __future__ import annotations

from xml.parsers import expat

import pytest

from ingest.formats.windows import xmltree
from ingest.normalize import NormalizeStage
from tests.ingest.raw import record
from tocsin.state import KeyedState

BROKEN = [
    b"<Events><Event>" + b"<a/>" * 5_000 + b"</Event></Events>",
    b"<Event><System>" + b"x" * 1_000,
    b"<!DOCTYPE a [<!ENTITY b 'c'>]><Event>&b;</Event>",
]


@pytest.mark.parametrize("line", BROKEN, ids=("many", "open", "entity"))
def test_what_cannot_be_read_is_read_once(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    create = expat.ParserCreate

    def counted(encoding: str) -> object:
        read.append(encoding)
        return create(encoding)

    monkeypatch.setattr(expat, "ParserCreate", counted)
    batch = NormalizeStage().process([record(line)], KeyedState(), 0)
    assert batch.accounted == 1
    assert len(read) == 1


def test_a_text_that_was_none_does_not_hide_another() -> None:
    assert xmltree.read("<a>") is None
    assert xmltree.read("<a>") is None
    root = xmltree.read("<a>b</a>")
    assert root is not None
    assert root.value() == "b"
    assert xmltree.read("<a>") is None
