"""Patterns and cases in generated code: branches, and what is known after any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.mapping.companions import STILL_LISTS
from ingest.mapping.dispatching import dispatch
from ingest.mapping.emitting import (
    CLEAN,
    PART,
    RAW,
    READY,
    TEXT,
    Env,
    Known,
    Operand,
    Unsupported,
    common_form,
    is_ready,
    ready,
)
from ingest.mapping.program import Branch, Check, Match, Not, Set, names_text

if TYPE_CHECKING:
    from ingest.mapping.compiler import Unit
    from ingest.mapping.paths import Path
    from ingest.mapping.program import Block, Condition, Shape

    Cases = tuple[tuple[Condition, Block], ...]

#: Where the lines of a branch go.
_PLACE = "\0place"

#: Fewest cases whose outcome is worth remembering, and most outcomes that are.
MIN_REMEMBERED = 2
MAX_REMEMBERED = 4_096


class BranchCode:
    """Writes the patterns and cases of one function."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.w = unit.w
        self._remembering = False

    def match(self, statement: Match, *, top: bool) -> None:
        """Write the trying of shapes, the first that fits counts."""
        w = self.w
        if self.unit.flat and names_text(statement.source):
            operand = Operand("text", TEXT, PART)
        else:
            operand = self.unit.sources.value(statement.source)
        if operand.nothing:
            return
        text = operand.code
        if operand.kind != CLEAN and not (self.unit.flat and text == "text"):
            text = w.name()
            self.unit.fields.clean(operand, text)
        text = self.unit.fields.local(Operand(text, operand.kind))
        before = self.unit.env.copy()
        branches: list[tuple[list[str], Env]] = []
        guarded = any(shape.when is not None for shape in statement.shapes)
        index, found = w.name("n"), w.name("m")
        if not guarded:
            table, always = dispatch(statement.shapes)
            w.line(f"{index} = -1")
            w.line(
                f"if {text}.__class__ is str: {index}, {found} = "
                f"fit({text}, {w.bind(table, 'D')}, {w.bind(always, 'A')})"
            )
        with w.aside() as whole:
            for number, shape in enumerate(statement.shapes):
                if guarded:
                    condition = self.try_shape(shape, text, found)
                    if condition == "False":
                        continue
                    w.line(f"if {condition}:")
                else:
                    w.line(f"if {index} == {number}:")
                after = self.unit.env.copy()
                with w.aside() as lines:
                    if top and self.unit.hit:
                        w.line("hit = True")
                    self.fitted(shape, found)
                    branches.append((lines, self.unit.env))
                self.unit.env = after
                whole.append(_PLACE)
            branches.append(([], self.unit.env))
        self._joined(whole, branches, before)

    def _joined(self, whole: list[str], branches: list[tuple[list[str], Env]], before: Env) -> None:
        """Write branches, or only what was looked up for them if none can be taken."""
        if len(branches) > 1:
            self.unit.env = before
            self.merge(whole, branches)
            return
        self.w.lines.extend(line.removeprefix("    ") for line in whole)
        self.unit.env = branches[0][1]

    def try_shape(self, shape: Shape, text: str, found: str) -> str:
        """Write the trying of one shape; the condition under which it fits."""
        w = self.w
        condition = self.unit.conditions.code(shape.when) if shape.when is not None else "True"
        if condition == "False":
            return condition
        regex = w.bind(shape.regex, "R")
        w.line(
            f"{found} = {regex}.match({text}) if {text}.__class__ is str and {condition} else None"
        )
        return f"{found} is not None"

    def fitted(self, shape: Shape, found: str) -> None:
        """Write what a shape that fits says: its captures, then its block."""
        captured = self.unit.captured if found == "f" else None
        names = captured or [self.w.name("c") for _ in shape.captures]
        if names and captured is None:
            self.w.line(f"{', '.join(names)}, = {found}.groups()")
        piece = PART if found == "f" else ""
        for number, (capture, name) in enumerate(zip(shape.captures, names, strict=True), 1):
            self.unit.env.captures[capture] = Operand(name, TEXT, piece)
            self.unit.known(name, shape.regex, number)
        self.unit.block(shape.block)

    def branch(self, statement: Branch) -> None:
        """Write cases: the first that holds, or every one that holds."""
        if statement.every:
            for condition, block in statement.cases:
                self._remembered(((condition, block),))
        else:
            self._remembered(statement.cases)

    def _remembered(self, cases: Cases) -> None:
        """Write cases; what they set is remembered by the few texts that alone decide it."""
        looked = _deciding(cases)
        known = None if looked is None else self._keys(looked)
        paths = _assigned(cases)
        worth = self.unit.facts.encoded and not self._remembering and len(cases) >= MIN_REMEMBERED
        if not known or not paths or not worth:
            self.cases(cases)
            return
        for path in paths:
            before = self.unit.env.targets.get(path)
            if before is not None and before.name:
                self.cases(cases)
                return
        w = self.w
        key, found, table = w.name("k"), w.name("y"), w.bind({}, "Y")
        w.line(f"{key} = {known[0] if len(known) == 1 else '(' + ', '.join(known) + ')'}")
        w.line(f"{found} = {table}.get({key})")
        before_env = self.unit.env.copy()
        with w.block(f"if {found} is None:"):
            self._remembering = True
            self.cases(cases)
            self._remembering = False
            after = [self.unit.env.targets.get(path) for path in paths]
            codes = [one.code if one is not None else "None" for one in after]
            w.line(f"if len({table}) >= {MAX_REMEMBERED}: {table}.clear()")
            w.line(f"{found} = {table}[{key}] = ({', '.join(codes)},)")
        self.unit.env = before_env
        names = [w.name("t") for _ in paths]
        w.line(f"{', '.join(names)}, = {found}")
        for path, name, one in zip(paths, names, after, strict=True):
            if one is not None:
                form = one.form if one.name or one.form != "" else ""
                self.unit.env.targets[path] = Known(name, sure=one.sure, plain=one.plain, form=form)

    def _keys(self, looked: list[Path]) -> list[str] | None:
        """The variables of texts that are never None; None if a value may be anything else."""
        names = []
        for path in looked:
            operand = self.unit.fields.look(path)
            if operand.nothing:
                continue
            if not self.unit.present(operand):
                return None
            names.append(operand.code)
        return list(dict.fromkeys(names))

    def cases(self, cases: tuple[tuple[Condition, Block], ...]) -> None:
        """Write an exclusive chain of cases."""
        w = self.w
        before = self.unit.env.copy()
        branches: list[tuple[list[str], Env]] = []
        always: Block | None = None
        with w.aside() as whole:
            for condition, block in cases:
                code = self.unit.conditions.code(condition)
                if code == "False":
                    continue
                if code == "True" and not branches:
                    always = block
                    break
                w.line(f"if {code}:")
                after = self.unit.env.copy()
                with w.aside() as lines:
                    self.unit.block(block)
                    branches.append((lines, self.unit.env))
                self.unit.env = after
                whole.append(_PLACE)
                if code == "True":
                    break
            branches.append(([], self.unit.env))
        if always is not None:
            # What was looked up for it stays known: nothing of it was conditional.
            w.lines.extend(line.removeprefix("    ") for line in whole)
            self.unit.block(always)
            return
        self._joined(whole, branches, before)

    def merge(self, whole: list[str], branches: list[tuple[list[str], Env]]) -> None:
        """Write branches and continue with what holds after any of them.

        `whole` has a place for each branch but the last, which is the one where none was taken.
        """
        w = self.w
        merged = Env()
        envs = [env for _, env in branches]
        merged.looked = _common([env.looked for env in envs])
        merged.nodes = _common([env.nodes for env in envs])
        merged.folded = _common([env.folded for env in envs])
        merged.present = _common([env.present for env in envs])
        moves: list[list[str]] = [[] for _ in branches]
        for path in dict.fromkeys(path for env in envs for path in env.targets):
            merged.targets[path] = self._join_targets(path, envs, moves)
        for name in dict.fromkeys(name for env in envs for name in env.captures):
            merged.captures[name] = self._join_captures(name, envs, moves)
        with w.block("while True:"):
            filled = iter(zip(branches, moves, strict=True))
            for line in whole:
                if line is not _PLACE:
                    w.lines.append(line)
                    continue
                (lines, _), move = next(filled)
                w.lines.extend(lines)
                self._moved(move, deeper=1)
                w.lines.append("    " * (w._depth + 1) + "break")
            (_, _), move = next(filled)
            self._moved(move, deeper=0)
            w.line("break")
        self.unit.env = merged

    def _moved(self, moves: list[str], deeper: int) -> None:
        indent = "    " * (self.w._depth + deeper)
        self.w.lines.extend(indent + move for move in moves)

    def _join_targets(self, path: str, envs: list[Env], moves: list[list[str]]) -> Known:
        known = [env.targets.get(path) for env in envs]
        first = known[0]
        if first is not None and all(one == first for one in known):
            return first
        if (
            self.unit.facts.encoded
            and path not in STILL_LISTS
            and all(one is None or is_ready(one) for one in known)
        ):
            known = [one if one is None or one.name else ready(one) for one in known]
        elif any(one is not None and one.form == READY for one in known):
            raise Unsupported(f"{path} is in two forms")
        name = self.w.name("t")
        for one, move in zip(known, moves, strict=True):
            move.append(f"{name} = {one.code if one is not None else 'None'}")
        return Known(
            name,
            sure=all(one is not None and one.sure for one in known),
            plain=all(one is None or one.plain for one in known),
            form=common_form(known),
        )

    def _join_captures(self, name: str, envs: list[Env], moves: list[list[str]]) -> Operand:
        known = [env.captures.get(name) for env in envs]
        first = known[0]
        if first is not None and all(one == first for one in known):
            return first
        variable = self.w.name("x")
        kind = TEXT
        for one, move in zip(known, moves, strict=True):
            if one is not None:
                move.append(f"{variable} = {one.code}")
                kind = one.kind if one.kind != TEXT else kind
            elif self.unit.flat:
                move.append(f"{variable} = {'text' if name == 'message' else 'None'}")
            else:
                given = f"f.get({name!r})"
                facts = self.unit.facts
                if facts.groups is not None or facts.sample is not None:
                    given = self.unit.fields._field((name,))
                move.append(f"{variable} = {given}")
                kind = RAW
        return Operand(variable, kind)


def _common(tables: list[dict[Any, str]]) -> dict[Any, str]:
    first, *others = tables
    return {key: name for key, name in first.items() if all(one.get(key) == name for one in others)}


def _deciding(cases: Cases) -> list[Path] | None:
    """The places whose values decide what cases set, None if they do more than set constants."""
    found: list[Path] = []
    for condition, block in cases:
        found += _looked(condition)
        for statement in block:
            if isinstance(statement, Branch):
                inner = _deciding(statement.cases)
                if inner is None:
                    return None
                found += inner
            elif not isinstance(statement, Set):
                return None
    return list(dict.fromkeys(found))


def _looked(condition: Condition) -> list[Path]:
    if isinstance(condition, Check):
        return [condition.path]
    if isinstance(condition, Not):
        return _looked(condition.condition)
    return [path for one in condition.conditions for path in _looked(one)]


def _assigned(cases: Cases) -> list[str]:
    """The targets that cases of constants set."""
    found: list[str] = []
    for _, block in cases:
        for statement in block:
            if isinstance(statement, Set):
                found.append(statement.target.path)
            elif isinstance(statement, Branch):
                found += _assigned(statement.cases)
    return list(dict.fromkeys(found))
