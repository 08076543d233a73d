"""The report as PDF (extra `pdf`): drawn from the same view as the other forms.

With a TrueType font of the machine where there is one; else with PDF's own Helvetica, and what
that cannot show is shown by number. The same report gives the same bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fpdf import FPDF

#: Fonts that are looked for, a family of regular, bold and monospaced each.
_FONTS = (
    ("/usr/share/fonts/truetype/dejavu", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"),
    ("/usr/share/fonts/dejavu-sans-fonts", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"),
    ("/usr/share/fonts/truetype/liberation", "LiberationSans-Regular", "LiberationSans-Bold",
     "LiberationMono-Regular"),
)  # fmt: skip

INK, SOFT, LINE, PANEL = (27, 31, 36), (91, 101, 112), (217, 222, 228), (245, 247, 249)
_LEVELS = {
    "critical": (163, 18, 58),
    "high": (179, 67, 30),
    "medium": (138, 90, 0),
    "low": (39, 97, 156),
    "informational": SOFT,
}
_TONES = {"good": (19, 105, 58), "bad": (179, 38, 30), "warn": (138, 90, 0), "dry": (58, 79, 176)}

# Quotation marks, ellipsis and dash, for Helvetica.
_PLAIN = {0x201C: '"', 0x201D: '"', 0x2019: "'", 0x2026: "...", 0x2013: "-"}

_TIMES = (
    ("detect", "Time to detect"),
    ("contain", "Time to contain"),
    ("resolve", "Time to resolve"),
)

#: Longest text of a cell and of a raw record, characters.
MAX_CELL, MAX_RECORD = 700, 3_000


def pdf(report: dict[str, Any], font: Path | None = None) -> bytes:
    """The document; `report` is what responders.report_view.view returns.

    Raises ConnectorError without the extra, or if the font cannot be read.
    """
    try:
        from fpdf import FPDF
    except ImportError:
        message = "reports as PDF need the extra: pip install 'tocsin[pdf]'"
        raise ConnectorError("unavailable", message) from None
    paper = FPDF(format="A4")
    paper.set_creation_date(_date(report["run"]["started"]))
    paper.set_title(report["title"])
    paper.set_margins(18, 16, 18)
    paper.set_auto_page_break(auto=True, margin=18)
    paper.c_margin = 0
    page = _Page(paper, font)
    paper.add_page()
    _head(page, report)
    _actions(page, report)
    _left(page, report)
    _why(page, report)
    _evidence(page, report)
    _timeline(page, report)
    _foot(page, report)
    return bytes(paper.output())


class _Page:
    """Paper with our fonts and a few shapes."""

    def __init__(self, paper: FPDF, font: Path | None) -> None:
        self.paper = paper
        self.unicode = self._fonts(font)
        self.sans, self.mono = ("sans", "mono") if self.unicode else ("helvetica", "courier")
        self.width = paper.w - paper.l_margin - paper.r_margin

    def _fonts(self, font: Path | None) -> bool:
        files = (_truetype(font),) * 3 if font else _installed()
        if files is None:
            return False
        try:
            for family, style, file in zip(
                ("sans", "sans", "mono"), ("", "B", ""), files, strict=True
            ):
                self.paper.add_font(family, style, file)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            message = f"the font {files[0]} cannot be read: {error}"
            raise ConnectorError("invalid", message) from None
        return True

    def text(self, value: object) -> str:
        """What the font can show."""
        text = str(value)
        if self.unicode:
            return text
        for number, plain in _PLAIN.items():
            text = text.replace(chr(number), plain)
        encoded = (c if ord(c) < 256 else f"\\u{{{ord(c):04x}}}" for c in text)
        return "".join(encoded)

    def put(
        self,
        value: object,
        size: float = 9.5,
        *,
        bold: bool = False,
        mono: bool = False,
        colour: tuple[int, int, int] = INK,
        fill: bool = False,
        gap: float = 0.0,
    ) -> None:
        """A paragraph over the whole width."""
        from fpdf.enums import WrapMode

        self.paper.set_font(self.mono if mono else self.sans, "B" if bold else "", size)
        self.paper.set_text_color(*colour)
        self.paper.set_fill_color(*PANEL)
        self.paper.multi_cell(
            0, size * 0.5, self.text(value), fill=fill, align="L",
            padding=2 if fill else 0, new_x="LMARGIN", new_y="NEXT",
            wrapmode=WrapMode.CHAR if mono else WrapMode.WORD,
        )  # fmt: skip
        self.paper.ln(gap)

    def section(self, title: str) -> None:
        """A heading that stays with what follows it."""
        if self.paper.will_page_break(26):
            self.paper.add_page()
        self.paper.ln(5)
        self.put(title, 12, bold=True)
        self.paper.set_draw_color(*LINE)
        self.paper.line(
            self.paper.l_margin, self.paper.get_y() + 0.8,
            self.paper.l_margin + self.width, self.paper.get_y() + 0.8,
        )  # fmt: skip
        self.paper.ln(2.5)

    def table(
        self,
        heads: Sequence[str],
        rows: Iterable[Sequence[object]],
        widths: Sequence[int],
        colours: dict[int, list[tuple[int, int, int]]] | None = None,
        mono: Sequence[int] = (),
    ) -> None:
        """Rows under heads; `colours` by column, a colour for each row."""
        from fpdf.enums import WrapMode
        from fpdf.fonts import FontFace

        self.paper.set_font(self.sans, "", 8.5)
        self.paper.set_text_color(*INK)
        self.paper.set_fill_color(255, 255, 255)
        self.paper.set_draw_color(*LINE)
        head = FontFace(family=self.sans, emphasis="BOLD", color=SOFT, size_pt=8)
        with self.paper.table(
            col_widths=tuple(widths), borders_layout="HORIZONTAL_LINES", line_height=4.2,
            headings_style=head, text_align="LEFT", padding=(1.2, 2, 1.2, 0), v_align="TOP",
            wrapmode=WrapMode.CHAR if mono else WrapMode.WORD,
        ) as table:  # fmt: skip
            row = table.row()
            for name in heads:
                row.cell(self.text(name))
            for number, values in enumerate(rows):
                row = table.row()
                for column, value in enumerate(values):
                    colour = (colours or {}).get(column)
                    family = self.mono if column in mono else self.sans
                    style = FontFace(
                        family=family, size_pt=8, color=colour[number] if colour else INK
                    )
                    row.cell(self.text(value)[:MAX_CELL], style=style)


def _head(page: _Page, report: dict[str, Any]) -> None:
    paper, tone = page.paper, _LEVELS.get(report["level"], SOFT)
    top = paper.get_y()
    paper.set_left_margin(24)
    page.put(
        f"{report['level'].upper()} · severity {report['severity']} of 100", 8.5, bold=True,
        colour=tone, gap=0.8,
    )  # fmt: skip
    page.put(report["title"], 18, bold=True, gap=1.2)
    run = report["run"]
    version = f" v{run['version']}" if run["version"] else ""
    about = f"Case {report['case']} · playbook {run['playbook']}{version}"
    page.put(f"{about} · started {run['started']} UTC", 8.5, colour=SOFT)
    paper.set_fill_color(*tone)
    paper.rect(18, top, 1.6, paper.get_y() - top, style="F")
    paper.set_left_margin(18)
    paper.set_x(18)
    paper.ln(4)
    told = [*report["summary"], *([report["message"]] if report["message"] else [])]
    page.put("\n".join(told), 10, fill=True, gap=3)
    _times(page, report["times"])
    if report["rule"]["description"]:
        page.put(report["rule"]["description"], gap=1)


def _times(page: _Page, times: dict[str, Any]) -> None:
    paper, width, top = page.paper, (page.width - 8) / 3, page.paper.get_y()
    paper.set_draw_color(*LINE)
    for number, (name, what) in enumerate(_TIMES):
        left = paper.l_margin + number * (width + 4)
        paper.rect(left, top, width, 14, round_corners=True, corner_radius=1.5)
        paper.set_xy(left + 3, top + 1.8)
        paper.set_font(page.sans, "", 8)
        paper.set_text_color(*SOFT)
        paper.cell(width - 6, 4, what)
        paper.set_xy(left + 3, top + 6.6)
        known = times[name]["ms"] is not None
        paper.set_font(page.sans, "B" if known else "", 12 if known else 8)
        paper.set_text_color(*(INK if known else SOFT))
        paper.cell(width - 6, 6, page.text(times[name]["told"]))
    paper.set_xy(paper.l_margin, top + 17)


def _actions(page: _Page, report: dict[str, Any]) -> None:
    page.section("Actions")
    actions = report["actions"]
    if not actions:
        page.put("None.", colour=SOFT)
        return
    page.table(
        ("Step", "Action", "Target", "Outcome", "Detail"),
        [(s["id"], s["verb"], s["target"], s["told"], _detail(s)) for s in actions],
        (16, 21, 21, 18, 44),
        {3: [_TONES.get(step["tone"], SOFT) for step in actions]},
    )


def _detail(step: dict[str, Any]) -> str:
    lines = [step["detail"], *(f"{v['guard']}: {v['reason']}" for v in step["verdicts"])]
    if step["held_until"]:
        lines.append(f"until {step['held_until']} UTC")
    if step["attempt"] > 1:
        lines.append(f"{step['attempt']} attempts")
    lines += [f"{name}: {value}" for name, value in step["output"]]
    return "\n".join(str(line) for line in lines if line)


def _left(page: _Page, report: dict[str, Any]) -> None:
    """What is pending, what remains open, how to undo."""
    if report["pending"]:
        page.section("Not over yet")
        for step in report["pending"]:
            what = f": {step['verb']} on {step['target']}" if step["verb"] else ""
            page.put(f"· {step['id']}{what}, {step['told']}")
    if report["remaining"]:
        page.section("What remains open")
        told = [(each["what"], each["told"]) for each in report["remaining"]]
        page.table(("After", "Still possible"), told, (40, 80))
    if report["undo"]:
        page.section("How to undo")
        page.put("These end by themselves at the time shown. To end one now:", gap=1)
        for step in report["undo"]:
            page.put(f"{step['verb']} on {step['target']}, until {step['held_until']} UTC")
            command = f"tocsin leases release {step['verb']} {step['target']}"
            page.put(command, 8.5, mono=True, fill=True, gap=1.5)


def _why(page: _Page, report: dict[str, Any]) -> None:
    page.section("Why it matched")
    reasons = report["reasons"]
    if reasons:
        asked = [f"{r['modifier']} {r['expected']}".strip() for r in reasons]
        rows = [(r["selection"], r["field"], r["value"], a)
                for r, a in zip(reasons, asked, strict=True)]  # fmt: skip
        page.table(("Selection", "Field", "Value seen", "Rule asks"), rows, (25, 30, 35, 30))
    else:
        page.put("The alert names no reasons.", colour=SOFT)
    if report["attack"]:
        page.section("ATT&CK")
        for each in report["attack"]:
            page.put(f"{each['id']} {each['name']}".strip() + f"   {each['url']}", 8.5)
    if report["entities"]:
        page.section("Entities")
        named = [(each["name"], _values(each)) for each in report["entities"]]
        page.table(("Field", "Values"), named, (30, 90))


def _values(entity: dict[str, Any]) -> str:
    more = f" and {entity['more']} more" if entity["more"] else ""
    return ", ".join(entity["values"]) + more


def _evidence(page: _Page, report: dict[str, Any]) -> None:
    page.section("Evidence")
    count = f"{report['count']} event{'' if report['count'] == 1 else 's'} in all"
    told = f"{count}; the first and last of them, with the raw record each came from."
    page.put(told, 8.5, colour=SOFT, gap=1)
    for each in report["evidence"]:
        if page.paper.will_page_break(20):
            page.paper.add_page()
        where = f"topic {each['topic']}, partition {each['partition']}, offset {each['offset']}"
        page.put(f"{each['at']} UTC · {where} · event {each['event_id']}", 8, colour=SOFT)
        page.put(each["original"][:MAX_RECORD] or "(no text)", 8, mono=True, fill=True)
        if each["sha256"]:
            page.put(f"SHA-256 {each['sha256']}", 7, colour=SOFT, gap=2)


def _timeline(page: _Page, report: dict[str, Any]) -> None:
    page.section("Timeline")
    clocks = {"event": "event's", "tocsin": "ours"}
    rows = [(e["at"], clocks.get(e["clock"], ""), e["what"]) for e in report["timeline"]]
    page.table(("Time (UTC)", "Clock", "What"), rows, (32, 12, 76))
    if report["false_positives"]:
        page.section("Known false positives")
        for each in report["false_positives"]:
            page.put(f"· {each}")


def _foot(page: _Page, report: dict[str, Any]) -> None:
    run, rule = report["run"], report["rule"]
    page.paper.ln(6)
    reason = f" ({run['reason']})" if run["reason"] else ""
    licence = f", licence {rule['license']}" if rule["license"] else ""
    author = f" by {rule['author']}" if rule["author"] else ""
    for line in (
        f"Run {run['id']} · outcome: {run['outcome']}{reason}",
        f"Alert {report['alert_id']} · rule {rule['id']}{author}{licence}",
        f"Playbook hash {run['hash']}",
    ):
        page.put(line, 7.5, colour=SOFT)


def _truetype(font: Path) -> Path:
    """The file, if it begins as a TrueType or OpenType font does."""
    try:
        with font.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConnectorError("invalid", f"the font {font} cannot be read: {error}") from None
    if magic not in (b"\0\1\0\0", b"OTTO", b"true"):
        raise ConnectorError("invalid", f"the font {font} cannot be read: it is no TrueType font")
    return font


def _installed() -> tuple[Path, Path, Path] | None:
    for folder, *names in _FONTS:
        regular, bold, mono = (Path(folder) / f"{name}.ttf" for name in names)
        if regular.is_file() and bold.is_file() and mono.is_file():
            return regular, bold, mono
    return None


def _date(told: str) -> datetime:
    """The run's start as the document's date: the same report gives the same bytes."""
    try:
        return datetime.fromisoformat(told).replace(tzinfo=UTC)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
