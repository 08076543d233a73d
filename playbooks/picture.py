"""A picture of a playbook's flow: as Mermaid, and as SVG that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from playbooks import model
from playbooks.source import CEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from responders.base import Action

#: Fill and line of a kind of step; dark text is readable on each fill (contrast above 7).
_COLOURS = {
    "start": ("#e8eaf6", "#3949ab"),
    "read": ("#e3f2fd", "#1565c0"),
    "notify": ("#eceff1", "#546e7a"),
    "contain": ("#fde7e7", "#c62828"),
    "destructive": ("#fbd5d5", "#8e0000"),
    "people": ("#fff4d6", "#b26a00"),
    "plain": ("#f5f5f5", "#757575"),
}
_WORDS = {
    "read": "looks up",
    "notify": "tells people",
    "contain": "contains, for a time",
    "destructive": "cannot be undone",
    "people": "asks people",
}
_WIDTH, _MARGIN, _GAP, _PAD, _LINE = 560, 40, 30, 10, 17
_CHARACTERS = 66


@dataclass(frozen=True, slots=True)
class Node:
    """A step as it is drawn."""

    id: str
    kind: str
    lines: tuple[str, ...]
    condition: str = ""
    parts: tuple[Node, ...] = ()
    always: bool = False


def nodes(document: model.PlaybookDocument, actions: Mapping[str, Action]) -> list[Node]:
    """The steps in the order they run, those that always run last."""
    made = [_node(step, actions) for step in document.sequence]
    return sorted(made, key=lambda node: node.always)


def _node(step: model.KnownStep | model.Act, actions: Mapping[str, Action]) -> Node:
    kind = "plain"
    lines: list[str] = []
    parts: tuple[Node, ...] = ()
    match step:
        case model.Act():
            kind, lines = _kind(step.action, actions), _action_lines(step)
        case model.LetStep():
            lines = [f"{name} = {text}" for name, text in step.let.items()]
        case model.ParallelStep():
            lines = [f"at the same time, until {_join(step.parallel.join)}"]
            parts = tuple(_node(branch, actions) for branch in step.parallel.branches)
        case model.EachStep():
            lines = [f"for each item in {step.for_each.items}, until {_join(step.for_each.join)}"]
            parts = (_node(step.for_each.do, actions),)
        case model.RunStep():
            lines = _run_lines(step)
        case model.ApprovalStep():
            kind, lines = "people", _approval_lines(step.approval)
        case model.WaitStep():
            lines = [f"wait {_time(step.wait)}"]
        case model.StopStep():
            lines = [f"stop: {step.stop}"]
    if getattr(step, "on_error", "stop") == "continue":
        lines = [*lines, "goes on if this fails"]
    return Node(
        step.id, kind, tuple(lines), step.condition or "", parts, getattr(step, "always", False)
    )


def _run_lines(step: model.RunStep) -> list[str]:
    inputs = ", ".join(f"{name}: {_told(value)}" for name, value in step.inputs.items())
    return [f"run the playbook {step.run}({inputs}) and wait for its end"]


def _trigger_lines(trigger: model.Trigger) -> list[str]:
    """What the trigger says besides `when`."""
    lines = []
    if (dedup := trigger.dedup) is not None:
        words = {"attach": "", "drop": ", further ones dropped", "restart": ", restarted by others"}
        lines.append(f"one run per {dedup.key} in {_time(dedup.window)}{words[dedup.on_duplicate]}")
    if (limit := trigger.concurrency) is not None:
        rest = "others wait" if limit.overflow == "queue" else "others are dropped"
        lines.append(f"at most {limit.max} at a time per {limit.key}, {rest}")
    return lines


def _kind(verb: str, actions: Mapping[str, Action]) -> str:
    found = actions.get(verb)
    return found.action_class.value if found else "plain"


def _action_lines(step: model.Act) -> list[str]:
    inputs = ", ".join(f"{name}: {_told(value)}" for name, value in step.inputs.items())
    lines = [f"{step.action}({inputs})"]
    if step.hold is not None:
        longest = f", at most {_time(step.hold.max)}" if step.hold.max else ""
        end = "undone" if step.hold.on_expiry == "undo" else "people decide whether it ends"
        lines.append(f"{end} after {_time(step.hold.ttl)}{longest}")
    if step.verify is not None:
        until, within = step.verify.until, _time(step.verify.within)
        lines.append(f"verified by {step.verify.action} until {until}, within {within}")
    guards = [f"never {name}" for name in step.guard.never]
    if (rate := step.guard.rate) is not None:
        guards.append(f"at most {rate.max} in {_time(rate.per)}{_beyond(rate.exceed)}")
    if (share := step.guard.max_percent) is not None:
        guards.append(f"at most {share.percent:g} % of {share.of}{_beyond(share.exceed)}")
    if (quiet := step.guard.quiet_hours) is not None:
        days = "" if len(quiet.days) == 7 else f" {', '.join(quiet.days)}"
        hours = f"{quiet.since}-{quiet.until} {quiet.zone}{days}"
        guards.append(f"not {hours}{_beyond(quiet.exceed)}")
    if step.guard.drift is not None:
        guards.append("only what was approved")
    return [*lines, f"guard: {', '.join(guards)}"] if guards else lines


def _beyond(exceed: str) -> str:
    return " (else people are asked)" if exceed == "approval" else ""


def _approval_lines(approval: model.Approval) -> list[str]:
    people = approval.approvers
    number = f"{people.quorum} of " if people.quorum > 1 else ""
    return [
        approval.message,
        f"{number}{people.group}, within {_time(approval.timeout)}; no answer: "
        f"{approval.on_timeout}",
        *(
            [f"one question for all runs with the same {approval.together}"]
            if approval.together
            else []
        ),
    ]


def _told(value: Any) -> str:
    match value:
        case dict() if value.keys() == {CEL}:
            return " ".join(str(value[CEL]).split())
        case dict():
            return "{" + ", ".join(f"{name}: {_told(item)}" for name, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_told(item) for item in value) + "]"
        case _:
            return str(value)


def _join(join: model.Join) -> str:
    done = f"{join.min_success} succeeded" if join.min_success else "one succeeded"
    done = done if join.any or join.min_success else "all are done"
    return f"{done}, {_time(join.timeout)} at most" if join.timeout else done


def _time(milliseconds: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


# ---- Mermaid -----------------------------------------------------------------------------------


def to_mermaid(document: model.PlaybookDocument, actions: Mapping[str, Action]) -> str:
    """The flow as a Mermaid flowchart."""
    told = (f"when {document.trigger.when}", *_trigger_lines(document.trigger))
    start = "<br/>".join(_quoted(line) for line in told)
    lines = ["flowchart TD", f'  start(["{start}"]):::start']
    before = "start"
    for number, node in enumerate(nodes(document, actions)):
        box = f"s{number}"
        if node.condition:
            asked = f"c{number}"
            lines += [
                f'  {asked}{{"{_quoted(node.condition)}"}}',
                f"  {before} --> {asked}",
                f"  {asked} -- yes --> {box}",
            ]
        else:
            lines.append(f"  {before} --> {box}")
        lines += _mermaid_box(node, box)
        before = box
        if node.condition:
            after = f"j{number}"
            lines += [f"  {after}(( ))", f"  {box} --> {after}", f"  {asked} -- no --> {after}"]
            before = after
    lines += [f"  {before} --> done([end]):::start"]
    for kind, (fill, line) in _COLOURS.items():
        lines.append(f"  classDef {kind} fill:{fill},stroke:{line},color:#111")
    return "\n".join(lines) + "\n"


def _mermaid_box(node: Node, name: str) -> list[str]:
    text = "<br/>".join(_quoted(line) for line in (_title(node), *node.lines))
    if not node.parts:
        return [f'  {name}["{text}"]:::{node.kind}']
    inner = [
        f'    {name}_{number}["{_part(part)}"]:::{part.kind}'
        for number, part in enumerate(node.parts)
    ]
    return [f'  subgraph {name}["{text}"]', *inner, "  end"]


def _part(part: Node) -> str:
    condition = (f"if {part.condition}",) if part.condition else ()
    return "<br/>".join(_quoted(line) for line in (part.id, *condition, *part.lines))


def _title(node: Node) -> str:
    return f"{node.id} (always)" if node.always else node.id


def _quoted(text: str) -> str:
    """Text in Mermaid's own entities: it has no other way to write a quote."""
    joined = " ".join(text.split()).replace("#", "#35;")
    for sign, name in (("&", "amp"), ('"', "quot"), ("<", "lt"), (">", "gt")):
        joined = joined.replace(sign, f"#{name};")
    return joined


# ---- SVG ---------------------------------------------------------------------------------------


def to_svg(document: model.PlaybookDocument, actions: Mapping[str, Action]) -> str:
    """The flow as one SVG file: no scripts, no fonts, nothing from elsewhere."""
    drawing = _Drawing()
    metadata = document.metadata
    drawing.text(_MARGIN, 30, metadata.title or metadata.id, "title")
    drawing.text(_MARGIN, 50, f"{metadata.id}, version {metadata.version}", "small")
    drawing.y = 70
    more = (part for line in _trigger_lines(document.trigger) for part in _folded(line))
    drawing.box(("when", *_folded(document.trigger.when), *more), "start", pill=True)
    drawn = nodes(document, actions)
    for node in drawn:
        drawing.step(node)
    drawing.arrow()
    drawing.box(("end",), "start", pill=True)
    drawing.legend({each.kind for node in drawn for each in (node, *node.parts)})
    return drawing.svg(metadata.title or metadata.id)


def _folded(text: str, width: int = _CHARACTERS) -> list[str]:
    return wrap(" ".join(text.split()), width, break_on_hyphens=False) or [""]


class _Drawing:
    """Boxes one below the other; a way around each box that has a condition."""

    def __init__(self) -> None:
        self.y = 0
        self._parts: list[str] = []
        self._always = False

    def text(self, x: float, y: float, text: str, style: str) -> None:
        self._parts.append(f'<text x="{x}" y="{y}" class="{style}">{escape(text)}</text>')

    def arrow(self) -> None:
        """From the last box to where the next one begins."""
        x, top = _MARGIN + _WIDTH / 2, self.y
        self.y += _GAP
        self._parts.append(
            f'<path d="M{x} {top}V{self.y - 2}" class="way" marker-end="url(#tip)"/>'
        )

    def box(self, lines: tuple[str, ...], kind: str, *, pill: bool = False) -> None:
        height = len(lines) * _LINE + 2 * _PAD
        self._rectangle(_MARGIN, self.y, _WIDTH, height, kind, 18 if pill else 6)
        self._lines(_MARGIN + 14, self.y, lines)
        self.y += height

    def step(self, node: Node) -> None:
        if node.always and not self._always:
            self._always = True
            self.y += 14
            line = f'<path d="M{_MARGIN} {self.y}h{_WIDTH}" class="rule"/>'
            self._parts.append(line)
            self.text(_MARGIN, self.y + 16, "always, whatever happened:", "small")
            self.y += 8
        began = self.y
        if node.condition:
            self._condition(node.condition)
        else:
            self.arrow()
        lines = (node.id, *(part for line in node.lines for part in _folded(line)))
        if node.parts:
            self._group(lines, node.parts)
        else:
            self.box(lines, node.kind)
        if node.condition:
            self._around(began + _GAP / 2)

    def _condition(self, condition: str) -> None:
        began = self.y
        self.y += 12
        for line in _folded(f"if {condition}", 72):
            self.y += _LINE
            self.text(_MARGIN + 24, self.y, line, "condition")
        self._parts.append(
            f'<path d="M{_MARGIN + 10} {began}V{self.y + 18}" class="way" marker-end="url(#tip)"/>'
        )
        self.y += 20

    def _around(self, top: float) -> None:
        """The way past a box whose condition is false."""
        left, middle, below = _MARGIN - 18, _MARGIN + _WIDTH / 2, self.y + 12
        self._parts += [
            f'<path d="M{_MARGIN + 10} {top}H{left}V{below}H{middle - 4}" class="around" '
            'marker-end="url(#tip)"/>',
            f'<path d="M{middle} {self.y}V{below}" class="way"/>',
        ]
        self.y = below

    def _group(self, lines: tuple[str, ...], parts: tuple[Node, ...]) -> None:
        inner = [(part, self._part_lines(part)) for part in parts]
        heights = [len(text) * _LINE + 2 * _PAD for _, text in inner]
        head = len(lines) * _LINE + 2 * _PAD
        height = head + sum(heights) + 8 * len(heights) + 4
        self._rectangle(_MARGIN, self.y, _WIDTH, height, "plain", 6)
        self._lines(_MARGIN + 14, self.y, lines)
        at = self.y + head
        for (part, text), tall in zip(inner, heights, strict=True):
            self._rectangle(_MARGIN + 14, at, _WIDTH - 28, tall, part.kind, 5)
            self._lines(_MARGIN + 26, at, text)
            at += tall + 8
        self.y += height

    def _part_lines(self, part: Node) -> tuple[str, ...]:
        condition = [f"if {part.condition}"] if part.condition else []
        told = [*condition, *part.lines]
        return (part.id, *(piece for line in told for piece in _folded(line, _CHARACTERS - 4)))

    def _rectangle(
        self, x: float, y: float, width: float, height: float, kind: str, radius: int
    ) -> None:
        fill, line = _COLOURS[kind]
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" '
            f'fill="{fill}" stroke="{line}"/>'
        )

    def _lines(self, x: float, y: float, lines: Iterable[str]) -> None:
        for number, line in enumerate(lines):
            self.text(x, y + _PAD + 13 + number * _LINE, line, "name" if number == 0 else "line")

    def legend(self, kinds: set[str]) -> None:
        self.y += 34
        x: float = _MARGIN
        for kind, words in _WORDS.items():
            if kind not in kinds:
                continue
            self._rectangle(x, self.y - 11, 14, 14, kind, 3)
            self.text(x + 20, self.y, words, "small")
            x += 34 + 6.6 * len(words)
        self.y += 20

    def svg(self, title: str) -> str:
        width, height = _WIDTH + 2 * _MARGIN, self.y + 10
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">\n<title>{escape(title)}</title>\n'
            f'{_STYLE}<rect width="100%" height="100%" fill="#fff"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )


_STYLE = """<style>
text { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px; fill: #111 }
.title { font: 600 18px system-ui, sans-serif }
.small { font: 12px system-ui, sans-serif; fill: #444 }
.name { font-weight: 700 }
.condition { font-style: italic; fill: #333 }
.way { stroke: #555; fill: none }
.around { stroke: #888; fill: none; stroke-dasharray: 4 3 }
.rule { stroke: #bbb; stroke-dasharray: 2 3 }
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>
"""
