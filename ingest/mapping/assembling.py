"""The end of a generated function: what every event has, companions, `related`, the document.

The same as ingest.mapping.plain's `settle`, `complete` and `finish`, with everything decided that
is known when the function is generated.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from ingest.mapping import shipped
from ingest.mapping.companions import (
    COMPANIONS,
    RELATED,
    of_address,
    of_path,
    of_url,
    program_name,
    same,
)
from ingest.mapping.emitting import (
    PART,
    RAW,
    READY,
    SAFE,
    WHOLE,
    Known,
    Operand,
    Unsupported,
    constant,
)
from ingest.mapping.line import WINLOG
from ingest.mapping.parts import MAX_URL
from ingest.mapping.plain import SANE_ID, TIME_UNREADABLE
from ingest.mapping.targets import ECS, IP, LONG
from tocsin.contracts import ECS_VERSION
from tocsin.route import ROUTE_FIELDS, ROUTE_PRESENCE, route_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.mapping.compiler import Unit
    from ingest.mapping.emitting import Groups

#: What cuts pieces out of its value and changes nothing in them.
_CUTTING = frozenset({of_address, program_name, of_path})

_JSON_FORMS = {IP: SAFE, LONG: WHOLE}

#: A node of the document: a value, or objects by name.
Tree = dict[str, Any]


class Assembler:
    """Writes the end of one function."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.w = unit.w
        self.targets = unit.env.targets
        self.blob = ""
        self._told = ""
        #: The root of the source's own fields and the fields, where they are groups of a match.
        self.own: tuple[str, Tree] | None = None
        #: The variable of the header's own host, where the document's is it.
        self.host = ""

    def write(self) -> None:
        """Write everything after the statements of the program."""
        w, unit = self.w, self.unit
        if unit.hit:
            w.line("if must and not hit: return None")
        moment = self._time()
        self._defaults()
        self._companions()
        first = self._shipped()
        self._related(first)
        self._identity()
        told = self._syslog()
        self._check()
        self._own_fields()
        tree = self._tree(moment)
        value = self._value(tree, told)
        host = self.targets.get("host.name")
        route = self._route(value)
        w.line(f"return {value}, {moment}[0], {route}, {host.code if host is not None else None}")

    def _check(self) -> None:
        """Write what has to hold before the source's own fields are changed."""

    def _value(self, tree: Tree, told: str) -> str:
        """Write the making of the document; the variable that holds it."""
        w = self.w
        expression, _ = self._object(tree)
        w.line(f"doc = {expression}")
        if told:
            w.line(f"if {told} is not None: add_syslog(doc, {told})")
        if not self.unit.headless:
            w.line("if h.own is not None: doc['tocsin'].update(h.own)")
        return "doc"

    # What every event has

    def _setdefault(
        self, path: str, code: str, *, sure: bool, plain: bool = True, form: str = ""
    ) -> None:
        """Give a target a value where it has none."""
        known = self.targets.get(path)
        if known is None:
            self.targets[path] = Known(code, sure=sure, plain=plain, form=form)
        elif not known.sure:
            name = self.w.name("t")
            self.w.line(f"{name} = {known.code} if {known.code} is not None else {code}")
            same_form = form if form == known.form else ""
            self.targets[path] = Known(name, sure=sure, plain=plain and known.plain, form=same_form)

    def _time(self) -> str:
        """Write what the event's Instant is; the variable that holds it."""
        w, unit = self.w, self.unit
        known = self.targets.pop("@timestamp", None)
        name = w.name("z")
        if known is not None and known.sure:
            return known.name
        if known is None and unit.headed:
            w.line(f"{name} = {unit.of_header('time')}")
            if not unit.common:
                unit.usual(f"{name} is None")
            return name
        if known is None and unit.headless:
            return "o.instant"
        tags = w.name("g")
        before = self.targets.get("tags")
        w.line(f"{name} = {known.code if known is not None else 'None'}")
        w.line(f"{tags} = {before.code if before is not None else 'None'}")
        with w.block(f"if {name} is None:"):
            other = "o.instant" if unit.headless else f"{unit.of_header('time')} or o.instant"
            w.line(f"{name} = {other}")
            late = ["unread"] if unit.unreadable else []
            late += [] if unit.headless or unit.common else ["h.unreadable"]
            if late:
                w.line(f"if {' or '.join(late)}: {tags} = [*({tags} or ()), {TIME_UNREADABLE!r}]")
        self.targets["tags"] = Known(tags, sure=before is not None and before.sure)
        return name

    def _defaults(self) -> None:
        w, targets, unit = self.w, self.targets, self.unit
        for given, text in (("event.kind", "event"), ("event.dataset", unit.program.id)):
            if given not in targets:
                targets[given] = Known(constant=text, sure=True, plain=True, form=SAFE)
            self._setdefault(given, repr(text), sure=True)
        self._host()
        if not unit.is_text:
            return
        self._setdefault("message", "text", sure=True, form=PART)
        if unit.headless:
            return
        name, path = targets.get("process.name"), targets.get("process.executable")
        if unit.common and name is None and path is None:
            targets["process.name"] = constant(program_name(unit.facts.common or ""))
        elif not (name is not None and name.sure) and not (path is not None and path.sure):
            made = w.name("t")
            given = unit.fields.header("program") if unit.headed else unit.of_header("program")
            w.line(f"{made} = {given}")
            test = "" if unit.headed else f"{made} is not None and "
            w.line(f"if {test}'/' in {made}: {made} = program_name({made})")
            if name is None and path is None:
                targets["process.name"] = Known(made, sure=unit.headed, plain=True, form=PART)
            else:
                codes = [known.code for known in (name, path) if known is not None]
                test = " or ".join(f"{code} is not None" for code in codes)
                kept = w.name("t")
                first = name.code if name is not None else "None"
                w.line(f"{kept} = {first} if {test} else {made}")
                targets["process.name"] = Known(kept, plain=True)
        self._pid()

    def _pid(self) -> None:
        w, known = self.w, self.targets.get("process.pid")
        if known is not None and known.sure:
            return
        if self.unit.common and known is None and self.unit.facts.encoded:
            numbered = self.unit.facts.numbered
            if numbered is False:
                return
            if numbered is None:
                digits = "not pid.isdigit() or len(pid) > 8 or pid[0] == '0' and pid != '0'"
                self.unit.usual(f"pid is not None and ({digits})")
            self.targets["process.pid"] = Known("pid", sure=bool(numbered), form=WHOLE)
            return
        made = w.name("t")
        w.line(f"{made} = {self.unit.of_header('pid')}")
        with w.block(f"if {made} is not None:"):
            digits = f"{made}.isdigit() and len({made}) < 9 and {made}.isascii()"
            w.line(f"{made} = int({made}) if {digits} else process_id({made})")
            if not self.unit.headed:
                w.line(f"if h.program is None: {made} = None")
        self._setdefault("process.pid", made, sure=False, form=WHOLE)

    def _host(self) -> None:
        w, targets = self.w, self.targets
        name, other = targets.get("host.name"), targets.get("host.hostname")
        if self.unit.headless or any(k is not None and k.sure for k in (name, other)):
            return
        if name is None and other is None:
            if self.unit.headed:
                made = self.unit.fields.header("host")
            else:
                made = w.name("t")
                w.line(f"{made} = {self.unit.of_header('host')}")
            targets["host.name"] = Known(made, sure=self.unit.headed, plain=True, form=PART)
            self.host = made
            return
        made = w.name("t")
        codes = [known.code for known in (name, other) if known is not None]
        test = " or ".join(f"{code} is not None" for code in codes)
        given = name.code if name is not None else "None"
        w.line(f"{made} = {given} if {test} else {self.unit.of_header('host')}")
        targets["host.name"] = Known(made, plain=True)

    # What follows from others

    def _companions(self) -> None:
        for given, derive, outputs in COMPANIONS:
            known = self.targets.get(given)
            if known is None:
                continue
            open_ = [o for o in outputs if o not in self.targets or not self.targets[o].sure]
            if not open_:
                continue
            if self._told_apart(given):
                continue
            if derive is same:
                self._alias(known, outputs[0])
            elif f"url {known.name}" in self.unit.env.present:
                continue  # its parts have been assigned
            elif not self._is_address(given, known):
                self._derive(known, derive, outputs)

    def _told_apart(self, given: str) -> bool:
        """True for the parts of an endpoint, of which nothing else follows."""
        side = given.rpartition(".")[0]
        parts = [self.targets.get(f"{side}.{name}") for name in ("address", "ip", "domain")]
        names = tuple(known.name for known in parts if known is not None)
        return names in self.unit.endpoints

    def _is_address(self, given: str, known: Known) -> bool:
        """True for an address that is only the ip once more: nothing follows from it."""
        side, _, name = given.rpartition(".")
        ip = self.targets.get(f"{side}.ip")
        return name == "address" and ip is not None and bool(ip.name) and ip.name == known.name

    def _alias(self, known: Known, output: str) -> None:
        before = self.targets.get(output)
        if before is None:
            self.targets[output] = known
            return
        if before.name and before.name == known.name:
            return
        self._setdefault(output, known.code, sure=known.sure, plain=known.plain)

    def _derive(self, known: Known, derive: Any, outputs: tuple[str, ...]) -> None:
        w = self.w
        names = [w.name("t") for _ in outputs]
        whole = w.name("v")
        w.line(f"{' = '.join(names)} = None")
        with self._target_of_a_request(known, derive, outputs, names):
            w.line(f"{whole} = {w.bind(derive, 'F')}({known.code})")
            w.line(f"if {whole} is not None: {', '.join(names)}, = {whole}")
        for output, name in zip(outputs, names, strict=True):
            field = ECS.get(output)
            form = known.form if derive in _CUTTING else ""
            if field is not None and field.type in _JSON_FORMS:
                form = _JSON_FORMS[field.type]
            self._setdefault(output, name, sure=False, form=form)

    @contextmanager
    def _target_of_a_request(
        self, known: Known, derive: Any, outputs: tuple[str, ...], names: list[str]
    ) -> Iterator[None]:
        """Write where the parts of a value have to be derived: most URLs are a path and a query."""
        w, code = self.w, known.code
        if derive is not of_url or not (known.sure and known.plain):
            with w.block("if True:" if known.sure else f"if {code} is not None:"):
                yield
            return
        path, query, extension = (
            names[outputs.index(f"url.{name}")] for name in ("path", "query", "extension")
        )
        mark = w.name("v")
        with w.block(f"if {code}[0] == '/' and len({code}) <= {MAX_URL} and '#' not in {code}:"):
            w.line(f"{path}, {mark}, {query} = {code}.partition('?')")
            w.line(f"if not {query}: {query} = None")
            w.line(f"if '.' in {path}: {extension} = extension_of({path})")
        with w.block("else:"):
            yield

    def _shipped(self) -> dict[str, list[Known]]:
        """Write what the shipper says in ECS and is open, and what follows from that.

        What related fields are collected from before stands first in them.
        """
        said = self.unit.facts.said
        if not said:
            return {}
        first = {name: self._givers(name) for name in RELATED}
        own = self.w.name("v")
        self.w.line(f"{own} = f['said']")
        for path in said:
            target = shipped.target_of(path)
            before = self.targets.get(path)
            if target is None or (before is not None and before.sure and path not in RELATED):
                continue
            self.targets.pop(path, None)
            value = self.unit.fields.local(Operand(f"{own}[{path!r}]", RAW))
            self.unit.assigning.cast(target, Operand(value, RAW))
            given = self.targets[path]
            if before is not None and path in RELATED:
                both = self.w.name("t")
                self.w.line(f"{both} = unique(({given.code}, {before.code}))")
                self.targets[path] = Known(both, sure=before.sure)
            elif before is not None:
                self.targets[path] = before
                self._setdefault(
                    path, given.code, sure=given.sure, plain=given.plain, form=given.form
                )
        self._companions()
        return first

    def _givers(self, name: str) -> list[Known]:
        """What a related field is collected from."""
        return [k for giver in RELATED[name] if (k := self.targets.get(giver)) is not None]

    def _related(self, earlier: dict[str, list[Known]]) -> None:
        w = self.w
        for name in RELATED:
            before = self.targets.get(name)
            known = [*earlier.get(name, ()), *self._givers(name)]
            distinct = list({k.code: k for k in known}.values())
            if not distinct:
                continue
            made = w.name("r")
            sure = any(k.sure for k in distinct)
            form = ""
            if before is None and all(k.plain for k in distinct) and len(distinct) <= 2:
                self._few(made, distinct)
                form = self._few_form
            else:
                first = [before.code] if before is not None else []
                codes = ", ".join([*first, *(k.code for k in distinct)])
                if before is None and all(k.plain for k in distinct):
                    form = self._more(made, distinct)
                else:
                    w.line(f"{made} = unique(({codes},))")
                sure = sure or (before is not None and before.sure)
            self.targets[name] = Known(made, sure=sure, form=form)

    def _more(self, made: str, known: list[Known]) -> str:
        """Three or more texts as a list; its form."""
        codes = ", ".join(one.code for one in known)
        self.w.line(f"{made} = list(dict.fromkeys(filter(None, ({codes},)))) or None")
        return ""

    #: How what `_few` makes is written as JSON.
    _few_form = ""

    def _few(self, made: str, known: list[Known]) -> None:
        """One or two texts as a list."""
        w = self.w
        if len(known) == 1:
            code = known[0].code
            w.line(f"{made} = [{code}]" + ("" if known[0].sure else f" if {code} else None"))
            return
        one, two = known
        both = f"[{one.code}, {two.code}] if {one.code} != {two.code} else [{one.code}]"
        if one.sure and two.sure:
            w.line(f"{made} = {both}")
        elif one.sure:
            w.line(f"{made} = ({both}) if {two.code} else [{one.code}]")
        elif two.sure:
            w.line(f"{made} = ({both}) if {one.code} else [{two.code}]")
        else:
            w.line(
                f"{made} = (({both}) if {two.code} else [{one.code}]) if {one.code} "
                f"else [{two.code}] if {two.code} else None"
            )

    # Identity, header, own fields

    def _identity(self) -> None:
        w, identity = self.w, self.unit.program.identity
        if identity is not None:
            operand = self.unit.sources.value(identity)
            self.unit.present(operand)
            code = self.unit.fields.local(operand)
            given = self.unit.program.id
            if code in self.unit.env.present and code in self.unit.certain:
                sane = w.bind(SANE_ID.fullmatch, "R")
                w.line(f"if {sane}({code}) is not None: id = o.provided({given!r}, {code})")
            else:
                name = w.name("v")
                text = f"None if {code} is None or absent({code}) else identity_text({code})"
                w.line(f"{name} = {text}")
                w.line(f"if {name} is not None: id = o.provided({given!r}, {name})")
        if not self.unit.facts.short:
            w.line("if not id: id = o.place(offset)")
            return
        # What `place` does: a call costs a tenth of it.
        with w.block("if not id:"):
            w.line("own = o.begin()")
            w.line("digits = b'%d' % offset")
            w.line("own.update(LENGTHS[len(digits)] + digits)")
            w.line("id = own.hexdigest()")

    def _syslog(self) -> str:
        """Write what the header says besides; the variable, if it has to be added to what is."""
        w, targets = self.w, self.targets
        host, name, pid = (
            known.code if (known := targets.get(path)) is not None else "None"
            for path in ("host.name", "process.name", "process.pid")
        )
        if self.unit.headless:
            return ""
        apart = not any(path.startswith("log.syslog.") for path in targets)
        self._told = "syslog_json" if self.unit.facts.encoded and apart else "syslog_of"
        if self.unit.common:
            self._common_syslog(host, pid)
            return ""
        told = w.name("v")
        tests = ["h.priority is not None", "h.version is not None"]
        if host != self.host:
            tests.append(f"h.host != {host}")
        tests += [f"h.program != {name}", f"{pid} is None" if pid != "None" else "True"]
        head = "" if self.unit.headed else "h is not NO_HEADER and "
        call = f"{self._told}(h, {host}, {name}, {pid})"
        w.line(f"{told} = {call} if {head}({' or '.join(tests)}) else None")
        if not apart:
            return told
        targets["log.syslog"] = Known(told, form=READY if self._told == "syslog_json" else "")
        return ""

    def _common_syslog(self, host: str, pid: str) -> None:
        """Write that a common header says nothing besides."""
        name = self.targets["process.name"]
        if name.name or name.constant != self.unit.facts.common:
            raise Unsupported("the process is not the program of the header")
        if host != self.host:
            self.unit.usual(f"host != {host}")
        if pid != "pid" and self.unit.facts.numbered is not False:
            self.unit.usual(f"pid is not None and {pid} is None" if pid != "None" else "True")

    def _own_fields(self) -> None:
        """Write the source's own fields, and the targets that stand among them."""
        w, unit = self.w, self.unit
        if unit.is_text or not unit.program.keep:
            return
        root = unit.program.root
        self.blob = "f"
        if unit.format == "windows":
            root, self.blob = WINLOG, w.name("v")
            w.line(f"{self.blob} = winlog(f)")
        below = [path for path in self.targets if path.startswith(f"{root}.")]
        if unit.facts.groups is not None:
            self._own_groups(root, unit.facts.groups, below)
            return
        if unit.facts.canonical:
            if below:
                raise Unsupported("more stands among the fields than in the line")
            w.line("blob = original")
            self.targets[root] = Known("blob", sure=True, form=READY)
            return
        for path in below:
            known = self.targets.pop(path)
            steps = w.bind(tuple(path[len(root) + 1 :].split(".")), "S")
            test = "" if known.sure else f"if {known.code} is not None: "
            w.line(f"{test}put_below({self.blob}, {steps}, {known.code})")
        self.targets[root] = Known(self.blob, sure=True)

    def _own_groups(self, root: str, groups: Groups, below: list[str]) -> None:
        """Note the source's own fields, which are groups of a match."""
        looked = self.unit.env.looked
        given = {name: Known(looked[(name,)], sure=True, form=PART) for name in groups.names}
        given |= {name: constant(value) for name, value in groups.fixed.items()}
        labels = {text: given[name] for text, name in groups.labels.items()}
        if any(path[len(root) + 1 :].split(".")[0] in (*given, "labels") for path in below):
            raise Unsupported("a target replaces one of the line's own fields")
        self.own = (root, {**given, **({"labels": labels} if labels else {})})

    # The document

    def _tree(self, moment: str) -> Tree:
        tree: Tree = {}
        leaves: dict[str, Known] = {
            "@timestamp": Known(self._stamp(moment), sure=True, form=SAFE),
            **self.targets,
            "event.id": Known("id", sure=True, form=SAFE),
            "event.created": Known("o.created", sure=True, form=SAFE),
            "event.original": Known("original", sure=True, form=PART),
            "ecs": Known(self.w.bind({"version": ECS_VERSION}, "E"), sure=True),
            "tocsin": Known(self._own(), sure=True),
        }
        for path, known in leaves.items():
            *parents, last = path.split(".")
            node = tree
            for name in parents:
                node = node.setdefault(name, {})
                if not isinstance(node, dict):
                    raise Unsupported(f"{path} stands within a value")
            if last in node:
                raise Unsupported(f"{path} is a value and an object")
            node[last] = known
        if self.own is not None:
            root, fields = self.own
            node = tree
            for name in root.split("."):
                node = node.setdefault(name, {})
            node.update(fields)
        return tree

    def _stamp(self, moment: str) -> str:
        name = self.w.name("s")
        self.w.line(f"{name} = {moment}[1]")
        return name

    def _own(self) -> str:
        program = self.unit.program
        parser = self.w.bind({"name": program.id, "version": program.version}, "E")
        return f'{{"origin": f"{{o.prefix}}{{offset}}", **o.whence, "parser": {parser}}}'

    def _object(self, tree: Tree) -> tuple[str, str]:
        """The expression of an object, and when it is not empty ("": always)."""
        w = self.w
        certain: list[str] = []
        perhaps: list[tuple[str, str, str]] = []
        for key, child in tree.items():
            if isinstance(child, Known):
                test = "" if child.sure else f"{child.code} is not None"
                code = child.code
            else:
                code, test = self._object(child)
            if test:
                perhaps.append((key, code, test))
            else:
                certain.append(f"{key!r}: {code}")
        literal = f"{{{', '.join(certain)}}}"
        if not perhaps:
            return literal, ""
        if not certain and len(perhaps) == 1:
            key, code, test = perhaps[0]
            return f"{{{key!r}: {code}}}", test
        name = w.name("n")
        w.line(f"{name} = {literal}")
        for key, code, test in perhaps:
            w.line(f"if {test}: {name}[{key!r}] = {code}")
        return name, "" if certain else name

    # The route header

    def _route(self, value: str) -> str:
        """Write the header `route` (tocsin.route) of a document; its expression."""
        w = self.w
        keys: list[str] = []
        constant: dict[str, Any] = {}
        for path in (*ROUTE_FIELDS, *ROUTE_PRESENCE):
            known = self.targets.get(path)
            if known is None:
                if path.startswith(f"{WINLOG}.") and self.blob not in ("", "f"):
                    keys.append(f"look({self.blob}, {w.bind(tuple(path.split('.')[1:]), 'S')})")
                elif path.split(".", 1)[0] == self.unit.program.root.split(".", 1)[0]:
                    return self._unknown_route(value)
            elif not known.name:
                value_ = known.constant if known.form != READY else orjson.loads(known.constant)
                _set(constant, path, value_)
            elif path in ROUTE_PRESENCE:
                keys.append(f"{known.code} is not None")
            elif known.plain or known.form == READY:
                keys.append(known.code)
            else:
                code = known.code
                text = f"{code} if {code}.__class__ is str else None"
                keys.append(f"(tuple({code}) if {code}.__class__ is list else {text})")
        if not keys:
            return repr(route_of(constant))
        routes, name, key = w.bind({}, "U"), w.name("q"), w.name("k")
        w.line(f"{key} = {keys[0]}" if len(keys) == 1 else f"{key} = ({', '.join(keys)},)")
        if any(code.startswith("look(") for code in keys):
            w.line(f"{name} = routed({routes}, {key}, {value})")
            return name
        w.line(f"{name} = {routes}.get({key})")
        w.line(f"if {name} is None: {name} = routed({routes}, {key}, {value})")
        return name

    def _unknown_route(self, value: str) -> str:
        """The route of a document of which nothing is known that decides it."""
        return f"route_of({value})"


def _set(document: Tree, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        document = document.setdefault(name, {})
    document[last] = value
