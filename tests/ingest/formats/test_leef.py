"""LEEF 1.0 and 2.0: delimiters, tabs that a daemon rewrote, and nothing lost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.cef import UNPARSED
from ingest.formats.leef import frame

HEADER = {
    "deviceVendor": "Acme",
    "deviceProduct": "Gateway",
    "deviceVersion": "1.0",
    "deviceEventClassId": "drop",
}
ONE = "LEEF:1.0|Acme|Gateway|1.0|drop|"
TWO = "LEEF:2.0|Acme|Gateway|1.0|drop|"

EVENTS = [
    (ONE + "src=192.0.2.1\tmsg=a b=c\tdst=192.0.2.2", {"msg": "a b=c", "dst": "192.0.2.2"}),
    (ONE + "src=192.0.2.1#011msg=two words", {"msg": "two words"}),
    (ONE + "src=192.0.2.1\\tmsg=two words", {"msg": "two words"}),
    (ONE + "src=192.0.2.1 msg=two words usrName=ann", {"msg": "two words", "usrName": "ann"}),
    (TWO + "^|src=192.0.2.1^msg=a\tb^usrName=ann", {"msg": "a\tb", "usrName": "ann"}),
    (TWO + "x5E|src=192.0.2.1^usrName=ann", {"usrName": "ann"}),
    (TWO + "0x7c|src=192.0.2.1|usrName=ann", {"usrName": "ann"}),
    (TWO + "x09|src=192.0.2.1\tusrName=ann", {"usrName": "ann"}),
    (TWO + "\t|src=192.0.2.1\tusrName=ann", {"usrName": "ann"}),
    (TWO + "|src=192.0.2.1\tusrName=ann", {"usrName": "ann"}),
    (TWO + "src=192.0.2.1\tusrName=ann", {"usrName": "ann"}),
    (TWO + ";|src=192.0.2.1\tusrName=ann", {"usrName": "ann"}),
    (ONE + "src=192.0.2.1\tmsg=a\tb", {"msg": "a\tb"}),
    (ONE + "lost\tsrc=192.0.2.1", {UNPARSED: "lost"}),
    (ONE + "src=192.0.2.1\tcat=a\tcat=b", {"cat": ["a", "b"]}),
    (ONE + "src=192.0.2.1\tuser name=ann", {"user name": "ann"}),
]


@pytest.mark.parametrize(("text", "fields"), EVENTS)
def test_event(text: str, fields: dict[str, Any]) -> None:
    version = {"leefVersion": text[5:8]}
    assert frame(text) == version | HEADER | {"src": "192.0.2.1"} | fields


@pytest.mark.parametrize(
    "text", [f"<13>May  1 10:00:00 host {ONE}a=1", ONE.removeprefix("LEEF:") + "a=1"]
)
def test_what_is_before_it_does_not_matter(text: str) -> None:
    assert frame(text) == {"leefVersion": "1.0"} | HEADER | {"a": "1"}


@pytest.mark.parametrize("text", ["", "LEEF:1.0|a|b", "LEEF 1.0 is a format", "1.0|a"])
def test_what_is_no_leef(text: str) -> None:
    assert frame(text) is None


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    frame(text)
    assert frame(ONE + text) is not None
    assert frame(TWO + text) is not None


@given(st.text("ab1 .=\n\t-", max_size=80))
def test_nothing_is_lost(extension: str) -> None:
    fields = frame(ONE + extension)
    assert fields is not None
    written = repr(fields)
    for word in re.findall(r"\w+", extension):
        assert word in written
