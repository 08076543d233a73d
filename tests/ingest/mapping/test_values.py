"""Converters, compound targets, paths and conditions: what values become."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mapping import parts, paths
from ingest.mapping.casts import cast
from ingest.mapping.conditions import Conditions
from ingest.mapping.converters import CONVERTERS
from ingest.mapping.line import NO_HEADER, Line
from ingest.mapping.plain import _Runner
from ingest.mapping.source import Source
from ingest.mapping.targets import target
from ingest.mapping.values import absent

CONVERTED: list[tuple[str, Any, Any]] = [
    ("int", "8.5", 8),
    ("int", "0x1F", 31),
    ("int", True, None),
    ("float", "1e400", None),
    ("bool", "Yes", True),
    ("bool", "maybe", None),
    ("ip", ["x", "::ffff:192.0.2.7"], "192.0.2.7"),
    ("mac", "00:00:5e:00:53:23", "00-00-5E-00-53-23"),
    ("mac", "0000.5e00.5323", "00-00-5E-00-53-23"),
    ("mac", "00:00:5e", None),
    ("host", "web1.example.com.", "web1.example.com"),
    ("host", "192.0.2.7", None),
    ("outcome", "Denied", "failure"),
    ("outcome", True, "success"),
    ("outcome", "perhaps", None),
    ("transport", 17, "udp"),
    ("transport", "TCP", "tcp"),
    ("direction", "Incoming", "inbound"),
    ("severity", "Critical", 2),
    ("duration_ns", "250ms", 250_000_000),
    ("duration_ns", "1:00:01", 3_601_000_000_000),
    ("duration_ns", 2, 2_000_000_000),
    ("emails", "Al <al@example.com>, eve@example.org", ["al@example.com", "eve@example.org"]),
    ("email", "nobody", None),
    ("basename", "C:\\w\\x.exe", "x.exe"),
    ("dirname", "/a/b/c", "/a/b"),
    ("domain", "https://u@www.example.com:8/x", "www.example.com"),
    ("json", '{"a": [1]}', {"a": [1]}),
    ("json", "{no", None),
    ("hex", "0xff", 255),
    ("hex_text", "6c73002d6c", "ls -l"),
    ("endpoint", "192.0.2.7:80", "192.0.2.7"),
    ("user", "DOM\\al", "al"),
    ("join", ["a", 1, True], "a 1 true"),
]


@pytest.mark.parametrize(("name", "value", "wanted"), CONVERTED)
def test_converters(name: str, value: Any, wanted: Any) -> None:
    assert CONVERTERS[name](value) == wanted


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(ANY)
def test_no_converter_raises_for_any_value(value: Any) -> None:
    for name, convert in CONVERTERS.items():
        if not absent(value):
            convert(value)
            assert name
    for function, outputs in parts.SPREADS.values():
        if not absent(value):
            made = function(value)
            assert made is None or len(made) == len(outputs)


CAST: list[tuple[str, Any, Any]] = [
    ("source.port", "443", 443),
    ("source.port", 70_000, None),
    ("source.bytes", "12.0", 12),
    ("host.ip", "192.0.2.7", ["192.0.2.7"]),
    ("host.ip", ["x", "192.0.2.7", "192.0.2.7"], ["192.0.2.7"]),
    ("event.category", ["network", "nonsense"], ["network"]),
    ("event.outcome", "ok", None),
    ("user.name", ["", "al"], "al"),
    ("user.name", {"x": 1}, None),
    ("user.email", "al", None),
    ("network.protocol", "HTTP", "http"),
    ("dns.question.name", "a.example.com.", "a.example.com"),
    ("file.hash.md5", "ABC", "abc"),
    ("event.severity", "high", 3),
    ("tls.established", "true", True),
    ("user.roles", "admin", ["admin"]),
]


@pytest.mark.parametrize(("path", "value", "wanted"), CAST)
def test_targets_cast_by_themselves(path: str, value: Any, wanted: Any) -> None:
    field = target(path, "acme")
    assert field is not None
    assert cast(field, value) == wanted


ENDPOINTS: list[tuple[str, tuple[Any, ...] | None]] = [
    ("192.0.2.7", ("192.0.2.7", "192.0.2.7", None, None)),
    ("192.0.2.7:80", ("192.0.2.7", "192.0.2.7", None, 80)),
    ("192.0.2.7/80", ("192.0.2.7", "192.0.2.7", None, 80)),
    ("[2001:db8::7]:80", ("2001:db8::7", "2001:db8::7", None, 80)),
    ("2001:DB8::7", ("2001:DB8::7", "2001:db8::7", None, None)),
    ("web1.example.com:8080", ("web1.example.com", None, "web1.example.com", 8080)),
    ("\\\\srv1", ("srv1", None, "srv1", None)),
    ("not a host", None),
]


@pytest.mark.parametrize(("value", "wanted"), ENDPOINTS)
def test_endpoints(value: str, wanted: tuple[Any, ...] | None) -> None:
    assert parts.endpoint(value) == wanted


URLS: list[tuple[str, dict[str, Any]]] = [
    ("/a/b.php?x=1#f", {"path": "/a/b.php", "query": "x=1", "fragment": "f", "extension": "php"}),
    ("/a.b/c?d", {"path": "/a.b/c", "query": "d"}),
    (
        "https://al:x@www.example.com:8443/p?q",
        {
            "full": "https://al:x@www.example.com:8443/p?q",
            "scheme": "https",
            "domain": "www.example.com",
            "port": 8443,
            "path": "/p",
            "query": "q",
            "username": "al",
        },
    ),
    ("www.example.com/x", {"domain": "www.example.com", "path": "/x"}),
    ("http://[2001:db8::7]/", {"domain": "2001:db8::7", "path": "/", "scheme": "http"}),
    ("nothing of the kind", {}),
]


@pytest.mark.parametrize(("value", "wanted"), URLS)
def test_urls(value: str, wanted: dict[str, Any]) -> None:
    made = dict(zip(parts.URL, parts.url(value) or (), strict=True))
    assert made.pop("original") == value
    made.pop("full") if "full" not in wanted else None
    assert {name: part for name, part in made.items() if part is not None} == wanted


USERS = [
    ("EXAMPLE\\al", ("al", "EXAMPLE", None)),
    ("al@example.com", ("al", "example.com", "al@example.com")),
    ("al@EXAMPLE", ("al", "EXAMPLE", None)),
    ("example/al", ("al", "example", None)),
    ("al", ("al", None, None)),
    ("a b@c d", ("a b@c d", None, None)),
]


@pytest.mark.parametrize(("value", "wanted"), USERS)
def test_users(value: str, wanted: tuple[str, str | None, str | None]) -> None:
    assert parts.user(value) == wanted


def test_hashes() -> None:
    md5, sha1 = "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    assert parts.hashes(f"SHA1={sha1.upper()},MD5={md5}") == (md5, sha1, None, None, None)
    assert parts.hashes(md5) == (md5, None, None, None, None)
    assert parts.hashes(f"IMPHASH={md5}") is None
    assert parts.hashes({"a": sha1, "b": 5}) == (None, sha1, None, None, None)


PATHS: list[tuple[str, Any]] = [
    ("a.b", 1),
    ("l[0].k", "x"),
    ("l[-1].k", "y"),
    ("l[].k", ["x", "y"]),
    ("l[].deep[].v", [1, 2, 3]),
    ('"o.dd"', 5),
    ('a."o dd"', 6),
    ("a.missing", None),
    ("l[9]", None),
    ("a[0]", None),
]
OBJECT = {
    "a": {"b": 1, "o dd": 6},
    "o.dd": 5,
    "l": [{"k": "x", "deep": [{"v": 1}, {"v": 2}]}, {"k": "y", "deep": [{"v": 3}]}],
}


@pytest.mark.parametrize(("path", "wanted"), PATHS)
def test_paths(path: str, wanted: Any) -> None:
    parsed = paths.parse(path)
    assert paths.look(OBJECT, parsed.steps) == wanted
    assert paths.parse(str(parsed)) == parsed


HOLDS: list[tuple[dict[str, Any], bool]] = [
    ({"a": "X"}, True),
    ({"a": ["y", "x"]}, True),
    ({"a": "y"}, False),
    ({"n": 5}, True),
    ({"n": "5"}, True),
    ({"t": True}, True),
    ({"l": "two"}, True),
    ({"l": ["three"]}, False),
    ({"none": None}, True),
    ({"a": {"exists": True}}, True),
    ({"dash": {"exists": True}}, False),
    ({"n": {"gte": 5, "lt": 6}}, True),
    ({"n": {"gt": 5}}, False),
    ({"a": {"gt": 5}}, False),
    ({"s": {"starts": "hel"}}, True),
    ({"s": {"ends": ["x", "LD"]}}, True),
    ({"s": {"contains": "lo wo"}}, True),
    ({"s": {"regex": r"W\w+$"}}, True),
    ({"s": {"not": "hello"}}, True),
    ({"any": [{"a": "y"}, {"n": 5}]}, True),
    ({"all": [{"a": "y"}, {"n": 5}]}, False),
    ({"not": {"a": "y"}}, True),
    ({"a": "x", "n": 6}, False),
    ({"missing": {"not": "x"}}, True),
]
VALUES = {
    **{"a": "x", "n": 5, "t": True, "l": ["one", "two"], "none": "", "dash": "-"},
    "s": "Hello World",
}


@pytest.mark.parametrize(("condition", "wanted"), HOLDS)
def test_conditions(condition: dict[str, Any], wanted: bool) -> None:
    source = Source("x.yml")
    read = Conditions(source, lambda text, _: paths.parse(text)).read(condition, ())
    assert not source.errors
    line = Line("json", dict(VALUES), "", NO_HEADER, "s", 0, "UTC")
    assert _Runner(line).holds(read) is wanted
