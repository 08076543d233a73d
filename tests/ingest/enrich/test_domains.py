"""Registered domains: ECS fields of host names, by the list that came along or a newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.enrich.domains import Domains
from tocsin.public_suffix import Parts, Suffixes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("www.example.com", Parts("example.com", "com", "www")),
        ("a.b.example.co.uk", Parts("example.co.uk", "co.uk", "a.b")),
        ("Example.COM.", Parts("example.com", "com", "")),
        ("co.uk", Parts("", "co.uk", "")),
        ("com", Parts("", "", "")),
        ("localhost", Parts("", "", "")),
        ("printer.internal-only-name", Parts("", "", "")),
        ("192.0.2.7", Parts("", "", "")),
        ("2001:db8::1", Parts("", "", "")),
        ("a..com", Parts("", "", "")),
        (".com", Parts("", "", "")),
        ("", Parts("", "", "")),
        (".", Parts("", "", "")),
        ("x" * 300 + ".com", Parts("", "", "")),
        ("xn--mller-kva.de", Parts("xn--mller-kva.de", "de", "")),
    ],
)
def test_parts_of_a_host_name(host: str, parts: Parts) -> None:
    assert Suffixes().parts(host) == parts


def test_every_place_of_a_host_name_is_read() -> None:
    document: dict[str, Any] = {
        "url": {"domain": "shop.example.co.uk"},
        "dns": {"question": {"name": "mx.example.org"}},
        "source": {"domain": "a.example.net"},
        "destination": {"domain": "example.com"},
    }
    Domains().apply(document)
    assert document == {
        "url": {
            "domain": "shop.example.co.uk",
            "registered_domain": "example.co.uk",
            "top_level_domain": "co.uk",
            "subdomain": "shop",
        },
        "dns": {
            "question": {
                "name": "mx.example.org",
                "registered_domain": "example.org",
                "top_level_domain": "org",
                "subdomain": "mx",
            }
        },
        "source": {
            "domain": "a.example.net",
            "registered_domain": "example.net",
            "top_level_domain": "net",
            "subdomain": "a",
        },
        "destination": {
            "domain": "example.com",
            "registered_domain": "example.com",
            "top_level_domain": "com",
        },
    }


def test_what_the_event_says_itself_stays() -> None:
    own = {"domain": "a.example.com", "registered_domain": "other.example"}
    document = {"url": dict(own)}
    Domains().apply(document)
    assert document == {"url": own}


@pytest.mark.parametrize("body", [None, "x", [], {}, {"domain": 7}, {"domain": ["a.example.com"]}])
def test_any_shape_is_left_alone(body: Any) -> None:
    document = {"url": body, "dns": body, "source": body}
    Domains().apply(document)
    assert document == {"url": body, "dns": body, "source": body}


def test_a_newer_list_is_used_as_soon_as_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "list.dat"
    path.write_text("com\nexample\n", "utf-8")
    domains = Domains(path)
    for text, expected in (("com\nexample\n", "b.example"), ("com\nb.example\n", "a.b.example")):
        path.write_text(text, "utf-8")
        domains.refresh()
        document: dict[str, Any] = {"url": {"domain": "a.b.example"}}
        domains.apply(document)
        assert document["url"]["registered_domain"] == expected


@pytest.mark.parametrize("text", ["", "<html>not found</html>", "\n\n"])
def test_what_is_no_list_leaves_the_one_in_use(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.dat"
    path.write_text(text, "utf-8")
    domains = Domains(path)
    domains.refresh()
    document: dict[str, Any] = {"url": {"domain": "www.example.com"}}
    domains.apply(document)
    assert document["url"]["registered_domain"] == "example.com"
