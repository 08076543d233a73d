"""STIX patterns: single values are taken, everything that says more is refused with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.indicators.pattern import MAX_DEPTH, MAX_PATTERN, Unsupported, atoms


@pytest.mark.parametrize(
    ("pattern", "values"),
    [
        ("[ipv4-addr:value = '203.0.113.7']", ["203.0.113.7"]),
        ("[ipv4-addr:value ISSUBSET '203.0.113.0/24']", ["203.0.113.0/24"]),
        ("[domain-name:value IN ('a.example', 'b.example')]", ["a.example", "b.example"]),
        ("[url:value = 'http://x.example/a b'] OR [url:value='y']", ["http://x.example/a b", "y"]),
        ("([domain-name:value = 'a.example'] OR ([domain-name:value = 'b.example']))",
         ["a.example", "b.example"]),
        ("[(domain-name:value = 'a.example' OR ipv4-addr:value = '203.0.113.7')]",
         ["a.example", "203.0.113.7"]),
        (r"[file:hashes.'SHA-256' = 'aa' AND file:hashes.MD5 = 'bb']", ["aa", "bb"]),
        (r"[url:value = 'a\'b\\c']", ["a'b\\c"]),
        ("[email-addr:value = 'x@evil.example']", ["x@evil.example"]),
        ("  [ ipv6-addr:value\n=\t'2001:db8::1' ]  ", ["2001:db8::1"]),
    ],
)  # fmt: skip
def test_patterns_of_single_values(pattern: str, values: list[str]) -> None:
    assert [atom.value for atom in atoms(pattern)] == values


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[domain-name:value = 'a' AND ipv4-addr:value = 'b']", "pattern_compound"),
        ("[file:hashes.MD5 = 'a' AND file:name = 'b']", "pattern_object"),
        ("[ipv4-addr:value = 'a'] AND [ipv4-addr:value = 'b']", "pattern_compound"),
        ("[ipv4-addr:value = 'a'] FOLLOWEDBY [url:value = 'b']", "pattern_compound"),
        ("[ipv4-addr:value = 'a'] REPEATS 5 TIMES", "pattern_compound"),
        ("[ipv4-addr:value = 'a'] WITHIN 5 SECONDS", "pattern_compound"),
        ("[ipv4-addr:value = 'a'] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
         "pattern_compound"),
        ("[ipv4-addr:value != 'a']", "pattern_operator"),
        ("[domain-name:value LIKE '%.example']", "pattern_operator"),
        ("[domain-name:value MATCHES 'x']", "pattern_operator"),
        ("[NOT ipv4-addr:value = 'a']", "pattern_invalid"),
        ("[process:name = 'evil']", "pattern_object"),
        ("[ipv4-addr:value = 7]", "pattern_invalid"),
        ("[ipv4-addr:value = t'x']", "pattern_invalid"),
        ("", "pattern_invalid"),
        ("[", "pattern_invalid"),
        ("[ipv4-addr:value = 'a'", "pattern_invalid"),
        ("[ipv4-addr:value = 'a']]", "pattern_invalid"),
        ("[ipv4-addr:value = 'a' OR]", "pattern_invalid"),
        ("rule x { condition: true }", "pattern_invalid"),
        ("[" + "(" * (MAX_DEPTH + 5) + "ipv4-addr:value = 'a'", "pattern_too_deep"),
        ("(" * 5_000, "pattern_too_deep"),
        ("x" * (MAX_PATTERN + 1), "pattern_too_long"),
    ],
)  # fmt: skip
def test_what_says_more_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(Unsupported) as caught:
        atoms(pattern)
    assert caught.value.reason == reason


@given(
    st.lists(
        st.sampled_from(
            ["[", "]", "(", ")", "=", "'a'", "'", ",", " ", "AND", "OR", "IN", "NOT", "url:value",
             "ipv4-addr:value", "file:hashes.MD5", "FOLLOWEDBY", "\\", "7", "é", "t'x'"]
        ),
        max_size=60,
    ).map("".join)
)  # fmt: skip
def test_nothing_else_escapes(pattern: str) -> None:
    try:
        assert all(atom.kinds for atom in atoms(pattern))
    except Unsupported as error:
        assert error.reason.startswith("pattern_")  # noqa: PT017  (both ways out are right)
