"""The plain interpreter of programs: slow, obviously right, and able to say why.

`tocsin normalize --explain` runs it, and tests hold the compiler to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingest.formats import kv
from ingest.mapping import paths, shipped
from ingest.mapping.casts import cast
from ingest.mapping.companions import complete
from ingest.mapping.conditions import compare
from ingest.mapping.convert import decode_json
from ingest.mapping.converters import CONVERTERS
from ingest.mapping.line import (
    NO_HEADER,
    add_syslog,
    nested,
    process_id,
    program_name,
    syslog_of,
)
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
    names_text,
)
from ingest.mapping.targets import DATE
from ingest.mapping.values import absent, words
from ingest.times import formatted_time, read_time, rfc3339
from tocsin.contracts import ECS_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.mapping.line import Line
    from ingest.mapping.origin import Origin
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


def run(program: Program, line: Line) -> Ran:
    """Run a program on a line; the line's fields may be changed by `decode`."""
    decode(line.fields, program.decode)
    runner = _Runner(line)
    tried = fits = False
    for statement in program.block:
        runner.fits = False
        runner.block((statement,))
        if isinstance(statement, Match):
            tried, fits = True, fits or runner.fits
    made = Ran(runner.out, fits or not tried, runner.why)
    settle(program, line, made.out, unreadable=runner.unreadable)
    complete(made.out)
    if line.format == "windows" and (said := line.fields.get("ecs")):
        shipped.add(made.out, said)
    if program.identity is not None:
        made.identity = identity_text(runner.value(program.identity))
    return made


def identity_text(value: Any) -> str | None:
    """A provider's id of an event as text, None where it is none that can be trusted."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return None
    text = str(value)
    return text if SANE_ID.fullmatch(text) is not None else None


#: A provider's id that can be trusted to be one.
SANE_ID = re.compile(r"[\x21-\x7e]{1,256}", re.ASCII)


def decode(fields: dict[str, Any], places: tuple[tuple[Path, str], ...]) -> None:
    """Read texts within `fields` that are JSON or pairs, in place."""
    for path, how in places:
        *parents, last = path.steps
        owner = paths.look(fields, tuple(parents)) if parents else fields
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
    header = line.header or NO_HEADER
    if "@timestamp" not in out:
        out["@timestamp"] = header.time or (line.received, rfc3339(line.received))
        if unreadable or header.unreadable:
            out["tags"] = [*out.get("tags", ()), TIME_UNREADABLE]
    if header.host is not None and "host.name" not in out and "host.hostname" not in out:
        out["host.name"] = header.host
    if line.format == "text":
        out.setdefault("message", line.text)
        if header.program is not None:
            if "process.name" not in out and "process.executable" not in out:
                out["process.name"] = program_name(header.program)
            if header.pid is not None and "process.pid" not in out:
                pid = process_id(header.pid)
                if pid is not None:
                    out["process.pid"] = pid


#: Longest text that `decode` reads, characters.
MAX_DECODED = 262_144

#: The tag of an event whose time is the time of receipt because its own cannot be read.
TIME_UNREADABLE = "time_unreadable"


def finish(
    program: Program, ran: Ran, line: Line, origin: Origin, offset: int, id: str, original: str
) -> tuple[Document, int]:
    """The whole event of what a program made, and its time (ms).

    `id` is the identity of the line where it has one of its own, else "".
    """
    out = ran.out
    at, out["@timestamp"] = out["@timestamp"]
    document = nested(out, program.root if program.keep else None, line)
    header = line.header or NO_HEADER
    name, pid = out.get("process.name"), out.get("process.pid")
    if (told := syslog_of(header, out.get("host.name"), name, pid)) is not None:
        add_syslog(document, told)
    event = document["event"]
    if ran.identity is not None:
        id = origin.provided(program.id, ran.identity)
    event["id"] = id or origin.place(offset)
    event["created"] = origin.created
    event["original"] = original
    document["ecs"] = {"version": ECS_VERSION}
    document["tocsin"] = {
        "origin": f"{origin.prefix}{offset}",
        **origin.whence,
        "parser": {"name": program.id, "version": program.version},
        **(header.own or {}),
    }
    return document, at


class _Runner:
    def __init__(self, line: Line) -> None:
        self.line = line
        self.out: dict[str, Any] = {}
        self.captures: dict[str, Any] = {}
        self.why: dict[str, tuple[int, str]] = {}
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
        text = self._text(statement.source)
        if not isinstance(text, str):
            return
        for shape in statement.shapes:
            if shape.when is not None and not self.holds(shape.when):
                continue
            match = shape.regex.match(text)
            if match is not None:
                self._fit(shape, match.groups())
                return

    def _text(self, source: Expression) -> Any:
        """What patterns are tried on; the payload is a text even if it reads `null`."""
        whole = self.line.fields.get("message") is self.line.text
        if self.line.format == "text" and whole and names_text(source):
            return self.line.text
        return self.value(source)

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
            if condition.kind == "there":
                return self._there(condition.path)
            return compare(condition, self.look(condition.path))
        if isinstance(condition, Every_):
            return all(self.holds(one) for one in condition.conditions)
        if isinstance(condition, Some):
            return any(self.holds(one) for one in condition.conditions)
        return not self.holds(condition.condition)

    def _there(self, path: Path) -> bool:
        """Whether a key is there, whatever its value."""
        if path.header or not all(isinstance(step, str) for step in path.steps):
            return self.look(path) is not None
        owner = paths.look(self.line.fields, path.steps[:-1])
        return isinstance(owner, dict) and path.steps[-1] in owner

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
            return together(self.value(one) for one in source.sources)
        if isinstance(source, Join):
            return self._join(source)
        if isinstance(source, Member):
            return member(self.look(source.list), source)
        return self._pipe(source)

    def _join(self, source: Join) -> str | None:
        values = [self.value(part) for part in source.parts if not isinstance(part, str)]
        return joined(source.parts, values)

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


def together(values: Iterable[Any]) -> list[Any] | None:
    """Present values and the members of lists among them, once each; None for none."""
    found: list[Any] = []
    for value in values:
        for item in value if isinstance(value, list) else (value,):
            if not absent(item) and item not in found:
                found.append(item)
    return found or None


def joined(parts: Iterable[Any], values: Iterable[Any]) -> str | None:
    """Texts with values between them where `parts` has sources; None if one is nothing."""
    written = ""
    left = iter(values)
    for part in parts:
        if isinstance(part, str):
            written += part
            continue
        value = next(left)
        if absent(value) or isinstance(value, (dict, list)):
            return None
        written += words(value)
    return written


def member(members: Any, source: Member) -> Any:
    """What is at `take` of the first of `members` that holds all of `where`."""
    if not isinstance(members, list):
        return None
    for one in members[: paths.MAX_MEMBERS]:
        for path, wanted in source.where:
            value = paths.look(one, path.steps)
            if value is None or isinstance(value, (dict, list)):
                break
            if words(value).casefold() != wanted:
                break
        else:
            found = paths.look(one, source.take.steps)
            return None if absent(found) else found
    return None


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
