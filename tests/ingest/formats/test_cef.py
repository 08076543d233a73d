"""CEF: escapes, labels, authors who do not escape, and nothing lost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.cef import MAX_EXTENSION, UNPARSED, frame

HEADER = {
    "cefVersion": "0",
    "deviceVendor": "Acme",
    "deviceProduct": "Gateway",
    "deviceVersion": "1.0",
    "deviceEventClassId": "100",
    "name": "Port scan",
    "severity": "5",
}
HEAD = "CEF:0|Acme|Gateway|1.0|100|Port scan|5|"

EXTENSIONS = [
    ("src=192.0.2.1 dst=192.0.2.2", {"src": "192.0.2.1", "dst": "192.0.2.2"}),
    ("msg=two words act=drop", {"msg": "two words", "act": "drop"}),
    ("msg=a\\=b c act=drop", {"msg": "a=b c", "act": "drop"}),
    (
        "request=https://example.com/?a=1&b=2 spt=1",
        {"request": "https://example.com/?a=1&b=2", "spt": "1"},
    ),
    ("spt= 12345 dpt=22", {"spt": "12345", "dpt": "22"}),
    ("spt= dpt=22", {"spt": "", "dpt": "22"}),
    ("msg=one\\ntwo", {"msg": "one\ntwo"}),
    ("fname=a\\\\b", {"fname": "a\\b"}),
    ("fname=C:\\new\\readme.txt", {"fname": "C:\\new\\readme.txt"}),
    ("suser=CORP\\ann msg=it\\=is", {"suser": "CORP\\ann", "msg": "it=is"}),
    ("msg=a\\|b", {"msg": "a|b"}),
    ("msg=a|b", {"msg": "a|b"}),
    ("src=192.0.2.1\n  dst=192.0.2.2\n", {"src": "192.0.2.1", "dst": "192.0.2.2"}),
    ("act=a act=b act=c", {"act": ["a", "b", "c"]}),
    ("lost src=192.0.2.1", {UNPARSED: "lost", "src": "192.0.2.1"}),
    ("name=x severity=y", {"extension": {"name": "x", "severity": "y"}}),
    (
        "cs1Label=Host ID cs1=77",
        {"cs1Label": "Host ID", "cs1": "77", "labels": {"Host ID": "77"}},
    ),
    (
        "cn1=5 cn1Label=Risk cs2Label=Risk cs2=x",
        {
            "cn1": "5",
            "cn1Label": "Risk",
            "cs2Label": "Risk",
            "cs2": "x",
            "labels": {"Risk": ["5", "x"]},
        },
    ),
    ("cs1Label=Host ID", {"cs1Label": "Host ID"}),
    ("labels=x", {"extension": {"labels": "x"}}),
    ("ad.field[0]=x", {"ad.field[0]": "x"}),
    ("", {}),
]


@pytest.mark.parametrize(("extension", "fields"), EXTENSIONS)
def test_extension(extension: str, fields: dict[str, Any]) -> None:
    assert frame(HEAD + extension) == HEADER | fields


def test_header_escapes_are_undone() -> None:
    fields = frame(r"CEF:0|Ac\|me|Gate\\way|1|100|a \| name|5|src=192.0.2.1")
    assert fields is not None
    assert fields["deviceVendor"] == "Ac|me"
    assert fields["deviceProduct"] == "Gate\\way"
    assert fields["name"] == "a | name"
    assert fields["src"] == "192.0.2.1"


@pytest.mark.parametrize(
    "text",
    [
        f"<13>May  1 10:00:00 host app: {HEAD}src=192.0.2.1",
        HEAD.removeprefix("CEF:") + "src=192.0.2.1",
        HEAD.replace("CEF:", "CEF: ").replace("|", " | ") + "src=192.0.2.1",
        f"\n{HEAD}src=192.0.2.1",
    ],
)
def test_what_is_before_it_does_not_matter(text: str) -> None:
    assert frame(text) == HEADER | {"src": "192.0.2.1"}


def test_a_header_without_its_end() -> None:
    assert frame("CEF:0|Acme|Gateway|1.0|100") == {
        name: HEADER[name]
        for name in ("cefVersion", "deviceVendor", "deviceProduct", "deviceVersion")
    } | {"deviceEventClassId": "100"}


@pytest.mark.parametrize(
    "text", ["", "CEF:", "CEF:0|a|b", "we use CEF:0 here", "0|1|2", '{"a": 1}']
)
def test_what_is_no_cef(text: str) -> None:
    assert frame(text) is None


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    frame(text)
    frame("CEF:0|" + text)
    assert frame(HEAD + text) is not None


@given(st.text("ab1 .=|\n-L[", max_size=80))
def test_nothing_is_lost(extension: str) -> None:
    fields = frame(HEAD + extension)
    assert fields is not None
    written = repr(fields)
    for word in re.findall(r"\w+", extension):
        assert word in written


_KEYS = st.text("abcdefgh", min_size=1, max_size=8).map(lambda key: f"x{key}")
_VALUES = st.text("ab /|=\\\n", max_size=12).map(str.strip)


@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_what_is_escaped_by_the_standard_comes_back(pairs: dict[str, str]) -> None:
    def escape(value: str) -> str:
        return value.replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n")

    extension = " ".join(f"{key}={escape(value)}" for key, value in pairs.items())
    assert frame(HEAD + extension) == HEADER | pairs


def test_what_is_too_long_to_be_pairs_stays_whole() -> None:
    fields = frame("CEF:0|V|P|1|id|n|5|src=192.0.2.7 msg=" + "x " * MAX_EXTENSION)
    assert fields is not None
    assert fields["src"] == "192.0.2.7"
    assert len(fields["msg"]) + len(fields[UNPARSED]) > MAX_EXTENSION * 2 - 100
