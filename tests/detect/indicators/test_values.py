"""What kind of value a text is, and its one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.indicators.values import MAX_VALUE, canonical_url, classified

MD5, SHA256 = "d41d8cd98f00b204e9800998ecf8427e", "E3" * 32


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("203.0.113.7", ("ip", "203.0.113.7")),
        (" 203[.]0[.]113[.]7 ", ("ip", "203.0.113.7")),
        ("203.0.113.7/32", ("ip", "203.0.113.7")),
        ("203.0.113.7/24", ("range", "203.0.113.0/24")),
        ("2001:0DB8::0001", ("ip", "2001:db8::1")),
        ("::ffff:203.0.113.7", ("ip", "203.0.113.7")),
        ("2001:db8::/48", ("range", "2001:db8::/48")),
        ("::ffff:203.0.113.0/120", ("range", "203.0.113.0/24")),
        ("Evil.Example.COM.", ("domain", "evil.example.com")),
        ("*.evil.example.com", ("domain", "evil.example.com")),
        ("evil[.]example[dot]com", ("domain", "evil.example.com")),
        ("_dmarc.example.com", ("domain", "_dmarc.example.com")),
        ("bücher.example", ("domain", "xn--bcher-kva.example")),
        (MD5.upper(), ("hash", MD5)),
        (SHA256, ("hash", SHA256.lower())),
        ("hxxps://Evil[.]example[.]com:444/a?b=1#c", ("url", "evil.example.com:444/a?b=1")),
        ("https://evil.example.com:443/a?b=1#c", ("url", "evil.example.com/a?b=1")),
        ("http://user:pw@evil.example.com", ("url", "evil.example.com/")),
        ("http://203.0.113.7:8080/x", ("url", "203.0.113.7:8080/x")),
        ("http://[2001:db8::1]/x", ("url", "[2001:db8::1]/x")),
        ("evil.example.com/payload", ("url", "evil.example.com/payload")),
        ("Bad@Evil.example.com", ("email", "bad@evil.example.com")),
    ],
)
def test_values_by_their_looks(text: str, known: tuple[str, str]) -> None:
    assert classified(text) == known


@pytest.mark.parametrize(
    "text",
    ["", " ", "localhost", "com", "203.0.113.999", "203.0.113.7/33", "1.2.3", "abc", "zz" * 16,
     "d41d8cd9", "@example.com", "a@b", "http://", "http://[::1", "two words.example.com",
     "-.example.com", "x" * (MAX_VALUE + 1), "http://x:99999/"],
)  # fmt: skip
def test_what_is_no_value(text: str) -> None:
    assert classified(text) is None


@given(st.text(max_size=300))
def test_no_text_is_too_odd(text: str) -> None:
    known = classified(text)
    if known is not None:
        assert classified(known[1]) in (known, None) or known[0] == "url"


@given(st.text(max_size=100))
def test_urls_of_any_text(text: str) -> None:
    canonical_url(f"http://{text}")
