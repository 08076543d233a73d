"""Reports: complete, harmless whatever is in them, whole on disk."""

from __future__ import annotations

import re
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import orjson
import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from responders import report, report_pdf
from responders.base import Call
from responders.report import (
    ReportConfig,
    Reports,
    code,
    fence,
    file_name,
    machine_readable,
    markdown,
    render,
    shown,
)
from responders.report_times import duration
from tests.responders.report_case import LINES, alert, case, run
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "</pre><script>alert(1)</script><img src=//evil.example.com> {{7*7}} \"' \u202e ` | [x](y)"
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)


def tags(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    return parser


@pytest.mark.parametrize("form", ["md", "html"])
def test_everything_that_matters_is_told(form: str) -> None:
    text = render(case(), form).replace("\\", "")
    for told in (
        "SSH password guessing that succeeded", "severity 73 of 100", "35 events",
        "firewall.block_ip on 203.0.113.66, until 2026-03-20 10:46:40 UTC",
        "Refused by guards: firewall.block_ip on 192.0.2.10",
        "never:critical_assets", "192.0.2.10 touches 192.0.2.0/28",
        "Dry run, nothing of this was done: containment.webhook on 203.0.113.66",
        "would have been carried out", "Needs a person, it did not work: notify.webhook on soc",
        "chat.example.com gave no answer", "tocsin leases release firewall.block_ip 203.0.113.66",
        "https://attack.mitre.org/techniques/T1110/001/", "raw/2/1001", "source.ip",
        "A vulnerability scanner of your own", "Apache-2.0", "Example Transit", "web team",
        "failures", "event.outcome", "40 s", "2 s", "under way when this was written",
        "Not over yet: ask.", "waiting for a decision", "At most 5 min.",
        sha256(LINES[1].encode()).hexdigest(),
    ):  # fmt: skip
        assert told in text, told
    assert "case.report" not in text
    for line in LINES:
        assert line.split("sshd")[1][:20] in text


def test_html_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    found = tags(render(case(), "html"))
    assert not found.tags & {"script", "link", "img", "iframe", "object", "form", "base", "svg"}
    assert not {name for name, _ in found.attributes} & {"src", "onclick", "onload", "style"}
    targets = {value for name, value in found.attributes if name == "href"}
    assert all(str(target).startswith("https://attack.mitre.org/") for target in targets)


def poisoned(value: Any) -> Any:
    match value:
        case str():
            return HOSTILE
        case dict():
            return {key: poisoned(each) for key, each in value.items()}
        case list() | tuple():
            return [poisoned(each) for each in value]
    return value


def test_hostile_text_everywhere_stays_text() -> None:
    given_ = {**case(), "title": HOSTILE, "run": poisoned(run()), "alert": poisoned(alert())}
    html, text = render(given_, "html"), render(given_, "md")
    clean = tags(render(case(), "html"))
    assert tags(html).tags <= clean.tags
    assert "<script" not in html
    assert "49" not in re.sub(r"\d\d:\d\d:\d\d", "", html).replace("149", "")
    assert "\u202e" not in html + text
    assert "\\u{202e}" in html
    outside = re.sub(r"(`{3,})text\n.*?\n\1", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<script", re.sub(r"(`+) .*? \1", "", outside))
    javascript = "javascript:alert(1)"
    threat = {"technique": {"id": [javascript]}}
    linked = render({**case(), "alert": {**alert(), "threat": threat}}, "html")
    targets = {value for name, value in tags(linked).attributes if name == "href"}
    assert all(str(target).startswith("https://attack.mitre.org/") for target in targets)


@given(st.text())
def test_a_code_block_or_span_cannot_be_ended_from_within(text: str) -> None:
    block = fence(text)
    ticks = block[: len(block) - len(block.lstrip("`"))]
    assert ticks not in text
    assert block.endswith(f"\n{ticks}")
    span = code(text)
    ticks = span[: len(span) - len(span.lstrip("`"))]
    assert ticks not in span[len(ticks) : -len(ticks)]


@given(st.text())
def test_markdown_has_one_line_and_no_active_character(text: str) -> None:
    shown = markdown(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>|*_`\[\]]", shown)


@pytest.mark.parametrize("empty", [{}, {"run": {}}, {"run": {"too_large": True, "bytes": 1}}])
def test_what_is_missing_makes_the_report_shorter_not_impossible(empty: dict[str, Any]) -> None:
    given_ = {**case(), "run": {}, "alert": {}, **empty}
    for form in ("md", "html"):
        assert "0f3c9a" in render(given_, form)


@given(
    st.dictionaries(st.sampled_from(["steps", "events", "id", "started"]),
                    st.one_of(st.none(), st.text(), st.integers(), st.lists(st.integers()))),
)  # fmt: skip
def test_a_run_of_another_shape_does_not_break_it(shape: dict[str, Any]) -> None:
    for form in ("md", "html"):
        render({**case(), "run": shape}, form)


def test_the_same_inputs_give_the_same_report() -> None:
    assert render(case(), "html") == render(case(), "html")


def test_a_report_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_REPORT", 1000)
    with pytest.raises(ConnectorError, match="exceeds"):
        render(case(), "html")


async def test_written_whole_to_the_same_place_each_time(tmp_path: Path) -> None:
    reports = Reports(ReportConfig(directory=tmp_path / "new"))
    forms = {"formats": ("md", "html", "pdf", "json")}
    call = Call("case.report", "0f3c9a", {**case(), **forms}, "key", 1000)
    first = await reports.act(call)
    assert await reports.act(call) == first
    assert await reports.probe(call) == first
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "0f3c9a.html",
        "0f3c9a.json",
        "0f3c9a.md",
        "0f3c9a.pdf",
    ]
    assert (tmp_path / "new" / "0f3c9a.md").read_text() == render(case(), "md")
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert str(tmp_path) in await reports.check()


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    reports = Reports(ReportConfig(directory=tmp_path / "file"))
    with pytest.raises(ConnectorError, match="cannot be written"):
        await reports.act(Call("case.report", "0f3c9a", case(), "key", 1000))
    with pytest.raises(ConnectorError, match="cannot be written"):
        await reports.check()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".hidden", "x" * 200, "a\0b", "é"])
def test_a_case_never_leaves_the_directory(name: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", file_name(name))


def test_the_same_for_machines_with_numbers() -> None:
    told = orjson.loads(machine_readable(case()))
    assert told["format"] == 1
    assert {name: span["ms"] for name, span in told["times"].items()} == {
        "detect": 40_000, "contain": 2_500, "resolve": None,
    }  # fmt: skip
    assert told["evidence"][1]["offset"] == "1001"
    assert [step["id"] for step in told["pending"]] == ["ask"]
    assert machine_readable(case()) == machine_readable(case())


def test_a_run_that_is_over_has_a_time_to_resolve() -> None:
    over = {**run(), "outcome": "succeeded"}
    assert shown({**case(), "run": over})["times"]["resolve"] == {"ms": 990, "told": "990 ms"}
    early = {**run(), "started": 1_000}
    assert "clocks differ" in shown({**case(), "run": early})["times"]["detect"]["told"]


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [(0, "0 ms"), (999, "999 ms"), (31_000, "31 s"), (7_500_000, "2 h 5 min"),
     (3_600_000, "1 h"), (86_400_000 + 59_000, "1 d"), (61_999, "1 min 1 s")],
)  # fmt: skip
def test_spans_are_told_in_two_units(milliseconds: int, told: str) -> None:
    assert duration(milliseconds) == told


def pages(data: bytes) -> str:
    """The text of a PDF, read by another library than the one that wrote it."""
    document = pypdfium2.PdfDocument(data)
    try:
        texts = [str(page.get_textpage().get_text_range()) for page in document]
    finally:
        document.close()
    return " ".join(" ".join(texts).split())


@pytest.mark.parametrize("fonts", [True, False])
def test_the_pdf_tells_the_same_and_survives_hostile_text(
    fonts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fonts:
        monkeypatch.setattr(report_pdf, "_FONTS", ())
    text = pages(report_pdf.pdf(shown(case())))
    for told in ("SSH password guessing that succeeded", "severity 73 of 100", "Time to contain",
                 "never:critical_assets", "offset 1001", "What remains open", "At most 5 min",
                 "tocsin leases release firewall.block_ip 203.0.113.66", "T1110.001",
                 sha256(LINES[1].encode()).hexdigest()[:40]):  # fmt: skip
        assert told in text, told
    again = report_pdf.pdf(shown(case()))
    assert report_pdf.pdf(shown(case())) == again
    hostile = {**case(), "title": HOSTILE, "run": poisoned(run()), "alert": poisoned(alert())}
    assert "alert(1)" in pages(report_pdf.pdf(shown(hostile)))
    empty = report_pdf.pdf(shown({**case(), "run": {}, "alert": {}}))
    assert "0f3c9a" in pages(empty)
    odd = shown({**case(), "title": "攻撃 😀 \u0300 é", "run": {}, "alert": {}})
    assert "%PDF" in report_pdf.pdf(odd)[:8].decode()


def test_a_font_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"no font")
    with pytest.raises(ConnectorError, match=r"a\.ttf cannot be read"):
        report_pdf.pdf(shown(case()), tmp_path / "a.ttf")


async def test_templates_of_your_own_stand_beside_ours_and_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "brief.md.j2").write_text("Case {{ report.case|md }}: {{ report.title|md }}\n")
    (tmp_path / "incident.md.j2").write_text("ours no more\n")
    (tmp_path / "odd.md.j2").write_text("{{ report.nothing }}")
    (tmp_path / "sly.md.j2").write_text("{{ ''.__class__.__mro__ }}")
    reports = Reports(ReportConfig(directory=tmp_path / "out", templates=tmp_path))

    async def write(template: str) -> str:
        given = {**case(), "template": template, "formats": ("md",)}
        await reports.act(Call("case.report", "0f3c9a", given, "k", 1000))
        return (tmp_path / "out" / "0f3c9a.md").read_text()

    assert await write("brief") == "Case 0f3c9a: SSH password guessing that succeeded\n"
    assert await write("incident") == "ours no more\n"
    for template, told in (("odd", "nothing"), ("sly", "unsafe"), ("none", "there is no template")):
        with pytest.raises(ConnectorError, match=told):
            await write(template)
    with pytest.raises(ValidationError):
        report.Report(case="a", template="../../etc/passwd")
