"""Reading a CACAO file: one meaning per text, bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playbooks.cacao.problems import Problems

#: Largest file, bytes, and deepest nesting.
MAX_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 40


class _Twice(ValueError):
    """A key that stands twice in one object."""


def read_cacao(data: bytes, problems: Problems) -> dict[str, Any] | None:
    """The JSON object in `data`; None (and an error noted) if it is none."""
    if len(data) > MAX_BYTES:
        problems.error((), f"the file has {len(data)} bytes, at most {MAX_BYTES} are read")
        return None
    try:
        value = json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_number
        )
    except _Twice as error:
        problems.error((), str(error))
        return None
    except RecursionError:
        problems.error((), f"values nest deeper than {MAX_DEPTH}")
        return None
    except UnicodeDecodeError:
        problems.error((), "the file is not UTF-8")
        return None
    except ValueError as error:
        problems.error((), f"this is no JSON: {error}")
        return None
    if not _is_unicode(value):
        problems.error((), "a text is no Unicode: it has half of a surrogate pair")
        return None
    if not isinstance(value, dict):
        problems.error((), "a CACAO playbook is a JSON object")
        return None
    if depth(value) > MAX_DEPTH:
        problems.error((), f"values nest deeper than {MAX_DEPTH}")
        return None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise _Twice(f"the key '{key[:80]}' stands twice in one object")
        made[key] = value
    return made


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number that JSON has")


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def depth(value: Any) -> int:
    """How deep values nest."""
    deepest, todo = 0, [(value, 1)]
    while todo:
        item, depth = todo.pop()
        deepest = max(deepest, depth)
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        todo += [(each, depth + 1) for each in inner]
    return deepest
