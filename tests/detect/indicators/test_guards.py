"""What is never an indicator, and what never matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from detect.indicators.guards import Allowed, Guard, read_allowed, read_popular
from detect.indicators.values import classified
from tests.detect.indicators.support import NOBODY, SUFFIXES
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def refusal(text: str, *, allowed: Allowed = NOBODY, popular: tuple[str, ...] = ()) -> str:
    known = classified(text)
    assert known is not None, text
    return Guard(SUFFIXES, allowed, frozenset(popular)).refusal(*known)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "private") for text in (
            "10.1.2.3", "172.31.0.1", "192.168.1.0/24", "127.0.0.1", "169.254.169.254",
            "100.64.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.1", "::1", "fe80::1", "fd00::1",
            "ff02::1", "10.0.0.0/12", "172.16.0.0/12")),
        *((text, "too_wide") for text in ("0.0.0.0/0", "64.0.0.0/8", "::/0", "2001::/16")),
        *((text, "public_suffix") for text in ("co.uk", "github.io")),
        ("www.example.com", "popular"),
        *((text, "") for text in (
            "203.0.113.7", "203.0.113.0/24", "172.32.0.1", "2001:db8::1", "example.com",
            "x.github.io", "http://www.example.com/evil", "d41d8cd98f00b204e9800998ecf8427e",
            "x@www.example.com")),
    ],
)  # fmt: skip
def test_refusals(text: str, reason: str) -> None:
    assert refusal(text, popular=("www.example.com",)) == reason


class TestAllowed:
    ALLOWED = Allowed(
        ["203.0.113.0/24", "198.51.100.7", "good.example.com", "d41d8cd98f00b204e9800998ecf8427e",
         "http://files.example.org/tool", "2001:db8:1::/48"]
    )  # fmt: skip

    @pytest.mark.parametrize(
        "text",
        ["203.0.113.9", "203.0.113.128/25", "198.51.100.7", "good.example.com",
         "a.b.good.example.com", "D41D8CD98F00B204E9800998ECF8427E", "https://files.example.org/tool",
         "2001:db8:1::5"],
    )  # fmt: skip
    def test_covered(self, text: str) -> None:
        assert refusal(text, allowed=self.ALLOWED) == "allowed"

    @pytest.mark.parametrize(
        "text",
        ["198.51.100.8", "203.0.112.0/23", "example.com", "notgood.example.com", "2001:db8:2::1",
         "http://files.example.org/other"],
    )  # fmt: skip
    def test_not_covered(self, text: str) -> None:
        assert refusal(text, allowed=self.ALLOWED) == ""

    def test_from_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "allow.txt"
        path.write_text("# ours\n203.0.113.7  # the gate\n\ngood.example.com\n", "utf-8")
        allowed = read_allowed(["198.51.100.1", f"file:{path}"])
        assert allowed.covers("ip", "203.0.113.7")
        assert allowed.covers("ip", "198.51.100.1")
        assert allowed.covers("domain", "a.good.example.com")

    def test_mistakes_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"indicators\.allow: 'nonsense' is no address"):
            read_allowed(["nonsense"])
        with pytest.raises(ConfigError, match="cannot be read"):
            read_allowed([f"file:{tmp_path / 'missing'}"])


class TestPopular:
    def test_ranked_and_plain(self, tmp_path: Path) -> None:
        path = tmp_path / "top.csv"
        path.write_text("1,Example.com\n2,example.org\nexample.net\n# x\n\nnot a domain\n", "utf-8")
        assert read_popular(path) == {"example.com", "example.org", "example.net"}

    def test_an_empty_one_is_a_mistake(self, tmp_path: Path) -> None:
        path = tmp_path / "top.csv"
        path.write_text("<html>\n", "utf-8")
        with pytest.raises(ValueError, match="no domain in it"):
            read_popular(path)
