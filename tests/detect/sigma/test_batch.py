"""The indexed matcher means what the plain one means, on vectors and on anything generated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detect.sigma import bucket, plan, scanner
from detect.sigma.batch import BatchMatcher, EventText
from detect.sigma.literals import clause_of
from detect.sigma.patterns import Regex
from detect.sigma.regex_literals import every_required, required, width
from detect.sigma.values import fold
from tests.detect.sigma.support import load, rule
from tocsin.errors import BadInput, ContentErrors
from tocsin.route import route_of

if TYPE_CHECKING:
    from detect.sigma import RuleSet

VECTORS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "vectors.yml").read_text("utf-8")
)


def outcome(found: Any) -> list[tuple[str, Any]]:
    return [(match.rule.rule.id, match.hits) for match in found]


def assert_agree(rules: RuleSet, events: list[dict[str, Any]]) -> None:
    """Both matchers, the indexed one at first sight and when it has learned; with a route too."""
    plain = [outcome(rules.match(event)) for event in events]
    texts = [orjson.dumps(event) for event in events]
    matcher = BatchMatcher(rules)
    for _ in range(3):
        for batch in (
            [EventText(text) for text in texts],
            [EventText(text, route_of(event)) for text, event in zip(texts, events, strict=True)],
        ):
            found = matcher.match(batch)
            got = [outcome(found[at].matches) if at in found else [] for at in range(len(events))]
            assert got == plain


@pytest.fixture(params=["hyperscan", "expression", "fields"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scanning engines; and fields scanned by themselves as soon as a few events were seen."""
    if request.param == "hyperscan" and not scanner.HYPERSCAN:
        pytest.skip("hyperscan is not installed (the extra `fast`)")
    monkeypatch.setattr(scanner, "HYPERSCAN", scanner.HYPERSCAN and request.param != "expression")
    monkeypatch.setattr(bucket, "REPLAN_AT", (2, 8))
    monkeypatch.setattr(bucket, "WASTE", -1.0)
    if request.param == "fields":
        monkeypatch.setattr(plan, "DENSE_EVENTS", 0.0)
        monkeypatch.setattr(plan, "DENSE_CANDIDATES", 0.0)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vectors(vector: dict[str, Any], tmp_path: Path) -> None:
    detection = vector.get("detection") or {
        "selection": vector["selection"],
        "condition": "selection",
    }
    rules = load(tmp_path, rule(detection=detection), placeholders=vector.get("placeholders"))
    # As they come from a topic: what JSON cannot say is not an event.
    events = [
        orjson.loads(orjson.dumps(event)) for event in [*vector["match"], *vector.get("miss", [])]
    ]
    assert_agree(rules, events)


WORDS = st.sampled_from(
    ["a", "k",
     "\u212a", "s", "\u017f", "i", "\u0130", "\u0131", "\u00e9", "\u00c9", "\u03c3",
     "\u03c2", "\\", '"', "/", "\n", "{", "}", "5", "0", ".", "e", "+", "-", " ", "*", "?",
     "\u202e",
     "cmd.exe", "\\net", "true", "1e16", "10.0.0.1", "\u00df", "\u1e9e"]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=5).map("".join)
SCALARS = st.one_of(
    TEXTS,
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.sampled_from(["a", "x"]), SCALARS, max_size=2),
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "a": VALUES,
        "b": VALUES,
        "c": st.fixed_dictionaries({}, optional={"d": VALUES}),
        "c.d": SCALARS,
        "event": st.fixed_dictionaries(
            {}, optional={"code": VALUES, "original": TEXTS, "category": VALUES}
        ),
    },
)
MODIFIERS = st.sampled_from(
    ["", "|contains", "|startswith", "|endswith", "|contains|all", "|cased", "|windash|contains",
     "|exists", "|fieldref", "|wide|base64offset|contains", "|base64", "|re", "|re|i", "|cidr",
     "|gte", "|neq"]
)  # fmt: skip


@st.composite
def items(draw: st.DrawFn) -> tuple[str, Any]:
    modifier = draw(MODIFIERS)
    field = draw(st.sampled_from(["a", "b", "c.d", "event.code", "event.category"]))
    match modifier:
        case "|exists":
            value: Any = draw(st.booleans())
        case "|fieldref":
            value = draw(st.sampled_from(["a", "b", "c.d"]))
        case "|cidr":
            value = draw(st.sampled_from(["10.0.0.0/8", "10.0.0.1/32", "::/0", "10.0.0.0/9"]))
        case "|gte":
            value = draw(st.integers(-100, 100))
        case "":
            value = draw(st.one_of(SCALARS.filter(lambda each: not isinstance(each, float)),
                                   st.lists(TEXTS, min_size=1, max_size=3)))  # fmt: skip
        case "|contains|all":
            value = draw(st.lists(TEXTS, min_size=2, max_size=3))
        case _:
            value = draw(st.one_of(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)))
    return f"{field}{modifier}", value


@st.composite
def rules_of(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        detection: dict[str, Any] = {
            name: dict(draw(st.lists(items(), min_size=1, max_size=2))) for name in ("x", "y")
        }
        if draw(st.booleans()):
            detection["y"] = draw(st.lists(TEXTS, min_size=1, max_size=3))
        detection["condition"] = draw(
            st.sampled_from(["x", "x and y", "x or y", "x and not y", "not x", "1 of them"])
        )
        made.append(rule(number, detection=detection))
    return made


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=rules_of(), events=st.lists(EVENTS, min_size=1, max_size=12))
@pytest.mark.usefixtures("engine")
def test_generated(
    made: list[dict[str, Any]], events: list[dict[str, Any]], tmp_path: Path
) -> None:
    try:
        rules = load(tmp_path, *made)
    except ContentErrors:
        return  # no valid Sigma: an expression that is none, an empty value
    events = [orjson.loads(orjson.dumps(event)) for event in events]
    try:
        for event in events:
            rules.match(event)
    except BadInput:
        return
    assert_agree(rules, events)


def test_one_value_of_several_that_rules_name(tmp_path: Path) -> None:
    detection = {"x": {"event.code": "7"}, "condition": "x"}
    assert_agree(load(tmp_path, rule(detection=detection)), [{"event": {"code": ["7", "other"]}}])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("abc", ("abc",)),
        ("(?i)Net(?:1|) user", (" user",)),
        (r"\\[a-z]+\.exe$", (".exe",)),
        ("foo|bar", ("foo", "bar")),
        ("(foo|bar)baz?", ("foo", "bar")),
        ("a{2}bc+d", ("bc",)),
        ("colou?r", ("colo",)),
        ("x*", None),
        (".*", None),
        ("[eE]xe", ("exe",)),
        (r"""\w{1,6}\.[ '"]{1}""", (". ", ".'", '."')),
        ("[ab]+c[x-z]de", ("de",)),
        ("[^a]b[\\w]c[12345]", ("b",)),
        (
            "[12][12][12][12][12]x",
            (
                "1111",
                "1112",
                "1121",
                "1122",
                "1211",
                "1212",
                "1221",
                "1222",
                "2111",
                "2112",
                "2121",
                "2122",
                "2211",
                "2212",
                "2221",
                "2222",
            ),
        ),
        (r"\x41bc", None),
        ("(?=abc)", None),
        ("abc(", None),
    ],
)
def test_texts_that_an_expression_requires(source: str, expected: tuple[str, ...] | None) -> None:
    assert required(source) == expected


@given(
    source=st.lists(
        st.sampled_from(["a", "bc", "\\d", ".", "*", "+", "?", "{2}", "(", ")", "|", "[ab]", "[a.]",
                         "[K5]{1}", "(?i)",
                         "(?:", "^", "$", "\\.", "\\\\", "K"]),
        max_size=8,
    ).map("".join),
    text=st.lists(st.sampled_from(["a", "bc", "5", ".", "\\", "\n", "K", "\u212a"]), max_size=8)
    .map("".join),
)  # fmt: skip
def test_what_an_expression_requires_is_in_what_it_finds(source: str, text: str) -> None:
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        expression = re2.compile(source, options=options)
    except re2.error:
        return
    texts = required(source)
    found = expression.search(text)
    if texts is not None and found:
        plain = fold(text).replace("\u212a", "k")
        assert any(each.lower() in plain for each in texts)
    if found:
        assert len(found[0]) >= width(source)
        plain = fold(text).replace("\u212a", "k")
        for each in every_required(source):
            assert any(one.lower() in plain for one in each)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (r"\s[a-f0-9]{64}\s[A-F]{16}", 82),
        (r"^(?:abc|de?)+\b.*$", 1),
        (r"(?i)a(b|)c{2,}", 3),
        (r"[^\]]x?\.", 2),
        (r"(?=abc)", 0),
    ],
)
def test_the_fewest_characters_that_an_expression_takes(source: str, expected: int) -> None:
    assert width(source) == expected


def test_all_texts_that_an_expression_requires() -> None:
    assert every_required(r'"(?:\{\d\})+"\s*-f') == (('"',), ("{",), ("-f",))
    assert every_required(r"net\s+user(?:s|)\s?x*(?:y|z)") == (("net",), ("user",), ("y", "z"))
    assert every_required(r"(a|b)c{2}") == (("a", "b"), ("c",))
    assert every_required("a|b") == ()


def test_a_literal_shorter_than_two_letters_is_not_scanned_for() -> None:
    assert clause_of(Regex("a")) is None
