"""The short way of common lines makes what the long way makes, or leaves them to it."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from bench.ingest_lines import ALL, cloudtrail, suricata
from ingest.mapping.library import builtin
from ingest.mapping.origin import Origin
from ingest.mapping.runner import FREQUENT
from ingest.normalizer import Normalizer
from ingest.object_lines import ObjectLines
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.ingest_lines import Maker

ORIGIN = Origin("raw", 0, "a source", "default", 1_714_651_200_000, "Europe/Berlin")
HEAD = "May  1 10:00:00 web1 sshd[7]: "
ACCESS = '192.0.2.7 - - [01/May/2024:10:00:00 +0000] "GET {} HTTP/1.1" 200 5 "-" "curl/8.0"'

#: Lines that look common and are not quite.
ODD = (
    HEAD + 'Failed password for a"b from 192.0.2.7 port 9 ssh2',
    HEAD + "Failed password for a\\b from 192.0.2.7 port 9 ssh2",
    HEAD + "Failed password for a\tb from 192.0.2.7 port 9 ssh2",
    HEAD + "Failed password for Zoë from 192.0.2.7 port 9 ssh2",
    HEAD + "Failed password for - from 192.0.2.7 port 9 ssh2",
    HEAD + "Failed password for   from 192.0.2.7 port 9 ssh2",
    HEAD + "Failed password for al from 192.0.2.777 port 9 ssh2",
    HEAD + "Failed password for al from 2001:db8::1 port 9 ssh2",
    HEAD + "Failed password for al from 192.0.2.7 port 70000 ssh2",
    HEAD + "Failed password for al from 192.0.2.7 port 09 ssh2",
    HEAD + "Failed password for invalid user al from 192.0.2.7 port 9 ssh2 ",
    HEAD + "Failed password for CEF:0|a|b|1|2|c|5|x=y from 192.0.2.7 port 9 ssh2",
    HEAD + 'Failed password for al from 192.0.2.7 port 9 ssh2: {"a": 1}',
    HEAD.replace("[7]", "") + "Invalid user al from 192.0.2.7",
    HEAD.replace("[7]", "[x]") + "Invalid user al from 192.0.2.7",
    HEAD.replace("[7]", "[007]") + "Invalid user al from 192.0.2.7",
    HEAD.replace("sshd", "/usr/sbin/sshd") + "Invalid user al from 192.0.2.7",
    HEAD.replace("sshd", "SSHD") + "Invalid user al from 192.0.2.7",
    HEAD.replace("web1", "-") + "Invalid user al from 192.0.2.7",
    HEAD.replace("May  1", "Feb 31") + "Invalid user al from 192.0.2.7",
    HEAD + "something that no pattern knows",
    ACCESS.format("/"),
    ACCESS.format("/a.html?"),
    ACCESS.format("/a.html?q=1#top"),
    ACCESS.format("/a.tar.gz"),
    ACCESS.format("https://www.example.com/a?b"),
    ACCESS.format("*"),
    ACCESS.format('/a"b'),
    ACCESS.format("/Zoë"),
    ACCESS.format("/\\x22"),
    ACCESS.format("/").replace("192.0.2.7", "2001:db8::1"),
    ACCESS.format("/").replace("192.0.2.7", "::1"),
    ACCESS.format("/").replace("192.0.2.7", "host.example.com"),
    ACCESS.format("/").replace(" - - ", " - al "),
    ACCESS.format("/").replace("May", "Foo"),
    ACCESS.format("/").replace(" 5 ", " 0005 "),
    ACCESS.format("/").replace("curl/8.0", "null"),
    ACCESS.format("/").replace("curl/8.0", ""),
    ACCESS.format("/").replace("curl/8.0", "CEF:0|a|b|1|2|c|5|src=192.0.2.9"),
)


@pytest.fixture(scope="module")
def ways() -> tuple[Normalizer, Normalizer]:
    return Normalizer(builtin(), encoded=True), Normalizer(builtin())


def _same(ways: tuple[Normalizer, Normalizer], line: bytes) -> bool:
    """Whether the line goes the short way, where it must become the same event."""
    short, long = ways
    assert short.short is not None
    wanted = long.made(line, ORIGIN, 7, "")
    got = short.short(line, ORIGIN, 7, "")
    if got is None:
        return False
    value, *rest = got
    assert isinstance(value, bytes)
    [(document, *others)] = wanted
    assert orjson.loads(value) == orjson.loads(orjson.dumps(document)), line
    assert rest == others, line
    return True


def test_lines_of_all_kinds(ways: tuple[Normalizer, Normalizer]) -> None:
    dice = random.Random(7)  # noqa: S311  (test data, no secret)
    lines = [make(dice, number) for number in range(50) for make in ALL]
    first = sum(_same(ways, line) for line in lines)
    # What the long way has learned (times) does not change what the short one makes.
    assert sum(_same(ways, line) for line in lines) >= first > 50


@pytest.mark.parametrize("line", ODD)
def test_lines_that_are_almost_common(ways: tuple[Normalizer, Normalizer], line: str) -> None:
    _same(ways, line.encode())
    _same(ways, line.encode())
    for cut in range(1, len(line), 7):
        if line[:cut].strip():
            _same(ways, line[:cut].encode())


def test_no_shortcut_where_documents_are_wanted() -> None:
    assert Normalizer(builtin()).short is None


CEF = (
    "<134>May  1 10:00:00 fw1 CEF:0|Palo Alto Networks|PAN-OS|11.1|end|TRAFFIC|5|"
    "src=192.0.2.7 dst=198.51.100.2 spt=5000 msg=no way in cs1Label=Rule Name "
    "cs1=deny all act=deny request=/a"
)

#: What replaces what in a line whose keys are known.
CHANGES = (
    ("no way in", "no  way in"),
    ("no way in", " no way in"),
    ("no way in", ""),
    ("no way in", "-"),
    ("no way in", "a=b"),
    ("no way in", "a \\= b"),
    ("no way in", 'say "no"'),
    ("no way in", "Zoë"),
    ("no way in", "no\tway"),
    ("no way in", "no way out=5"),
    ("192.0.2.7", "host.example.com"),
    ("192.0.2.7", "2001:db8::1"),
    ("5000", "70000"),
    ("5000", "05000"),
    ("Rule Name", "Policy"),
    ("cs1=deny all", "cs1=N/A"),
    ("TRAFFIC", " TRAFFIC "),
    ("TRAFFIC", "TRAF\\|FIC"),
    ("|5|", "|high|"),
    ("|5|", "||"),
    ("Palo Alto Networks", "PALO ALTO NETWORKS"),
    ("CEF:0", "CEF: 0"),
    ("fw1 ", ""),
    ("<134>", ""),
    ("<134>May  1 10:00:00 fw1 ", ""),
    ("<134>", "<999>"),
    ("request=/a", "request=/a "),
    ("request=/a", "request="),
    ("request=/a", "request=/a extra"),
    ("src=", "src=192.0.2.9 src="),
)


def test_cef_whose_keys_are_known(ways: tuple[Normalizer, Normalizer]) -> None:
    for _ in range(40):
        known = _same(ways, CEF.encode())
    assert known
    for _ in range(2):
        for old, new in CHANGES:
            _same(ways, CEF.replace(old, new).encode())
            _same(ways, CEF.replace(old, new).replace("<134>May  1 10:00:00 fw1 ", "").encode())


def _changed(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An object with each of its values, at any depth, replaced, taken out, or joined by others."""
    for name, value in node.items():
        if isinstance(value, dict):
            for inside in _changed(value):
                yield node | {name: inside}
        for other in OTHERS:
            yield node | {name: other}
        yield {key: value for key, value in node.items() if key != name}
    yield {**node, "another": "x"}
    yield dict(reversed(node.items()))


#: What stands where something else always did.
OTHERS: tuple[Any, ...] = (
    *(None, "", "-", " ", "x", 'a"b', "a\\b", "Zoë", "2001:db8::1", "/a?b#c", "/a.b?", "blocked"),
    *(0, -1, 404, 70_000, 2**60, 1.5, True, [], ["x", "y"], {}, {"x": 1}, "2024-05-01T10:00:00.5Z"),
)


@pytest.mark.parametrize("make", [cloudtrail, suricata])
def test_objects_whose_keys_are_known_at_every_depth(
    ways: tuple[Normalizer, Normalizer], make: Maker
) -> None:
    dice = random.Random(11)  # noqa: S311  (test data, no secret)
    for number in range(120):
        known = _same(ways, make(dice, number))
    assert known
    for changed in _changed(orjson.loads(make(dice, 121))):
        _same(ways, orjson.dumps(changed))


#: What makes text of JSON that is no longer what one expression reads.
CUTS = (
    (b'":"', b'": "'),
    (b'":"', b'":"\\u0041'),
    (b'":"', b'":"a\nb'),
    (b'":"', b'":"\x01'),
    (b'":"', b'":"\x7f'),
    (b'":"', b'":" '),
    (b'":"', b'":"\xc3\xab'),
    (b'":"', b'":"\xff'),
    (b'":"', b'":"x","y":"'),
    (b'":"', b'":"\\"'),
    (b"true", b"false"),
    (b"null", b"{}"),
    (b":80", b":-0"),
    (b":80", b":080"),
    (b":80", b":8e1"),
    (b":80", b":80.0"),
    (b":80", b":9007199254740993"),
    (b"AssumedRole", b"IAMUser"),
    (b'{"items":[{', b'{"items":[{},{'),
)


@pytest.mark.parametrize("make", [cloudtrail, suricata])
def test_lines_of_objects_that_one_expression_reads(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Normalizer(builtin(), encoded=True), Normalizer(builtin())
    counted = Counter[bool]()
    made = ObjectLines.made

    def count(*arguments: Any) -> Any:
        event = made(*arguments)
        counted[event is not None] += 1
        return event

    monkeypatch.setattr(ObjectLines, "made", count)
    dice = random.Random(13)  # noqa: S311  (test data, no secret)
    for number in range(160):
        _same(ways, make(dice, number))
    assert counted[True] > 60, "no expression was made"
    line = make(dice, 161)
    for old, new in CUTS:
        for at in (m.start() for m in re.finditer(re.escape(old), line)):
            try:
                _same(ways, line[:at] + new + line[at + len(old) :])
            except BadInput:
                continue  # the long way refuses it, and the short one made nothing of it
    assert line.count(b'":"') > 10


def test_lines_that_vary_do_not_pay_for_an_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.object_lines.TRIAL", 20)
    short = Normalizer(builtin(), encoded=True).short
    assert short is not None
    dice = random.Random(17)  # noqa: S311  (test data, no secret)
    seen = []
    made = ObjectLines.made

    def watch(self: ObjectLines, *arguments: Any) -> Any:
        seen.append(self)
        return made(self, *arguments)

    monkeypatch.setattr(ObjectLines, "made", watch)
    for number in range(160):
        short(cloudtrail(dice, number), ORIGIN, number, "")
    [kind] = seen[0].kinds.values()
    assert kind.templates
    for number in range(200):
        record = orjson.loads(cloudtrail(dice, number))
        record["requestParameters"] = {f"name{number}": "x"}
        short(orjson.dumps(record), ORIGIN, number, "")
    assert not kind.templates


#: Lines of which some are learned; the others begin alike, or hold what the learned ones do not.
BEHIND_HEADERS = (
    "Failed password for al from 192.0.2.7 port 9 ssh2",
    "Failed password for invalid user al from 192.0.2.7 port 9 ssh2",
    "Failed password for invalid user from from 192.0.2.7 port 9 ssh2",
    "Failed password for root from 203.0.113.9 port 22 ssh2 from 192.0.2.7 port 9 ssh2",
    "Failed password for al from 2001:db8::1 port 9 ssh2",
    "Failed none for invalid user  from 192.0.2.7 port 9 ssh2",
    "Failed password for al from 192.0.2.7 port 9 ssh2: RSA SHA256:abc",
    "Failed password for al OUT=eth0 from 192.0.2.7 port 9 ssh2",
    "Failed password for EventID from 192.0.2.7 port 9 ssh2",
    "Failed password for a\tb from 192.0.2.7 port 9 ssh2",
    "Failed password for a\xa0b from 192.0.2.7 port 9 ssh2",
    "Failed to do what no pattern knows",
    "Invalid user al from 192.0.2.7",
    "Invalid user al from 192.0.2.7 port 9",
    "Invalid user  from 192.0.2.7 port 70000",
)
HEADERS = (
    HEAD,
    HEAD.replace("[7]", ""),
    HEAD.replace("[7]", "[07]"),
    HEAD.replace("[7]", "[123456789]"),
    HEAD.replace("web1", "web1:"),
    HEAD.replace("web1", "2001:db8::5"),
    HEAD.replace("sshd", "sshd-session"),
    HEAD.replace("sshd", "login"),
    HEAD.replace("May  1", "May  2"),
    HEAD.replace("May  1", "Feb 31"),
)


def test_a_header_and_a_pattern_in_one_expression(ways: tuple[Normalizer, Normalizer]) -> None:
    lines = [(head + text).encode() for head in HEADERS for text in BEHIND_HEADERS]
    for _ in range(FREQUENT + 2):
        short = sum(_same(ways, line) for line in lines)
    assert short > len(lines) // 4


def test_access_logs_of_every_set_of_fields(ways: tuple[Normalizer, Normalizer]) -> None:
    """Each is learned from the first of its kind; the rest is what only looks like it."""
    line = '{} {} {} [01/May/2024:10:00:00 +0000] "{} {} HTTP/1.1" 200 {} "{}" "{}"'
    texts = [
        line.format(client, ident, user, method, "/a", 5, referrer, agent)
        for client in ("192.0.2.7", "-")
        for ident in ("-", "2024-05-01T10:00:00Z")
        for user in ("-", "al")
        for method in ("GET", "X" * 33)
        for referrer, agent in (("-", "a"), ("", "-"), ("https://example.com/", 'a"b'), ("\\", "b"))
    ]
    for _ in range(2):
        short = sum(_same(ways, text.encode()) for text in texts)
    assert short > 4


def test_what_a_learnt_header_takes_for_a_host_is_one(ways: tuple[Normalizer, Normalizer]) -> None:
    """An expression of a header and its pattern knows hosts as the reader of headers does."""
    line = "May  1 10:00:{:02} {} sshd[{}]: Invalid user al{} from 192.0.2.7 port {}"
    for number in range(300):
        _same(ways, line.format(number % 60, "web-1", 4_000 + number, number, 4_000).encode())
    for host in ("web-1", "192.0.2.1", "a(b)", "a,b", "%%x", "-"):
        assert _same(ways, line.format(7, host, 77, "", 22).encode()), host
    for host in ("(x)", "|", "=a", "<x>", ";", "{j}", "[h]", "::1"):
        assert not _same(ways, line.format(7, host, 77, "", 22).encode()), host
