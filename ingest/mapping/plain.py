"""The plain interpreter of programs: slow, obviously right, and able to say why.

`tocsin normalize --explain` runs it, and tests hold the compiler to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingest.formats import kv
from ingest.mapping import convert, paths
from ingest.mapping.casts import cast
from ingest.mapping.companions import complete
from ingest.mapping.conditions import compare
from ingest.mapping.convert import decode_json
from ingest.mapping.converters import CONVERTERS
from ingest.mapping.line import nested
from ingest.mapping.program import (
    Assign,
    Branch,
    Check,
    Constant,
    Every,
    Every_,
    First,
    Join,
    Look,
    Match,
    Member,
    Pipe,
    Set,
    Some,
    Spread,
)
from ingest.mapping.targets import DATE
from ingest.mapping.values import absent, words
from ingest.times import formatted_time, read_time, rfc3339

if TYPE_CHECKING:
    from ingest.mapping.line import Line
    from ingest.mapping.paths import Path
    from ingest.mapping.program import Block, Condition, Expression, Program, Shape, Step
    from ingest.mapping.targets import Target
    from tocsin.contracts import Document


@dataclass(slots=True)
class Ran:
    """What a program made of a line: a flat document, and why."""

    out: dict[str, Any]
    #: Whether a pattern fitted, or there were none to fit.
    fits: bool = True
    #: Field → (line of the mapping's file, what was said there).
    why: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: The provider's own id, None where the mapping trusts none.
    identity: str | None = None

    def document(self, program: Program, line: Line) -> Document:
        """The nested document, the source's own fields below the program's root."""
        return nested(self.out, program.root if program.keep else None, line)


def run(program: Program, line: Line) -> Ran:
    """Run a program on a line; the line's fields may be changed by `decode`."""
    _decode(program, line)
    runner = _Runner(line)
    runner.block(program.block)
    made = Ran(runner.out, runner.fits or not runner.tried, runner.why)
    settle(program, line, made.out, unreadable=runner.unreadable)
    complete(made.out)
    if program.identity is not None:
        found = runner.value(program.identity)
        made.identity = words(found) if isinstance(found, (str, int)) else None
    return made


def _decode(program: Program, line: Line) -> None:
    for path, how in program.decode:
        *parents, last = path.steps
        owner = paths.look(line.fields, tuple(parents)) if parents else line.fields
        if not isinstance(owner, dict) or not isinstance(last, str):
            continue
        text = owner.get(last)
        if isinstance(text, str) and len(text) <= MAX_DECODED:
            decoded = decode_json(text) if how == "json" else kv.frame(text)
            if isinstance(decoded, (dict, list)):
                owner[last] = decoded


def settle(program: Program, line: Line, out: dict[str, Any], *, unreadable: bool) -> None:
    """Add to a flat document what every event has, and what its header says."""
    out.setdefault("event.kind", "event")
    out.setdefault("event.dataset", program.id)
    header = line.header
    if "@timestamp" not in out:
        if header is not None and header.time is not None:
            out["@timestamp"] = header.time
        else:
            out["@timestamp"] = (line.received, rfc3339(line.received))
        if unreadable or (header is not None and header.unreadable):
            out["tags"] = [*out.get("tags", ()), TIME_UNREADABLE]
    if header is not None:
        if header.host is not None and "host.name" not in out and "host.hostname" not in out:
            out["host.name"] = header.host
        if header.program is not None and line.format == "text":
            if "process.name" not in out and "process.executable" not in out:
                out["process.name"] = program_name(header.program)
            if header.pid is not None and "process.pid" not in out:
                pid = convert.whole(header.pid)
                if pid is not None and 0 <= pid <= MAX_PID:
                    out["process.pid"] = pid
    if line.format == "text":
        out.setdefault("message", line.text)


#: Longest text that `decode` reads, characters.
MAX_DECODED = 262_144

#: The tag of an event whose time is the time of receipt because its own cannot be read.
TIME_UNREADABLE = "time_unreadable"

MAX_PID = 2**31 - 1


def program_name(program: str) -> str:
    """The name of a program by its syslog tag, which may be a path."""
    return program.rpartition("/")[2] or program


class _Runner:
    def __init__(self, line: Line) -> None:
        self.line = line
        self.out: dict[str, Any] = {}
        self.captures: dict[str, Any] = {}
        self.why: dict[str, tuple[int, str]] = {}
        self.tried = False
        self.unreadable = False
        self.fits = False

    # Statements

    def block(self, block: Block) -> None:
        for statement in block:
            if isinstance(statement, Set):
                value = statement.value
                self._put(statement.target, value, statement.line, f"constant {value!r:.60}")
            elif isinstance(statement, Assign):
                self._assign(statement)
            elif isinstance(statement, Spread):
                self._spread(statement)
            elif isinstance(statement, Match):
                self._match(statement)
            else:
                self._branch(statement)

    def _put(self, target: Target, value: Any, line: int, reason: str) -> None:
        self.out[target.path] = value
        self.why[target.path] = (line, reason)

    def _assign(self, statement: Assign) -> None:
        value = self.value(statement.source)
        if absent(value):
            return
        target = statement.target
        if target.type == DATE and not target.many:
            found = read_time(value, self.line.received, self.line.zone)
            made = None if found is None else found if target.path == "@timestamp" else found[1]
            if target.path == "@timestamp":
                self.unreadable = found is None
        else:
            made = cast(target, value)
        if made is not None and not absent(made):
            self._put(target, made, statement.line, f"from {value!r:.80}")

    def _spread(self, statement: Spread) -> None:
        value = self.value(statement.source)
        if absent(value):
            return
        for target, part in zip(statement.targets, statement.function(value) or (), strict=False):
            if part is not None:
                self._put(target, part, statement.line, f"from {value!r:.80}")

    def _match(self, statement: Match) -> None:
        text = self.value(statement.source)
        self.tried = True
        if not isinstance(text, str):
            return
        for shape in statement.shapes:
            if shape.when is not None and not self.holds(shape.when):
                continue
            match = shape.regex.match(text)
            if match is not None:
                self._fit(shape, match.groups())
                return

    def _fit(self, shape: Shape, groups: tuple[str | None, ...]) -> None:
        self.fits = True
        self.captures |= zip(shape.captures, groups, strict=True)
        self.why.setdefault("(pattern)", (shape.line, shape.shown))
        self.block(shape.block)

    def _branch(self, statement: Branch) -> None:
        for condition, block in statement.cases:
            if self.holds(condition):
                self.block(block)
                if not statement.every:
                    return

    # Conditions

    def holds(self, condition: Condition) -> bool:
        if isinstance(condition, Check):
            return compare(condition, self.look(condition.path))
        if isinstance(condition, Every_):
            return all(self.holds(one) for one in condition.conditions)
        if isinstance(condition, Some):
            return any(self.holds(one) for one in condition.conditions)
        return not self.holds(condition.condition)

    # Sources

    def look(self, path: Path) -> Any:
        """The value at a path: a header's, a capture's, or a field's."""
        if path.header:
            return paths.look(self.line.header_value(path.header), path.steps)
        first = path.steps[0]
        if first in self.captures:
            return paths.look(self.captures[str(first)], path.steps[1:])
        return paths.look(self.line.fields, path.steps)

    def value(self, source: Expression) -> Any:
        """What a source yields, None for nothing."""
        if isinstance(source, Look):
            found = self.look(source.path)
            return None if absent(found) else found
        if isinstance(source, Constant):
            return source.value
        if isinstance(source, First):
            return next((v for one in source.sources if (v := self.value(one)) is not None), None)
        if isinstance(source, Every):
            return _together(self.value(one) for one in source.sources)
        if isinstance(source, Join):
            return self._join(source)
        if isinstance(source, Member):
            return self._member(source)
        return self._pipe(source)

    def _join(self, source: Join) -> str | None:
        written = ""
        for part in source.parts:
            if isinstance(part, str):
                written += part
                continue
            value = self.value(part)
            if value is None or isinstance(value, (dict, list)):
                return None
            written += words(value)
        return written

    def _member(self, source: Member) -> Any:
        members = self.look(source.list)
        if not isinstance(members, list):
            return None
        for member in members[: paths.MAX_MEMBERS]:
            for path, wanted in source.where:
                value = paths.look(member, path.steps)
                if value is None or isinstance(value, (dict, list)):
                    break
                if words(value).casefold() != wanted:
                    break
            else:
                found = paths.look(member, source.take.steps)
                return None if absent(found) else found
        return None

    def _pipe(self, source: Pipe) -> Any:
        if source.when is not None and not self.holds(source.when):
            return None
        value = self.value(source.source)
        for step in source.steps:
            if value is None:
                break
            value = apply(step, value, self.line.received, self.line.zone)
            if absent(value):
                value = None
        return source.default if value is None else value


def _together(values: Any) -> list[Any] | None:
    found: list[Any] = []
    for value in values:
        for item in value if isinstance(value, list) else (value,):
            if not absent(item) and item not in found:
                found.append(item)
    return found or None


def apply(step: Step, value: Any, received: int, zone: str) -> Any:
    """A step's result for a present value; of a list, each member's."""
    if step.kind == "split":
        if not isinstance(value, str):
            return value
        return [part for item in value.split(step.detail) if not absent(part := item.strip())]
    if isinstance(value, list) and not (step.kind == "as" and step.detail[0] in _OF_LISTS):
        found = [apply(step, item, received, zone) for item in value if not absent(item)]
        return [item for item in found if not absent(item)] or None
    if step.kind == "regex":
        if isinstance(value, dict):
            return None
        match = step.detail.search(words(value))
        return match[1] if match is not None else None
    if step.kind == "map":
        if isinstance(value, dict):
            return None
        key = words(value).casefold()
        if key in step.detail:
            return step.detail[key]
        return value if step.keep else step.default
    name, argument = step.detail
    if name == "time":
        if argument is not None:
            made = formatted_time(value, argument, zone)
        else:
            made = read_time(value, received, zone)
        return None if made is None else made[1]
    return CONVERTERS[name](value)


_OF_LISTS = frozenset({"email", "emails", "json", "text", "ip", "endpoint", "join"})
