"""Loading playbooks: all of them or, with every mistake of every file at once, none."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from playbooks import model
from playbooks.building import build, nearest
from playbooks.linking import CHILDREN, link, with_children
from playbooks.source import KeyPath, Source, mistakes, read_source
from tocsin.errors import ContentErrors, Place, PlaybookError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from playbooks.program import Playbook
    from responders.base import Action

#: Where the playbooks that come with Tocsin are.
LIBRARY = Path(__file__).parent / "library"
#: Playbook files in a directory end so, unless they end in TESTS: those are tests of playbooks.
SUFFIXES = (".yml", ".yaml")
TESTS = (".test.yml", ".test.yaml")


@dataclass(frozen=True, slots=True)
class PlaybookSet:
    """Valid playbooks, by id."""

    playbooks: Mapping[str, Playbook]

    def __iter__(self) -> Iterator[Playbook]:
        return iter(self.playbooks.values())

    def __len__(self) -> int:
        return len(self.playbooks)

    def by_hash(self, playbook_hash: str) -> Playbook | None:
        """The playbook with this content, None if none is loaded."""
        return next((p for p in self if p.hash == playbook_hash), None)


def load_playbooks(
    paths: Iterable[Path],
    builtin: Literal["all"] | Collection[str] = "all",
    *,
    actions: Mapping[str, Action],
    guard_lists: Collection[str] | None = None,
    known_verbs: Collection[str] | None = None,
) -> PlaybookSet:
    """Load files, directories (recursively) and playbooks of the library, in order of path.

    `actions` are the verbs that configured connectors serve, `known_verbs` all that any
    connector type offers, `guard_lists` the configured names of guard lists; None leaves either
    unchecked.
    Raises ContentErrors with all mistakes.
    """
    sources = [_read(path) for path in _files(paths)]
    sources += [_read(path) for path in _library(builtin, sources)]
    found: dict[str, Playbook] = {}
    for source in sources:
        playbook = _playbook(source, actions, guard_lists, known_verbs)
        if playbook is None:
            continue
        if (other := found.get(playbook.id)) is not None:
            source.complain(
                ("metadata", "id"),
                f"the id '{playbook.id}' is taken by {other.origin}",
                "choose another, or name the builtin playbooks to load in playbooks.builtin",
            )
        found[playbook.id] = playbook
    origins = {source.path: source for source in sources}
    linked = link(found, lambda one, at, *said: origins[one.origin].complain(at, *said))
    if errors := mistakes(sources):
        raise ContentErrors(errors)
    return PlaybookSet(linked)


def load_playbook(
    path: str,
    data: bytes,
    actions: Mapping[str, Action],
    known_verbs: Collection[str] | None = None,
    others: Mapping[str, Playbook] | None = None,
) -> Playbook:
    """One playbook from its bytes. Raises ContentErrors with all mistakes.

    `others` are the playbooks it may run; None leaves what it runs unchecked and out of it.
    """
    source = read_source(path, data)
    playbook = _playbook(source, actions, None, known_verbs)
    if playbook is not None and others is not None:
        own = playbook.id

        def complain(one: Playbook, at: KeyPath, message: str, suggestion: str) -> None:
            if one.id == own:
                source.complain(at, message, suggestion)

        playbook = link({**others, own: playbook}, complain)[own]
    if source.errors or playbook is None:
        raise ContentErrors(mistakes([source]))
    return playbook


def neighbours(
    path: Path, actions: Mapping[str, Action], known_verbs: Collection[str] | None = None
) -> dict[str, Playbook]:
    """The playbooks that one at `path` may run: those beside it, and those of the library.

    One that has mistakes is left out: it is not the one that is looked at.
    """
    found: dict[str, Playbook] = {}
    for file in [*_files([LIBRARY]), *_files([path.parent])]:
        if file.resolve() == path.resolve():
            continue
        source = _read(file)
        playbook = _playbook(source, actions, None, known_verbs)
        if playbook is not None and not source.errors:
            found[playbook.id] = playbook
    return found


def from_canonical(source: Mapping[str, Any], actions: Mapping[str, Action]) -> Playbook:
    """A playbook from the canonical form that a run has pinned.

    It was valid when the run started; a verb that no connector serves any more makes its step
    fail, not the run. Raises ValueError if it does not validate or compile (a later version
    of the language).
    """
    own = {key: value for key, value in source.items() if key != CHILDREN}
    playbook, problems = build(model.PlaybookDocument.parse(own), actions)
    if playbook is None:
        raise ValueError(f"the pinned playbook does not compile: {problems[0].message}")
    children = source.get(CHILDREN, {})
    return with_children(
        playbook, {name: from_canonical(each, actions) for name, each in children.items()}
    )


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(
                file
                for file in path.rglob("*")
                if file.name.endswith(SUFFIXES) and not file.name.endswith(TESTS)
            )
        else:
            yield path


def _library(builtin: Literal["all"] | Collection[str], sources: list[Source]) -> Sequence[Path]:
    have = {path.stem: path for path in _files([LIBRARY])}
    if builtin == "all":
        return list(have.values())
    for name in builtin:
        if name not in have:
            missing = Source("tocsin.yaml")
            missing.complain(
                ("playbooks", "builtin"), f"no builtin playbook '{name}'", nearest(name, have)
            )
            sources.append(missing)
    return [have[name] for name in builtin if name in have]


def _read(path: Path) -> Source:
    try:
        return read_source(str(path), path.read_bytes())
    except OSError as error:
        source = Source(str(path))
        source.errors.append(
            PlaybookError(f"the file cannot be read: {error.strerror}", Place(str(path)))
        )
        return source


def _playbook(
    source: Source,
    actions: Mapping[str, Action],
    guard_lists: Collection[str] | None,
    known_verbs: Collection[str] | None,
) -> Playbook | None:
    if source.value is None:
        return None
    try:
        document = model.PlaybookDocument.parse(source.value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        _explain(source, details)
        known = _without_unknown_keys(source.value, details)
        if known is None:
            return None
        document = known
    playbook, problems = build(
        document, actions, guard_lists=guard_lists, known_verbs=known_verbs, origin=source.path
    )
    for problem in problems:
        source.complain(*problem)
    return playbook


def _without_unknown_keys(
    value: Any, details: Sequence[ErrorDetails]
) -> model.PlaybookDocument | None:
    """The document without its unknown keys, so that they do not hide the mistakes of meaning.

    None if that does not make it valid in form.
    """
    if any(detail["type"] != "extra_forbidden" for detail in details):
        return None
    left = deepcopy(value)
    for detail in details:
        *parents, key = (part for part in detail["loc"] if not _is_tag(part))
        holder = left
        for part in parents:
            holder = holder[part]
        del holder[key]
    try:
        return model.PlaybookDocument.parse(left)
    except ValidationError:
        return None


def _explain(source: Source, details: Sequence[ErrorDetails]) -> None:
    """Pydantic's complaints in the words of a playbook, at their places."""
    for detail in details:
        at = tuple(part for part in detail["loc"] if not _is_tag(part))
        match detail["type"]:
            case "extra_forbidden":
                known = _known_keys(detail["loc"][:-1])
                source.complain(at, f"unknown key '{at[-1]}'", nearest(str(at[-1]), known))
            case "missing":
                source.complain(at, f"'{at[-1]}' is missing")
            case "literal_error":
                expected = str(detail.get("ctx", {}).get("expected", ""))
                word = str(detail["input"])[:60]
                source.complain(at, f"'{word}' is not one of {expected}")
            case "string_pattern_mismatch":
                pattern = detail.get("ctx", {}).get("pattern", "")
                source.complain(at, f"'{str(detail['input'])[:60]}' is not of the form {pattern}")
            case "too_short" if _has_deeper(detail["loc"], details):
                continue  # an item that is wrong was left out of the count
            case _:
                source.complain(at, detail["msg"][0].lower() + detail["msg"][1:])


def _is_tag(part: object) -> bool:
    return isinstance(part, str) and part.startswith("<")


def _has_deeper(location: KeyPath, details: Sequence[ErrorDetails]) -> bool:
    depth = len(location)
    return any(d["loc"][:depth] == location and len(d["loc"]) > depth for d in details)


def _known_keys(location: KeyPath) -> list[str]:
    name = next((part for part in reversed(location) if isinstance(part, str)), "")
    return model.known_keys(model.KEYS[name]) if name in model.KEYS else []
