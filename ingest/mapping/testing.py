"""Running the tests inside mappings: a raw line, and the fields its event must have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ingest.normalize import Delivery, Normalizer
from ingest.times import read_time
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.mapping.library import Library
    from ingest.mapping.model import Example
    from ingest.mapping.program import Program
    from tocsin.contracts import Document

#: When test lines are received: 2024-06-01T12:00:00Z.
RECEIVED = 1_717_243_200_000


@dataclass(frozen=True, slots=True)
class Failure:
    """What a test of a mapping did not get."""

    file: str
    mapping: str
    test: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.test}: {self.message}"


def run(library: Library, ids: Iterable[str] = ()) -> list[Failure]:
    """The failures of the tests of these mappings, or of all; each runs among all mappings."""
    wanted = set(ids) or set(library.programs)
    normalizer = Normalizer(library)
    return [
        failure
        for program in library.programs.values()
        if program.id in wanted
        for failure in check(program, normalizer)
    ]


def check(program: Program, normalizer: Normalizer) -> list[Failure]:
    """The failures of one mapping's tests."""
    model = program.model
    if model is None or not model.tests:
        return [Failure(program.file, program.id, "(tests)", "a mapping without a test")]
    return [
        Failure(program.file, program.id, example.name, message)
        for example in model.tests
        for message in _problems(program, example, normalizer)
    ]


def _problems(program: Program, example: Example, normalizer: Normalizer) -> list[str]:
    data = example.raw.encode() if isinstance(example.raw, str) else orjson.dumps(example.raw)
    raw = Delivery(data, example.source, "default", RECEIVED, ("raw", 0, 0), "", example.timezone)
    try:
        made = normalizer.events(raw)
    except BadInput as error:
        return [f"dead letter {error.reason_code}: {error}"]
    if not made:
        return ["no event"]
    document = orjson.loads(orjson.dumps(made[0][0]))
    parser = document["tocsin"]["parser"]["name"]
    if not example.mapping:
        return ["recognised, and must not be"] if parser == program.id else []
    if parser != program.id:
        return [f"recognised as {parser}"]
    wrong = [
        f"{path}: {_get(document, path)!r}, expected {wanted!r}"
        for path, wanted in example.expect.items()
        if not same(path, _get(document, path), wanted)
    ]
    there = [f"{path} is there" for path in example.absent if _get(document, path) is not None]
    return wrong + there


def same(path: str, value: Any, wanted: Any) -> bool:
    """Equal; an instant may be written without its milliseconds, one value without its list."""
    if value == wanted:
        return True
    if isinstance(value, list) and not isinstance(wanted, list):
        return value == [wanted]
    if isinstance(value, str) and isinstance(wanted, str) and value[10:11] == "T":
        found = read_time(wanted, RECEIVED)
        return found is not None and found[1] == value
    return False


def _get(document: Document, path: str) -> Any:
    """The value at a dotted path, where a key may itself contain dots."""
    if path in document:
        return document[path]
    head, _, rest = path.partition(".")
    while rest:
        inner = document.get(head)
        if isinstance(inner, dict) and (found := _get(inner, rest)) is not None:
            return found
        more, _, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None
