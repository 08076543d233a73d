"""CEL: what is refused at load, what raises at run time, and what comes out."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.errors import ExpressionError
from tocsin.expressions import MAX_EXPRESSION, MAX_RESULT_TEXT, Shared, compile, with_safe_has

ALERT: dict[str, Any] = {
    "rule": {"id": "r-1", "tags": ["attack.t1110", "tocsin.demo"]},
    "event": {"severity": 73},
    "source": {"ip": "203.0.113.7"},
    "user": None,
    "at": "2026-01-01T00:00:00Z",
}


def evaluate(text: str, alert: Any = ALERT) -> Any:
    return compile(text, ["alert"]).evaluate({"alert": alert})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('alert.rule.tags.exists(t, t.startsWith("attack.")) && alert.event.severity > 60', True),
        ('alert.rule.id + "|" + alert.source.ip', "r-1|203.0.113.7"),
        ("alert.event.severity > 72.5", True),
        ("has(alert.source.ip)", True),
        ("has(alert.nope)", False),
        ("has(alert.nope.deeper.still)", False),
        ("has(alert.user.name)", False),
        ("has(alert . user . name) ? alert.user.name : 'nobody'", "nobody"),
        ("'has(alert.nope.deeper)'", "has(alert.nope.deeper)"),
        ("alert.rule", ALERT["rule"]),
        ("timestamp(alert.at)", "2026-01-01T00:00:00Z"),
        ("duration('1500ms')", "1.5s"),
        ("b'ab'", "YWI="),
        ("{1: 'a', 7u: 2u}", {"1": "a", "7": 2}),
        ("{true: 'a'}", {"true": "a"}),
        ("[null, 1, 2.5]", [None, 1, 2.5]),
        ("false && alert.nope", False),
    ],
)  # fmt: skip
def test_value(text: str, expected: object) -> None:
    assert evaluate(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alert.nope", "nope"),
        ("alert.user.name", "non-message"),
        ("1 / (alert.event.severity - 73)", "divide by zero"),
        ("alert.event.severity + 0.5", "overload"),
        ("9223372036854775807 + alert.event.severity", "overflow"),
        ("1.0 / 0.0", "JSON"),
        ("type(1)", "JSON"),
        ("[1,2,3,4,5,6,7,8,9].map(a, [1,2,3,4,5,6,7,8,9].map(b, [1,2,3,4,5,6,7,8,9].map(c,"
         "[1,2,3,4,5,6,7,8,9].map(d, [1,2,3,4,5,6,7,8,9].map(e, a)))))", "budget"),
    ],
)  # fmt: skip
def test_error_values_raise(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        evaluate(text)


def test_large_result_raises() -> None:
    text = "x" * (MAX_RESULT_TEXT // 2 + 1)
    assert evaluate("alert", text) == text
    with pytest.raises(ExpressionError, match="characters of text"):
        evaluate("alert + alert", text)


@pytest.mark.parametrize("value", [{"x": {1}}, {"x": 2**70}, "\ud800"])
def test_a_binding_that_cel_cannot_hold_raises(value: object) -> None:
    with pytest.raises(ExpressionError):
        evaluate("alert", value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 +", "line 1, column 4: Syntax error"),
        ("true &&\n  nope", "line 2, column 3: undeclared reference to 'nope'"),
        ('"a" + 1', "line 1, column 5: found no matching overload"),
        ("vars.x", "undeclared"),
        (" ", "missing"),
        ("1 + " * MAX_EXPRESSION + "1", "at most"),
        ("(" * 2000 + "1" + ")" * 2000, "."),
    ],
)
def test_refused_at_load_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        compile(text, ["alert"])


def test_condition_must_be_true_or_false() -> None:
    assert compile("alert.event.severity == 73", ["alert"]).test({"alert": ALERT}) is True
    with pytest.raises(ExpressionError, match="true or false"):
        compile("alert.event.severity", ["alert"]).test({"alert": ALERT})


def test_references_are_the_paths_it_reads() -> None:
    expression = compile(
        'alert.rule.tags.exists(t, t.startsWith("alert.x")) && vars.n > 1 && has(alert.a.b)'
        " // alert.comment\n && r'alert.raw\\d' != ''",
        ["alert", "vars"],
    )
    assert expression.references == ("alert.rule.tags", "vars.n", "alert.a.b")
    assert expression.type == "bool"
    assert compile("alert.x", ["alert"]).type == "dyn"


def test_has_is_left_alone_where_there_is_nothing_to_add() -> None:
    assert with_safe_has("has(alert.a)") == "has(alert.a)"
    assert with_safe_has("has(a.b.c)") == "(has(a.b) && dyn(a.b) != null && has(a.b.c))"
    assert with_safe_has("x.has(a.b.c)") == "x.has(a.b.c)"


def test_missing_binding_raises() -> None:
    with pytest.raises(ExpressionError, match="alert"):
        compile("alert.x", ["alert"]).evaluate({})


def test_shared_bindings_mean_the_same() -> None:
    data = {"alert": {"a": 1, "tags": ["x", "y"], "none": None}, "vars": {"n": 2}}
    shared = Shared(data)
    for text in (
        "alert.a + vars.n",
        "alert.tags",
        "has(alert.b.c)",
        "alert.tags.exists(t, t == 'y')",
    ):
        compiled = compile(text, ["alert", "vars"])
        assert compiled.evaluate(shared) == compiled.evaluate(data), text
    for text in ("alert.b", "alert.a + 'x'", "1 / (alert.a - 1)"):
        compiled = compile(text, ["alert"])
        for bindings in (data, shared):
            with pytest.raises(ExpressionError):
                compiled.test(bindings)
    with pytest.raises(ExpressionError, match="alert"):
        compile("alert.x", ["alert"]).evaluate(Shared({}))
