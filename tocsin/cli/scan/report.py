"""The HTML report: one file, nothing loaded from elsewhere, nothing of a log able to run.

Everything shown comes from an attacker's keyboard until proven otherwise: it is escaped, invisible
characters are made visible, and a content security policy allows only our own style and script,
by their digests.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from math import ceil
from os import sep
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from detect.lint.attack import techniques
from tocsin.alert_document import TACTICS
from tocsin.cli.scan.summary import DAY, HOUR, LEVELS, MAX_HITS, MINUTE, cells
from tocsin.clock import iso
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.cli.scan.formats import Totals
    from tocsin.cli.scan.summary import RuleSummary, Summary

#: Most bars of the timeline, and names of each kind of entity.
MAX_BARS = 96
TOP = 12
#: Height of the timeline's drawing; its width is 100 for each hundred percent.
HEIGHT = 120
#: Techniques of a tactic that are seen at once; the others unfold.
MAX_CELLS = 14
#: Rules named where a technique is pointed at.
MAX_NAMED = 8

_HERE = Path(__file__).parent
#: Lengths of time that a bar may stand for, ms.
_BARS = (
    *(MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(HOUR * n for n in (1, 2, 3, 6, 12)),
    *(DAY * n for n in (1, 2, 7, 14, 30, 91, 365)),
)


class Segment(NamedTuple):
    """A part of a bar, in the drawing's own units."""

    level: str
    x: float
    y: float
    width: float
    height: float
    told: str


class Tick(NamedTuple):
    """A mark on the time axis."""

    x: float
    told: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars by time, each a stack of levels."""

    segments: Sequence[Segment]
    ticks: Sequence[Tick]
    most: int
    each: str


class Cell(NamedTuple):
    """A technique in a column of the matrix; `heat` 1 to 5."""

    technique: str
    link: str
    hits: int
    heat: int
    told: str


class Column(NamedTuple):
    """A tactic and its techniques."""

    tactic: str
    name: str
    hits: int
    cells: Sequence[Cell]
    more: Sequence[Cell]


def render(summary: Summary, totals: Totals) -> str:
    """The report as a page."""
    style, script = ((_HERE / name).read_text("utf-8") for name in ("report.css", "report.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["plain"] = printable
    environment.filters["clock"] = _clock
    folder = _folder(summary)
    environment.filters["within"] = lambda file: file.removeprefix(folder)
    template = environment.from_string((_HERE / "report.html.j2").read_text("utf-8"))
    shown = summary.shown()
    return template.render(
        style=Markup(style),  # noqa: S704  (our own file)
        script=Markup(script),  # noqa: S704  (our own file)
        style_digest=_digest(style),
        script_digest=_digest(script),
        version=version("tocsin"),
        totals=totals,
        scanned=iso(totals.began)[:16].replace("T", " "),
        took=_duration(totals.ended - totals.began),
        summary=summary,
        levels=[(level, summary.levels[level]) for level in reversed(LEVELS)],
        span=_span(summary),
        timeline=timeline(summary),
        matrix=matrix(summary),
        rules=[(rule, _techniques(rule)) for rule in summary.by_severity()],
        entities=[
            (title, _bars(summary.entities[kind].most_common(TOP)), len(summary.entities[kind]))
            for kind, title in (("host", "Hosts"), ("user", "Users"), ("source", "Addresses"))
        ],
        top=TOP,
        hits=shown,
        folder=folder,
        hidden=summary.hits - len(shown),
        most_hits=MAX_HITS,
    )


def _folder(summary: Summary) -> str:
    """The directory that all files are in, with its separator; "" if there is none."""
    files = {rule.first.file for rule in summary.rules.values() if rule.first is not None}
    files.update(hit.file for hits in summary.kept.values() for hit in hits)
    parents = {str(Path(file).parent) for file in files}
    try:
        found = commonpath(parents)
    except ValueError:  # none at all, or some absolute and some not
        return ""
    return f"{found}{sep}" if found.strip(".") and found != sep else ""


def _digest(text: str) -> str:
    """What a content security policy knows an inline text by."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _clock(at: str) -> str:
    """`2026-01-05 10:00:00` of a time in RFC 3339."""
    return printable(at[:19].replace("T", " "))


def _duration(milliseconds: int) -> str:
    seconds = max(milliseconds, 0) / 1000
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _span(summary: Summary) -> tuple[str, str] | None:
    """First and last time of any hit."""
    times = [at for at, _ in summary.times]
    if not times:
        return None
    return _clock(iso(min(times))), _clock(iso(max(times)))


def timeline(summary: Summary) -> Timeline | None:
    """The timeline; None where no hit has a time."""
    if not summary.times:
        return None
    times = [at for at, _ in summary.times]
    first, last = min(times), max(times) + summary.span
    each = next(
        (b for b in _BARS if b >= summary.span and (last - first) / b <= MAX_BARS),
        ceil((last - first) / MAX_BARS),
    )
    start = first // each * each
    bars = max(ceil((last - start) / each), 1)
    counts: dict[int, dict[str, int]] = {}
    for (at, level), count in summary.times.items():
        bar = counts.setdefault((at - start) // each, {})
        bar[level] = bar.get(level, 0) + count
    most = max(sum(bar.values()) for bar in counts.values())
    width = 100 / bars
    segments: list[Segment] = []
    for number, bar in sorted(counts.items()):
        y = float(HEIGHT)
        told = _bar_told(start + number * each, each, bar)
        for level in LEVELS:
            if count := bar.get(level, 0):
                height = count / most * HEIGHT
                y -= height
                x = number * width + width * 0.08
                segments.append(
                    Segment(level, round(x, 3), round(y, 2), round(width * 0.84, 3),
                            round(height, 2), told)
                )  # fmt: skip
    return Timeline(segments, _ticks(start, each, bars), most, _each(each))


def _bar_told(at: int, each: int, bar: dict[str, int]) -> str:
    parts = ", ".join(f"{bar[level]} {level}" for level in reversed(LEVELS) if bar.get(level))
    return f"{_clock(iso(at))}: {parts}"


def _ticks(start: int, each: int, bars: int) -> list[Tick]:
    """Five marks at most, at the beginnings of bars; none whose text would leave the drawing."""
    step = max(ceil(bars / 5), 1)
    short = each < DAY
    ticks = []
    for number in (n for n in range(0, bars, step) if n * 100 <= bars * 85):
        told = _clock(iso(start + number * each))
        ticks.append(Tick(round(number * 100 / bars, 3), told[:16] if short else told[:10]))
    return ticks


def _each(milliseconds: int) -> str:
    for unit, size in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        if milliseconds >= size:
            number = milliseconds / size
            return f"one {unit}" if number == 1 else f"{number:.0f} {unit}s"
    return "one minute"


def matrix(summary: Summary) -> list[Column]:
    """The tactics that were hit, in ATT&CK's order, each with its techniques by hits."""
    most = max(summary.attack.values(), default=1)
    named: dict[tuple[str, str], list[str]] = {}
    for rule in summary.by_severity():
        for cell in cells(rule.tags, summary.places):
            named.setdefault(cell, []).append(f"{rule.title} ({rule.count})")
    columns: list[Column] = []
    for tactic in [*TACTICS, ""]:
        found = [(n, c) for (t, n), c in summary.attack.most_common() if t == tactic]
        if not found:
            continue
        drawn = [
            Cell(
                technique or "(none)",
                _link(technique, tactic),
                count,
                _heat(count, most),
                "\n".join(map(printable, named.get((tactic, technique), ())[:MAX_NAMED])),
            )
            for technique, count in found
        ]
        name = tactic.replace("-", " ").capitalize() or "No tactic"
        total = sum(count for _, count in found)
        columns.append(Column(tactic, name, total, drawn[:MAX_CELLS], drawn[MAX_CELLS:]))
    return columns


def _link(technique: str, tactic: str) -> str:
    """Where ATT&CK describes it. A link loads nothing until somebody follows it."""
    if technique:
        return f"https://attack.mitre.org/techniques/{technique.replace('.', '/')}/"
    return f"https://attack.mitre.org/tactics/{TACTICS.get(tactic, '')}/"


def _heat(count: int, most: int) -> int:
    """1 to 5 by the number's length compared with the largest."""
    share = (count.bit_length() - 1) / max(most.bit_length() - 1, 1)
    return 1 + min(int(share * 4 + 0.5), 4)


def _techniques(rule: RuleSummary) -> list[tuple[str, str]]:
    return [(name, _link(name, "")) for name in dict.fromkeys(techniques(rule.tags))]


def _bars(counted: Iterable[tuple[str, int]]) -> list[tuple[str, int, float]]:
    """Name, number, and the number as a share (0 to 100) of the largest."""
    rows = list(counted)
    most = max((count for _, count in rows), default=1)
    return [(name, count, round(count / most * 100, 2)) for name, count in rows]
