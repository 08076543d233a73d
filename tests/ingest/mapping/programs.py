"""Random mappings and lines, for holding the compiler to the plain interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from ingest.mapping.building import build
from ingest.mapping.line import NO_HEADER, Header
from ingest.mapping.source import Source

if TYPE_CHECKING:
    from ingest.mapping.program import Program

#: What values may be: everything that a short cut of the compiler might take for something else.
TEXTS = (
    *(
        "",
        " ",
        "-",
        "null",
        "N/A",
        "  \t ",
        "x",
        "Al",
        "al",
        "192.0.2.1",
        "2001:db8::1",
        "::ffff:192.0.2.9",
    ),
    *(
        "80",
        "0",
        "080",
        "65536",
        "99999999999999999999",
        "-1",
        "1.5",
        "web1.example.com",
        "web1:443",
    ),
    *("/a/b.php?x=1#y", "/", "http://u@h.example.com:8080/p.txt?q", "C:\\w\\x.exe", "/bin/sh -c"),
    *("DOM\\al", "al@example.com", 'say "hi"', "back\\slash", "line\nbreak", "nul\0", "é ü", "²"),
    *(
        "2024-05-01T10:00:00Z",
        "01/May/2024:10:00:00 +0000",
        "May  1 10:00:00",
        "1714557600",
        "Feb 30",
    ),
    *("tcp", "6", "SUCCESS", "ok", "denied", "inbound", "00:00:5e:00:53:01", "a,b,,c", "k=v", "Aa"),
    *("d41d8cd98f00b204e9800998ecf8427e", "Failed login of al from 192.0.2.7 port 22", "{x}"),
)
SCALARS = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(TEXTS),
    st.sampled_from((None, True, False, 0, 80, 443, -5, 1.0, 2.5, 2**63, 1714557600, 1e300)),
)
VALUES = st.one_of(
    SCALARS,
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.sampled_from(("x", "y")), SCALARS, max_size=2),
    st.lists(st.fixed_dictionaries({"k": SCALARS, "v": SCALARS}), max_size=2),
)
KEYS = ("a", "b", "c", "n", "message")
FIELDS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)

PATHS = st.sampled_from(
    (
        *(
            "a",
            "b",
            "c",
            "n.x",
            "n.y",
            "n[].v",
            "a[0]",
            "b[0].k",
            "n.x.y",
            "message",
            "word",
            "who",
        ),
        *("$host", "$program", "$pid", "$text", "$time", "$severity", "$source", '"odd key"'),
    )
)
LITERALS = st.sampled_from(("x", "al", "80", "ok", "success", "tcp", "192.0.2.1", "denied", "web"))
CONVERTERS = st.sampled_from(
    (
        *("text", "lower", "upper", "int", "float", "bool", "ip", "mac", "host", "time", "outcome"),
        *("transport", "direction", "severity", "url", "endpoint", "user", "email", "emails"),
        *("basename", "domain", "json", "hex", "duration_ns", "join", "dirname"),
    )
)
REGEXES = st.sampled_from((r"(\w+)", r"^(\S+) ", r"(?i)(al)", r"(\d+)$", r"x(.*)", r"(-|null)"))

CHECKS: st.SearchStrategy[Any] = st.one_of(
    LITERALS,
    st.lists(LITERALS, min_size=1, max_size=3),
    st.sampled_from(({"exists": True}, {"exists": False}, {"gte": 1}, {"lt": 100}, {"gt": 79})),
    st.builds(lambda text: {"starts": text}, LITERALS),
    st.builds(lambda text: {"contains": [text, "a"]}, LITERALS),
    st.builds(lambda text: {"ends": text}, LITERALS),
    st.sampled_from(({"regex": r"\d"}, {"not": "x"}, None, 80, True)),
)
CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(PATHS, CHECKS, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.builds(lambda some: {"any": some}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda every: {"all": every}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda one: {"not": one}, inner),
    ),
    max_leaves=3,
)
MAPS = st.dictionaries(
    LITERALS, st.sampled_from(("success", "web", "x", "", None, 5, ["a"])), min_size=1, max_size=3
)


def _spec(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    base = st.one_of(
        st.builds(lambda source: {"from": source}, inner),
        st.builds(lambda paths: {"all": paths}, st.lists(PATHS, min_size=1, max_size=3)),
        st.sampled_from(({"value": "fixed"}, {"value": 7}, {"template": "{a}-{b}"})),
        st.sampled_from(({"template": 'say "{a}"'}, {"template": "{n.x}\\{c}"})),
        st.just({"find": {"list": "n", "where": {"k": "x"}, "take": "v"}}),
    )
    more = st.fixed_dictionaries(
        {},
        optional={
            "split": st.sampled_from((",", " ")),
            "regex": REGEXES,
            "map": MAPS,
            "default": st.sampled_from(("success", "web", 9)),
            "other": st.just("keep"),
            "as": st.one_of(CONVERTERS, st.lists(CONVERTERS, min_size=1, max_size=2)),
            "when": CONDITIONS,
        },
    )
    return st.builds(lambda one, two: one | two, base, more)


SOURCES: st.SearchStrategy[Any] = st.one_of(
    PATHS,
    PATHS,
    st.lists(PATHS, min_size=1, max_size=3),
    _spec(st.one_of(PATHS, st.lists(PATHS, min_size=1, max_size=2))),
)
TARGETS = st.sampled_from(
    (
        *("@timestamp", "event.start", "event.action", "event.outcome", "event.category", "tags"),
        *("event.severity", "event.duration", "event.type", "event.code", "event.dataset"),
        *("source.ip", "source.port", "source.address", "source.mac", "source.bytes", "source"),
        *("destination", "destination.domain", "destination.ip", "source.nat", "source.user"),
        *("user", "user.name", "user.target.name", "user.email", "user.roles", "user.id"),
        *("host.name", "host.hostname", "host.ip", "process.name", "process.executable"),
        *("process.pid", "process.command_line", "file.path", "file.hash", "url", "url.original"),
        *("url.domain", "url.path", "network.transport", "network.direction", "dns.resolved_ip"),
        *("dns.question.name", "email.to.address", "labels.note", "acme.own", "acme.deep.x"),
        *(
            "log.level",
            "log.syslog.priority",
            "message",
            "http.response.status_code",
            "dns.answers",
        ),
        *(
            "observer.ip",
            "related.user",
            "related.hosts",
            "network.forwarded_ip",
            "tls.established",
        ),
    )
)
CONSTANTS: dict[str, list[Any]] = {
    "event.action": ["login", 'a "quoted" one'],
    "event.category": [["network"], ["web", "file"]],
    "event.type": [["info"], ["start", "user"]],
    "event.outcome": ["success", "failure"],
    "event.kind": ["alert"],
    "tags": [["t"]],
    "user.name": ["root"],
    "source.port": [22],
    "labels.fixed": ["é\\n"],
    "acme.flag": [True, {"deep": [1]}],
    "tls.established": [True],
    "process.name": ["fixed"],
}
SETS = st.lists(st.sampled_from(sorted(CONSTANTS)), max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({n: st.sampled_from(CONSTANTS[n]) for n in names})
)
MATCHES = st.sampled_from(
    (
        *("Failed <word> of <user.name> from <source.ip> port <source.port>", "Failed <rest>"),
        *("<word:word> <who>", "say <event.reason>", "<a:word>", "Failed <word> <_>", "<message>"),
        *("/<file.path>", "<source.ip>", "<source.port:int>", "x", "<word>=<labels.note>"),
    )
)


def _blocks(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    fields = st.dictionaries(TARGETS, SOURCES, max_size=4)
    parts: dict[str, Any] = {"set": SETS, "fields": fields}
    if depth:
        inner = _blocks(depth - 1)
        case = st.builds(lambda when, block: {"when": when} | block, CONDITIONS, inner)
        pattern = st.one_of(
            st.builds(lambda text, block: {"match": text} | block, MATCHES, inner),
            st.builds(
                lambda block: {"regex": r"(?P<user__name>\w+)(?: (?P<opt>\w+))?"} | block, inner
            ),
            st.builds(
                lambda text, when, block: {"match": text, "when": when} | block,
                MATCHES,
                CONDITIONS,
                inner,
            ),
        )
        group = st.builds(
            lambda source, inside: {"from": source, "patterns": inside},
            SOURCES,
            st.lists(pattern, min_size=1, max_size=2),
        )
        parts["patterns"] = st.lists(st.one_of(pattern, pattern, group), max_size=3)
        parts["cases"] = st.lists(case, max_size=3)
        parts["all_cases"] = st.lists(case, max_size=2)
    return st.fixed_dictionaries({}, optional=parts)


def _header(*parts: Any) -> Header:
    """A header; message id and structured data come with a version only (RFC 5424)."""
    made = Header(*parts)
    made = made._replace(unreadable=made.unreadable and made.time is None)
    return made if made.version is not None else made._replace(msgid=None, sd=None)


def line_of(header: Header, text: str) -> str:
    """The line that has this header and payload: what a header says stands in it."""
    if header is NO_HEADER:
        return text
    return f"<1>{header.host} {header.program}[{header.pid}] {header.sd}: {text}"


HEADERS = st.one_of(
    st.just(NO_HEADER),
    st.builds(
        _header,
        st.sampled_from((None, (1714557600000, "2024-05-01T10:00:00.000Z"))),
        st.sampled_from((None, "web1", 'we"b')),
        st.sampled_from((None, "sshd", "/usr/sbin/app", "-")),
        st.sampled_from((None, "7", "x", "0012")),
        st.sampled_from((None, 38)),
        st.sampled_from((None, "ID1")),
        st.sampled_from((None, {"e": {"p": 'q"'}})),
        st.sampled_from((None, "1")),
        st.sampled_from((None, {"repeated": 3})),
        st.booleans(),
    ),
)

BLOCKS = _blocks(2)
MORE = st.fixed_dictionaries(
    {},
    optional={
        "keep": st.just(False),
        "identity": SOURCES,
        "decode": st.sampled_from(({"a": "json"}, {"n.x": "kv"}, {"message": "kv"})),
    },
)


def program(block: dict[str, Any], more: dict[str, Any]) -> Program | None:
    """The program of a mapping with this block; None if it is not valid."""
    value = {
        "id": "acme.test",
        "version": 3,
        "title": "t",
        "root": "acme",
        "recognize": [{"format": "json", "keys": ["a"]}, {"format": "text", "programs": ["p"]}],
        **block,
        **more,
    }
    return build(Source("test.yml", value))
