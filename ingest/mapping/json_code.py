"""The end of a generated function that writes JSON instead of making a document.

Only for lines in which nothing needs an escape but quotation marks, which the length of their JSON
shows: then a piece of the line is JSON text as it is, unless it holds such a mark, which is looked
for. Everything else goes the way of documents. The JSON is that of the document, with its keys in
another order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from ingest.mapping.assembling import Assembler
from ingest.mapping.emitting import PART, READY, SAFE, WHOLE, Known
from tocsin.contracts import ECS_VERSION

if TYPE_CHECKING:
    from ingest.mapping.assembling import Tree
    from ingest.mapping.compiler import Unit

#: Frames whose values are pieces of the line unless it has a backslash.
PLAIN_FRAMES = frozenset({"text", "json", "access", "csv", "cef", "leef", "kv"})


#: Objects with so many members that may be missing are asked first whether all of them are.
MIN_TOGETHER = 4


class JsonAssembler(Assembler):
    """Writes the end of one function."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        self._pieces = unit.format in PLAIN_FRAMES
        self._said = False
        #: What is written for one member that may be missing: of which variable, and its JSON.
        self._single: dict[str, tuple[str, str]] = {}
        #: Variables that are not made: the inside of an f-string that gives their JSON.
        self._fragments: dict[str, str] = {}
        own = "" if unit.headless or unit.common else "h.own is not None or "
        #: Nothing of the line needs an escape.
        groups = unit.facts.groups
        self._bare = unit.common or (groups is not None and not groups.marks)
        unit.w.head[:0] = (
            "    line = dumps(original)",
            "    quoted = len(line) - len(original) - 2",
        )
        # Within JSON a control character can only stand between its parts.
        if unit.facts.sample is not None:
            own += f"quoted != {unit.facts.sample.marks}"
        elif unit.facts.canonical:
            own += "'\\\\' in original"
        elif unit.format == "json":
            own += " or ".join(f"'{mark}' in original" for mark in ("\\\\", "\\n", "\\t", "\\r"))
            own += " or original[0] != '{'"
        elif unit.common:
            own += "quoted"
        elif groups is not None:
            own += f"quoted != {groups.marks}"
        else:
            own += "quoted and (quoted := quotes(original, line)) < 0"
        unit.w.head.insert(2, f"    if {own}: return {unit.unusual}")

    def _check(self) -> None:
        names = [
            known
            for path, known in self.targets.items()
            if known.form == PART and known.name not in ("", "text", "original")
        ]
        tests = {
            known.name: f"'\"' in {known.name}"
            if known.sure
            else f"{known.name} is not None and '\"' in {known.name}"
            for known in names
        }
        # A text of JSON without a backslash holds no quotation mark.
        if self._bare:
            return
        if self.unit.facts.groups is not None:
            tests.clear()
        if tests and self._pieces and self.unit.format != "json":
            self.unit.usual(f"quoted and ({' or '.join(tests.values())})")
        self.w.line("line = line.decode()")

    def _few(self, made: str, known: list[Known]) -> None:
        """One or two texts as a list, in JSON."""
        w = self.w
        texts = [self._literal(one) for one in known]
        if len(known) == 1:
            if known[0].sure:
                self._fragments[made] = f"[{texts[0]}]"
                return
            w.line(f"{made} = f'[{texts[0]}]' if {known[0].code} else None")
            return
        one, two = known
        first, second, both = f"f'[{texts[0]}]'", f"f'[{texts[1]}]'", f"f'[{texts[0]},{texts[1]}]'"
        different = f"({both} if {one.code} != {two.code} else {first})"
        if one.sure and two.sure:
            w.line(f"{made} = {different}")
        elif one.sure:
            w.line(f"{made} = {different} if {two.code} else {first}")
        elif two.sure:
            w.line(f"{made} = {different} if {one.code} else {second}")
        else:
            w.line(
                f"{made} = ({different} if {two.code} else {first}) if {one.code} "
                f"else {second} if {two.code} else None"
            )

    _few_form = READY

    def _more(self, made: str, known: list[Known]) -> str:
        """Three or more texts as a list, in JSON."""
        w = self.w
        for number, one in enumerate(known):
            before = [other.code for other in known[:number]]
            tests = ([] if one.sure else [one.code]) + [f"{one.code} != {code}" for code in before]
            text = f"f',{self._literal(one)}'"
            if number == 0:
                w.line(f"{made} = {text}" + ("" if one.sure else f" if {one.code} else ''"))
            else:
                w.line(f"if {' and '.join(tests)}: {made} += {text}")
        w.line(f"{made} = f'[{{{made}[1:]}}]' if {made} else None")
        return READY

    def _value(self, tree: Tree, told: str) -> str:
        if told:
            self.unit.usual(f"{told} is not None")
        tree["ecs"] = Known(constant={"version": ECS_VERSION}, sure=True)
        tree["tocsin"] = Known(self._tocsin(), sure=True, form=READY)
        text, _ = self._braces(tree)
        self.w.line(f"value = f'{text}'.encode()")
        return "value"

    def _tocsin(self) -> str:
        program = self.unit.program
        parser = orjson.dumps({"name": program.id, "version": program.version}).decode()
        self._fragments["own"] = (
            f'{{{{"origin":"{{o.prefix}}{{offset}}",{{o.named}},"parser":{_braced(parser)}}}}}'
        )
        return "own"

    def _braces(self, tree: Tree) -> tuple[str, bool]:
        """The inside of an f-string that gives an object, and whether it is never empty."""
        certain: list[str] = []
        perhaps: list[str] = []
        for key, child in tree.items():
            label = _braced(orjson.dumps(key).decode())
            if not isinstance(child, Known):
                if _may_all_be_missing(child):
                    perhaps.append(self._together(label, child))
                    continue
                text, sure = self._braces(child)
                if sure:
                    certain.append(f"{label}:{text}")
                else:
                    perhaps.append(self._object_or_nothing(label, text))
            elif child.sure:
                certain.append(f"{label}:{self._literal(child)}")
            else:
                name = self.w.name("j")
                literal = self._literal(child)
                self.w.line(f"{name} = '' if {child.code} is None else f',{label}:{literal}'")
                perhaps.append(name)
                self._single[f"{{{name}}}"] = (child.code, f"{label}:{literal}")
        rest = "".join(f"{{{name}}}" for name in perhaps)
        if certain:
            return f"{{{{{','.join(certain)}{rest}}}}}", True
        return rest, False

    def _together(self, label: str, tree: Tree) -> str:
        """Write an object whose members are often all missing; its variable."""
        w = self.w
        codes = {child.code for child in tree.values() if isinstance(child, Known)}
        name = w.name("j")
        w.line(f"{name} = ''")
        with w.block(f"if {' or '.join(f'{code} is not None' for code in sorted(codes))}:"):
            text, _ = self._braces(tree)
            w.line(f"{name} = f'{text}'")
            w.line(f"{name} = f',{label}:{{{{{{{name}[1:]}}}}}}'")
        return name

    def _object_or_nothing(self, label: str, inside: str) -> str:
        """Write a member that is left out if it is empty; its variable."""
        name = self.w.name("j")
        piece = self._single.get(inside)
        if piece is not None:
            # One member: it and the object around it are there or not together.
            test, text = piece
            self.w.lines.pop()
            self.w.line(f"{name} = '' if {test} is None else f',{label}:{{{{{text}}}}}'")
            self._single[f"{{{name}}}"] = (test, f"{label}:{{{{{text}}}}}")
            return name
        single = inside.startswith("{") and inside.count("{") == 1 and inside.endswith("}")
        self.w.line(f"{name} = {inside[1:-1]}" if single else f"{name} = f'{inside}'")
        self.w.line(f"if {name}: {name} = f',{label}:{{{{{{{name}[1:]}}}}}}'")
        return name

    def _literal(self, known: Known) -> str:
        """The inside of an f-string that gives a value's JSON."""
        if not known.name and known.form == READY:
            return _braced(known.constant)
        if not known.name:
            return _braced(orjson.dumps(known.constant).decode())
        if known.name in self._fragments:
            return self._fragments[known.name]
        if self._bare and known.name in ("original", "text"):
            return f'"{{{known.name}}}"'
        if known.name == "original":
            return "{line}"
        if known.name == "text":
            if not self._said:
                self._said = True
                self.w.line("said = text_json(text) if quoted else f'\"{text}\"'")
            return "{said}"
        if known.form in (READY, WHOLE):
            return f"{{{known.name}}}"
        if known.form == SAFE or (known.form == PART and self._pieces):
            return f'"{{{known.name}}}"'
        return f"{{text_json({known.name})}}"

    def _unknown_route(self, value: str) -> str:
        return f"route_of_json({value})"


def _may_all_be_missing(tree: Tree) -> bool:
    """Whether an object has many members, of which none is sure."""
    return len(tree) >= MIN_TOGETHER and all(
        isinstance(child, Known) and not child.sure for child in tree.values()
    )


def _braced(text: str) -> str:
    """Text as it stands inside of an f-string in single quotes."""
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("{", "{{").replace("}", "}}")
