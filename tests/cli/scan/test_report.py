"""The HTML report: complete, bounded, and nothing of a log able to run."""

from __future__ import annotations

import re
import tracemalloc
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.scan.test_command import RULE_ID, line, rules, run
from tocsin.cli.scan.formats import Totals
from tocsin.cli.scan.matching import Hit
from tocsin.cli.scan.report import matrix, render, timeline
from tocsin.cli.scan.summary import LEVELS, MAX_ENTITIES, MAX_HITS, MAX_SPANS, Summary
from tocsin.clock import iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["rules"]

START = 1_767_607_200_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'\x1b[31m\u202e{{7*7}}"


def hit(number: int = 0, at: int = START, **changes: Any) -> Hit:
    made = Hit(
        "auth.log",
        number,
        RULE_ID,
        "Shell as root",
        "high",
        ("attack.privilege-escalation", "attack.t1548.003"),
        iso(at),
        "web-1",
        "alice",
        ("process.command_line: /bin/sh",),
        "192.0.2.7",
    )
    return made._replace(**changes)


def summed(*hits: Hit) -> Summary:
    summary = Summary()
    summary.add(hits)
    return summary


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[str, str] = {}
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in ("style", "script") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.inline[self._inside] = self.inline.get(self._inside, "") + data

    def of(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


def harmless(text: str) -> Page:
    """The page, after a look at everything that a browser could load or run."""
    page = Page(text)
    policy = next(m["content"] for m in page.of("meta") if m.get("http-equiv")) or ""
    assert policy.startswith("default-src 'none'; ")
    for kind in ("style", "script"):
        digest = b64encode(sha256(page.inline[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert len(list(page.of("script"))) == len(list(page.of("style"))) == 1
    for tag, attributes in page.elements:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "form")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert not {"src", "srcset", "data", "xlink:href"} & attributes.keys()
        target = attributes.get("href")
        assert target is None or target.startswith(("#", "https://attack.mitre.org/"))
    return page


def test_the_report_tells_everything(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(b"\n".join([line("/bin/sh"), line("/bin/ls"), line("/bin/sh", 30)]))
    output = tmp_path / "report.html"
    result = run(log, "--rules", rules, "--format", "html", "--output", output, "--jobs", 1)
    assert result.exit_code == 0
    text = output.read_text("utf-8")
    harmless(text)
    for words in (
        "2 hits of 1 rules", "3 records of 1 file", "Shell as root", RULE_ID, "web-1", "alice",
        "T1548.003", "auth.log:0", "auth.log:2", "05-01 10:00:30", "/bin/sh",
    ):  # fmt: skip
        assert words in text, words


def test_hostile_texts_are_text(tmp_path: Path) -> None:
    hostile = hit(
        title=HOSTILE, host=HOSTILE, user=HOSTILE, source=HOSTILE, reasons=(HOSTILE,),
        file=HOSTILE, rule=HOSTILE, tags=(f"attack.{HOSTILE}", "attack.t1059"),
    )  # fmt: skip
    text = render(summed(hostile), Totals(records=1, files=1))
    harmless(text)
    assert "49" not in re.findall(r"\{\{.*?\}\}|49", text.partition("<body>")[2])
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;img src=x" in text


@given(st.text(max_size=60))
def test_no_text_becomes_markup(value: str) -> None:
    harmless(render(summed(hit(title=value, host=value, reasons=(value,), file=value)), Totals()))


def test_nothing_found_is_a_report_too() -> None:
    text = render(Summary(), Totals(records=12, files=1))
    harmless(text)
    assert "No hits" in text
    assert "Nothing in 12 records matched a rule." in text


def test_the_number_of_hits_is_bounded_and_said(tmp_path: Path) -> None:
    summary = summed(*(hit(n) for n in range(MAX_HITS + 500)))
    summary.add([hit(9_999, level="critical", rule="worst", title="The worst")])
    text = render(summary, Totals())
    assert f"{MAX_HITS:,} of {MAX_HITS + 501:,}: the most severe ones" in text
    assert text.count('<td class="where">') == MAX_HITS
    assert "auth.log:9999" in text


def test_memory_does_not_grow_with_hits() -> None:
    summary = Summary()
    summary.add(hit(n, START + n * 1_000) for n in range(MAX_HITS + 1))
    tracemalloc.start()
    summary.add(
        hit(n, START + n * 60_000, host=f"h{n}", user=f"u{n}", source=f"s{n}")
        for n in range(60_000)
    )
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 12_000_000
    assert len(summary.entities["host"]) == MAX_ENTITIES
    assert len(summary.times) <= MAX_SPANS


@pytest.mark.parametrize("span", [0, 59_000, 3_600_000, 40 * 86_400_000, 30 * 365 * 86_400_000])
def test_the_timeline_fits_whatever_the_time(span: int) -> None:
    hits = [hit(n, START + span * n // 20, level=LEVELS[n % 5]) for n in range(21)]
    drawn = timeline(summed(*hits))
    assert drawn is not None
    assert len({segment.x for segment in drawn.segments}) <= 100
    assert all(s.x >= 0 and s.x + s.width <= 100.01 for s in drawn.segments)
    assert all(s.y >= -0.01 and s.y + s.height <= 120.01 for s in drawn.segments)
    assert 1 <= len(drawn.ticks) <= 6
    told = {segment.told for segment in drawn.segments}
    assert sum(int(n) for text in told for n in re.findall(r"(\d+) [a-z]+", text)) == 21


def test_hits_without_a_time_have_no_timeline() -> None:
    assert timeline(summed(hit())) is not None
    assert timeline(summed(hit()._replace(at="soon"))) is None


def test_the_matrix_is_in_the_order_of_attack() -> None:
    summary = summed(
        hit(),
        hit(tags=("attack.execution", "attack.t1059", "attack.t1204.002"), rule="2", title="Two"),
        hit(tags=("attack.execution",), rule="3"),
        hit(tags=("attack.t1110",), rule="4"),
        hit(tags=("cve.2024-1",), rule="5"),
    )
    columns = matrix(summary)
    assert [column.name for column in columns] == [
        "Execution",
        "Privilege escalation",
        "No tactic",
    ]
    assert {cell.technique for cell in columns[0].cells} == {"T1059", "T1204.002", "(none)"}
    two = next(cell for cell in columns[0].cells if cell.technique == "T1204.002")
    assert two.link == "https://attack.mitre.org/techniques/T1204/002/"
    assert two.told == "Two (1)"


def test_files_are_told_by_what_is_below_their_common_directory() -> None:
    both = summed(hit(0, file="/var/log/a/auth.log"), hit(1, file="/var/log/b/auth.log"))
    text = render(both, Totals())
    assert "<code>/var/log/</code>" in text
    assert "<code>b/auth.log:1</code>" in text
    assert "/var/log/b" not in text
    here = render(summed(hit(0, file="auth.log"), hit(1, file="/var/log/auth.log")), Totals())
    assert "<code>/var/log/auth.log:1</code>" in here
