"""Text for people: what it may do, and every way to make it run away refused."""

from __future__ import annotations

import pytest

from playbooks.text import MAX_TEMPLATE, MAX_TEXT, TextError, compile_text, render_text

VALUES = {"alert": {"message": "12 failures", "tags": ["a", "b"]}, "vars": {"user": "eve"}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("{{ vars.user | upper }}: {{ alert.message }}", "EVE: 12 failures"),
        ("{{ alert.tags | join(', ') }}", "a, b"),
        ("{% if vars.user == 'eve' %}yes{% else %}no{% endif %}", "yes"),
        ("{{ alert.missing | default('-') }}", "-"),
        ("<b>{{ alert['message'] ~ '!' }}</b>", "<b>12 failures!</b>"),
    ],
)
def test_rendered(template: str, expected: str) -> None:
    assert render_text(compile_text(template), VALUES) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in alert.tags %}x{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ alert.message.upper() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ 'x' | center(1000000000) }}",
        "{% set x = 1 %}",
        "{% include 'x' %}",
        "{{ range(10) }}",
        "{{ vars.user ",
        "x" * (MAX_TEMPLATE + 1),
    ],
)
def test_refused(template: str) -> None:
    with pytest.raises(TextError):
        render_text(compile_text(template), VALUES)


def test_missing_value_is_an_error() -> None:
    with pytest.raises(TextError, match="usr"):
        render_text(compile_text("{{ vars.usr }}"), VALUES)


def test_long_text_is_cut() -> None:
    text = render_text(compile_text("{{ v }}{{ v }}"), {"v": "x" * MAX_TEXT})
    assert len(text) == MAX_TEXT + 1
    assert text.endswith("…")
