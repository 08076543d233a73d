"""Finding and reading rule files: files, directories and archives, all bounded.

Nothing is extracted to disk; an archive's members are read one by one in memory.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml
from sigma.rule.base import check_alias_expansion

from tocsin.errors import Place, RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: Largest rule file, bytes.
MAX_FILE = 4 * 1024 * 1024
#: Most rule files of one load, and their bytes together.
MAX_FILES = 50_000
MAX_TOTAL = 256 * 1024 * 1024
#: Deepest nesting of a rule; pySigma and the matcher walk rules recursively.
MAX_DEPTH = 30

_SUFFIXES = (".yml", ".yaml")
#: Tests of NAME.yml may stand in NAME.test.yml beside it; they are no rules.
TEST_SUFFIXES = (".test.yml", ".test.yaml")
_ARCHIVES = (".tar.gz", ".tgz", ".zip")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A rule file: the name people know it by and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a file: the `index`th (from 0), beginning at `line` and `column`."""

    file: SourceFile
    index: int
    content: dict[str, Any]
    line: int = 1
    column: int = 0

    @property
    def start(self) -> Place:
        """Where the document stands."""
        return Place(self.file.name, self.line, self.column)

    def place(self, *path: str | int) -> Place:
        """Where the value at `path` (keys and list positions) stands in the file."""
        return locate(self.file, self.index, path)


class _Loader(yaml.CSafeLoader):
    """Safe YAML that refuses a key written twice, which would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def is_archive(path: Path) -> bool:
    """Whether the path is read as an archive of rules."""
    return path.name.endswith(_ARCHIVES) and not path.is_dir()


def read(
    paths: Sequence[Path], errors: list[RuleError], budget: Budget | None = None
) -> Iterator[SourceFile]:
    """Every rule file below `paths`, in a stable order; what cannot be read goes to `errors`.

    `budget` is what all reads of one load share.
    """
    budget = budget or Budget()
    for path in paths:
        try:
            for name, data in _members(path):
                budget.take(len(data))
                if len(data) > MAX_FILE:
                    errors.append(RuleError(f"the file has over {MAX_FILE} bytes", Place(name)))
                    continue
                try:
                    text = data.decode("utf-8-sig")
                except UnicodeDecodeError as error:
                    line = data.count(b"\n", 0, error.start) + 1
                    errors.append(RuleError(f"the file is not UTF-8: {error}", Place(name, line)))
                    continue
                yield SourceFile(name, text)
        except _UNREADABLE as error:
            errors.append(RuleError(f"cannot be read: {error}", Place(str(path))))


_UNREADABLE = (OSError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


class Budget:
    """How much one load may still read."""

    def __init__(self) -> None:
        self._files, self._bytes = 0, 0

    def take(self, size: int) -> None:
        """Count a file of `size` bytes; raises ValueError if that is too much."""
        self._files += 1
        self._bytes += size
        if self._files > MAX_FILES or self._bytes > MAX_TOTAL:
            raise ValueError(f"more than {MAX_FILES} files or {MAX_TOTAL} bytes of rules")


def stamp(paths: Sequence[Path]) -> frozenset[tuple[str, int, int, int]]:
    """What tells whether rule files changed, without reading them: name, time, size, inode."""
    found = set()
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else (path,):
            if file is path or _is_rule(file.name):
                try:
                    status = file.stat()
                except OSError:
                    continue  # gone between the two: then the next look sees another stamp
                found.add((str(file), status.st_mtime_ns, status.st_size, status.st_ino))
    return frozenset(found)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for child in sorted(path.rglob("*")):
            if _is_rule(child.name) and child.is_file():
                with child.open("rb") as stream:
                    yield str(child), stream.read(MAX_FILE + 1)
    elif is_archive(path):
        members = _zip_members if path.name.endswith(".zip") else _tar_members
        for name, data in members(path):
            yield f"{path}!{name}", data
    else:
        with path.open("rb") as stream:
            yield str(path), stream.read(MAX_FILE + 1)


def _is_rule(name: str) -> bool:
    return name.endswith(_SUFFIXES) and not name.endswith(TEST_SUFFIXES)


def _tar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    # As a stream: each block is decompressed once, and a bomb is cut off by the budget.
    with tarfile.open(path, "r|*") as archive:
        passed = 0
        for member in archive:
            passed += member.size
            if passed > MAX_TOTAL:
                raise ValueError(f"the archive holds more than {MAX_TOTAL} bytes")
            if member.isfile() and _is_rule(member.name):
                stream = archive.extractfile(member)
                if stream is not None:
                    yield member.name, stream.read(MAX_FILE + 1)


def _zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and _is_rule(member.filename):
                with archive.open(member) as stream:
                    yield member.filename, stream.read(MAX_FILE + 1)


def parse(file: SourceFile, errors: list[RuleError]) -> list[Document]:
    """The YAML documents of a file that are mappings; everything else goes to `errors`."""
    try:
        starts = _starts(file.text)
        loaded = list(yaml.load_all(file.text, _Loader))
    except yaml.YAMLError as error:
        errors.append(RuleError(f"no YAML: {_problem(error)}", _mark(file, error)))
        return []
    except ValueError as error:  # nested too deep, an impossible date
        errors.append(RuleError(f"no YAML: {error}", Place(file.name)))
        return []
    documents: list[Document] = []
    for index, content in enumerate(loaded):
        if content is None:
            continue
        if not isinstance(content, dict):
            errors.append(RuleError("a rule must be a mapping", locate(file, index, ())))
            continue
        try:
            check_alias_expansion(content)
        except ValueError as error:
            errors.append(RuleError(str(error), locate(file, index, ())))
            continue
        documents.append(Document(file, index, content, *starts[index]))
    return documents


def _starts(text: str) -> list[tuple[int, int]]:
    """Line and column of each document (the first begins with its file).

    Refuses deep nesting before the tree is built: libyaml's composer overflows the C stack.
    """
    depth, begins = 0, False
    starts: list[tuple[int, int]] = []
    for event in yaml.parse(text, yaml.CSafeLoader):
        if begins:
            mark = event.start_mark if starts else None
            starts.append((1, 0) if mark is None else (mark.line + 1, mark.column + 1))
        begins = isinstance(event, yaml.DocumentStartEvent)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return starts


def _problem(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error)


def _mark(file: SourceFile, error: yaml.YAMLError) -> Place:
    # What was begun and never ended says more than the end of the file.
    mark = getattr(error, "context_mark", None) or getattr(error, "problem_mark", None)
    return Place(file.name) if mark is None else Place(file.name, mark.line + 1, mark.column + 1)


def locate(file: SourceFile, index: int, path: Sequence[str | int]) -> Place:
    """The place of the value at `path` in a document, or of the nearest value around it.

    Reads the file once more: only errors ask, mostly several of one file.
    """
    nodes = _nodes(file.text)
    if index >= len(nodes):
        return Place(file.name)
    node, mark, known = nodes[index], nodes[index].start_mark, list[str]()
    for step in path:
        child, child_mark = _child(node, step)
        if child is None:
            break
        node, mark = child, child_mark
        known.append(str(step))
    return Place(file.name, mark.line + 1, mark.column + 1, ".".join(known))


@lru_cache(maxsize=4)
def _nodes(text: str) -> tuple[Any, ...]:
    """The documents as nodes with their places; none if the text is no YAML."""
    try:
        _starts(text)
        return tuple(yaml.compose_all(text, yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError):
        return ()


def _child(node: Any, step: str | int) -> tuple[Any, Any]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark
    return None, None
