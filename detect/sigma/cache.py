"""Compiled rules kept from one start to the next, by the content of their files.

Parsing and compiling all published rules takes seconds, reading them back a fraction of one. For
each source (a directory, a file, an archive) there is one segment: the compiled parts of each of
its files, by the SHA-256 of the file's text. A file that changed is compiled anew, the others are
not. Files with mistakes are never kept: their mistakes are found, and reported, each time.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from detect.model import AlertPolicy
from detect.sigma.codec import Unencodable, decode, encode
from detect.sigma.files import Document, SourceFile, is_archive, parse, read
from detect.sigma.metadata import plain
from detect.sigma.parsing import Draft, draft
from detect.sigma.prepare import Part, Prepared, part_of
from detect.sigma.segments import EMPTY, Entry, Segment, read_segment, segment_file, write_segment
from detect.sigma.taxonomy import Logsource
from tocsin.contracts import Rule
from tocsin.errors import Place
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from detect.sigma.files import Budget
    from tocsin.errors import RuleError


class Stale(ValueError):
    """What was kept cannot be used after all."""


class RuleCache:
    """The segments of one directory, for one load.

    With `trust_archives` an archive whose bytes did not change is not even unpacked; then its
    rules know their places, but not the text there, and `unread` says so.
    """

    def __init__(self, directory: Path, *, trust_archives: bool = True) -> None:
        self._directory = directory
        self._trust_archives = trust_archives
        self.unread = False

    def parts(
        self,
        path: Path,
        placeholders: Mapping[str, Sequence[str]],
        errors: list[RuleError],
        budget: Budget,
    ) -> list[Part]:
        """The parts of all files of a source, in order; mistakes go to `errors`."""
        file = segment_file(self._directory, path)
        kept = read_segment(file)
        archive = _archive(path, placeholders)
        if archive and archive == kept.archive and self._trust_archives:
            try:
                parts = [part for entry in kept.entries for part in _unread(entry)]
            except Stale:
                kept = EMPTY
            else:
                self.unread = True
                return parts
        return self._read(path, file, kept, archive, placeholders, errors, budget)

    def _read(
        self,
        path: Path,
        file: Path,
        kept: Segment,
        archive: str,
        placeholders: Mapping[str, Sequence[str]],
        errors: list[RuleError],
        budget: Budget,
    ) -> list[Part]:
        known = {entry.key: entry for entry in kept.entries}
        parts: list[Part] = []
        entries: list[Entry] = []
        mistakes: list[RuleError] = []
        complete = True
        for source in read([path], mistakes, budget):
            found, entry = _parts_of(source, known, placeholders, mistakes)
            parts += found
            if entry is None:
                complete = False
            else:
                entries.append(entry)
        errors += mistakes
        made = Segment(archive if complete and not mistakes else "", entries)
        if made.archive != kept.archive or _keys(made) != _keys(kept):
            write_segment(file, made)
        return parts


def _keys(segment: Segment) -> list[tuple[str, str]]:
    return [(entry.name, entry.key) for entry in segment.entries]


def _archive(path: Path, placeholders: Mapping[str, Sequence[str]]) -> str:
    """What the parts of an archive follow from; empty for what is none or cannot be read."""
    if not is_archive(path):
        return ""
    try:
        with path.open("rb") as stream:
            made = sha256()
            while block := stream.read(1 << 20):
                made.update(block)
    except OSError:
        return ""  # reading it says what is wrong
    made.update(content_hash({name: list(each) for name, each in placeholders.items()}).encode())
    return made.hexdigest()


def _key(text: str, placeholders: Mapping[str, Sequence[str]]) -> str:
    """What the parts of a file follow from: its text and, if it may name them, the lists."""
    made = sha256(text.encode())
    if placeholders and "expand" in text:
        made.update(content_hash({name: list(v) for name, v in placeholders.items()}).encode())
    return made.hexdigest()


def _parts_of(
    file: SourceFile,
    known: Mapping[str, Entry],
    placeholders: Mapping[str, Sequence[str]],
    errors: list[RuleError],
) -> tuple[list[Part], Entry | None]:
    """The parts of a file, and what is to be kept of it: nothing if there is a mistake in it."""
    key = _key(file.text, placeholders)
    if (entry := known.get(key)) is not None:
        try:
            return _decoded(file, entry.parts), entry._replace(name=file.name)
        except Stale:
            pass
    mistakes: list[RuleError] = []
    parts = [
        part
        for document in parse(file, mistakes)
        for part in part_of(document, placeholders, mistakes)
    ]
    errors += mistakes
    encoded = None if mistakes else _encoded(parts)
    return parts, None if encoded is None else Entry(file.name, key, encoded)


def _unread(entry: Entry) -> list[Part]:
    return _decoded(SourceFile(entry.name, ""), entry.parts)


def _encoded(parts: Sequence[Part]) -> list[list[Any]] | None:
    """The parts as JSON values; None if JSON cannot hold them as they are.

    Such are tests with dates, which YAML reads as more than text, and numbers beyond 64 bits.
    """
    try:
        found = [_of_rule(p) if isinstance(p, Prepared) else _of_draft(p) for p in parts]
        return found if orjson.loads(orjson.dumps(found)) == found else None
    except (Unencodable, orjson.JSONEncodeError):
        return None


def _of_rule(part: Prepared) -> list[Any]:
    return [
        "rule",
        part.index,
        part.start.line,
        part.start.column,
        part.rule.model_dump(mode="json"),
        part.name,
        list(part.logsource),
        None if part.condition is None else encode(part.condition),
        part.refused,
        [list(part.policy.dedup), part.policy.window, part.policy.severity],
        part.alerts,
        part.ecs,
        list(part.tests),
    ]


def _of_draft(part: Draft) -> list[Any]:
    """Correlations and filters are few: they are kept as they were written and parsed again."""
    content = part.document.content
    kept = {**plain({k: v for k, v in content.items() if k != "tests"})}
    if "tests" in content:
        kept["tests"] = content["tests"]
    document = part.document
    return ["other", document.index, document.line, document.column, kept]


def _decoded(file: SourceFile, encoded: Sequence[Sequence[Any]]) -> list[Part]:
    """The parts that `_encoded` wrote; raises Stale for anything else."""
    parts: list[Part] = []
    try:
        for kind, *fields in encoded:
            parts.append(_rule(file, fields) if kind == "rule" else _draft(file, fields))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Stale(f"{file.name}: {error}") from None
    return parts


def _rule(file: SourceFile, fields: list[Any]) -> Prepared:
    (index, line, column, rule, name, logsource, condition, refused, policy, alerts, ecs, tests
     ) = fields  # fmt: skip
    dedup, window, severity = policy
    return Prepared(
        file=file,
        index=index,
        start=Place(file.name, line, column),
        rule=Rule.model_validate(rule),
        name=name,
        logsource=Logsource(*logsource),
        condition=None if condition is None else decode(condition),
        refused=refused,
        policy=AlertPolicy(tuple(dedup), window, severity),
        alerts=alerts,
        ecs=ecs,
        tests=tuple(tests),
    )


def _draft(file: SourceFile, fields: list[Any]) -> Part:
    index, line, column, content = fields
    mistakes: list[RuleError] = []
    found = draft(Document(file, index, content, line, column), mistakes)
    if found is None:
        raise Stale(f"{file.name}: {mistakes}")
    return found
