"""Compound targets in generated code: one value that is taken apart over several fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.mapping import parts
from ingest.mapping.emitting import SAFE, TEXT, WHOLE, Operand
from ingest.mapping.targets import IP, KEYWORD, LONG

if TYPE_CHECKING:
    from ingest.mapping.compiler import Unit
    from ingest.mapping.program import Spread

#: What cuts pieces out of its value and changes nothing in them.
_CUTTING = frozenset({parts.endpoint, parts.ip_or_host, parts.nat, parts.user})


class SpreadCode:
    """Writes the compound targets of one function."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.w = unit.w

    def spread(self, statement: Spread) -> None:
        """Write taking a value apart over several targets."""
        operand = self.unit.sources.value(statement.source)
        if operand.nothing:
            return
        if self.unit.assume and operand.kind == TEXT and operand.code in self.unit.certain:
            if statement.function is parts.ip_or_host:
                out = self.w.name("t")
                self.w.line(f"{out} = {operand.code}")
                # Asked directly: a call of ours costs half as much again.
                self.w.line(f"try: inet_pton(INET, {out})")
                with self.w.block("except (OSError, ValueError):"):
                    self.w.line(f"{out} = address({out})")
                    self.unit.usual(f"{out} is None")
                self.unit.env.present[operand.code] = operand.code
                self.unit.put(statement.targets[0], out, sure=True, plain=True, form=SAFE)
                return
            if statement.function is parts.endpoint and self.unit.present(operand):
                self._endpoint(statement, operand)
                return
            if statement.function is parts.url and self.unit.present(operand):
                self._url(statement, operand)
                return
        self._spread(statement, operand)

    def _endpoint(self, statement: Spread, operand: Operand) -> None:
        """An endpoint, which is an address more often than not."""
        w, value = self.w, operand.code
        if value in self.unit.addresses:
            w.line(f"try: inet_pton(INET, {value})")
            w.line(f"except (OSError, ValueError): return {self.unit.unusual}")
            for target in statement.targets[:2]:
                self.unit.put(target, value, sure=True, plain=True, form=SAFE)
            return
        names = [w.name("t") for _ in statement.targets]
        shown, ip, domain, port = names
        whole = w.name("v")
        w.line(f"{ip} = address({value})")
        with w.block(f"if {ip} is not None:"):
            w.line(f"{shown} = {value}")
            w.line(f"{domain} = {port} = None")
        with w.block("else:"):
            w.line(f"{' = '.join(names)} = None")
            w.line(f"{whole} = {w.bind(statement.function, 'F')}({value})")
            w.line(f"if {whole} is not None: {', '.join(names)}, = {whole}")
        forms = {IP: SAFE, LONG: WHOLE}
        for target, name in zip(statement.targets, names, strict=True):
            form = forms.get(target.type, operand.form)
            self.unit.put(target, name, sure=False, plain=True, form=form)
        self.unit.endpoints.add((shown, ip, domain))

    def _url(self, statement: Spread, operand: Operand) -> None:
        """A URL that has a path, as almost all have."""
        if self.unit.facts.short:
            self._target(statement, operand)
            return
        names = [self.w.name("t") for _ in statement.targets]
        whole = self.w.name("v")
        self.w.line(f"{whole} = {self.w.bind(parts.url, 'F')}({operand.code})")
        self.unit.usual(f"{whole} is None")
        self.w.line(f"{', '.join(names)}, = {whole}")
        path = names[parts.URL.index("path")]
        self.unit.usual(f"{path} is None")
        names[0] = operand.code
        self.unit.env.present[f"url {operand.code}"] = operand.code
        for target, name in zip(statement.targets, names, strict=True):
            number = target.type == LONG
            self.unit.put(
                target,
                name,
                sure=name in (operand.code, path),
                plain=True,
                form=WHOLE if number else "" if target.path == "url.username" else operand.form,
            )

    def _target(self, statement: Spread, operand: Operand) -> None:
        """A request's target: a path, perhaps with a query."""
        w, code = self.w, operand.code
        path, mark, query, extension = (w.name("t") for _ in range(4))
        self.unit.usual(f"{code}[0] != '/' or '#' in {code}")
        w.line(f"{path}, {mark}, {query} = {code}.partition('?')")
        w.line(f"if not {query}: {query} = None")
        w.line(f"{extension} = extension_of({path}) if '.' in {path} else None")
        self.unit.env.present[f"url {code}"] = code
        known = {"original": code, "path": path, "query": query, "extension": extension}
        for target in statement.targets:
            name = known.get(target.path.removeprefix("url."))
            if name is not None:
                self.unit.put(
                    target, name, sure=name in (code, path), plain=True, form=operand.form
                )

    def _spread(self, statement: Spread, operand: Operand) -> None:
        w = self.w
        names = [w.name("t") for _ in statement.targets]
        value, whole = self.unit.fields.local(operand), w.name("v")
        w.line(f"{' = '.join(names)} = None")
        with w.block(f"if not ({self.unit.fields.is_absent(Operand(value, operand.kind))}):"):
            w.line(f"{whole} = {w.bind(statement.function, 'F')}({value})")
            w.line(f"if {whole} is not None: {', '.join(names)}, = {whole}")
        for target, name in zip(statement.targets, names, strict=True):
            plain = target.type in (KEYWORD, IP, LONG) and not target.many
            cut = operand.form if statement.function in _CUTTING else ""
            form = {IP: SAFE, LONG: WHOLE}.get(target.type, cut) if plain else ""
            self.unit.put(target, name, sure=False, plain=plain, form=form)
