"""Paths of a mapping: `a.b`, `a[0].b`, `a[].b` (of every member), `labels."Host ID"`, `$host`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

#: What the transport says of a line, whatever its format.
HEADERS = (
    *("host", "program", "pid", "time", "severity", "facility", "msgid", "source", "text", "sd"),
    "received",
)

#: Most members of a list that `[]` looks at.
MAX_MEMBERS = 1_000

#: A step into an object (text), a list (number), or every member of a list (None).
Step = str | int | None

_STEP = re.compile(r'(?:"([^"]+)"|([^."\[\]]+))((?:\[-?\d*\])*)')
_INDEX = re.compile(r"\[(-?\d*)\]")


@dataclass(frozen=True, slots=True)
class Path:
    """A place in what a line says; `header` is a name of HEADERS, and then starts the path."""

    steps: tuple[Step, ...]
    header: str = ""

    def __str__(self) -> str:
        written = f"${self.header}" if self.header else ""
        for step in self.steps:
            if isinstance(step, str):
                odd = _STEP.fullmatch(step) is None
                written += ("." if written else "") + (f'"{step}"' if odd else step)
            else:
                written += "[]" if step is None else f"[{step}]"
        return written


@lru_cache(16_384)
def parse(text: str) -> Path:
    """The path that `text` writes; raises ValueError with what is wrong."""
    header = ""
    if text.startswith("$"):
        header, dot, text = text[1:].partition(".")
        if header not in HEADERS:
            raise ValueError(
                f"there is no ${header}; there are {', '.join('$' + h for h in HEADERS)}"
            )
        if not dot:
            return Path((), header)
    steps: list[Step] = []
    at = 0
    while True:
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"'{text}' is no path: names, dots, [0], [] and quotes for odd names")
        steps.append(match[1] or match[2])
        steps.extend(int(index) if index else None for index in _INDEX.findall(match[3]))
        at = match.end()
        if at == len(text):
            return Path(tuple(steps), header)
        if text[at] != ".":
            raise ValueError(f"'{text}' is no path: a dot is missing at character {at + 1}")
        at += 1


def look(value: Any, steps: tuple[Step, ...]) -> Any:
    """The value at `steps` below `value`, None if there is none; `[]` gives a list."""
    for number, step in enumerate(steps):
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        elif isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return None
            value = value[step]
        else:
            if not isinstance(value, list):
                return None
            rest = steps[number + 1 :]
            found: list[Any] = []
            for member in value[:MAX_MEMBERS]:
                one = look(member, rest)
                if isinstance(one, list):
                    found.extend(one)
                elif one is not None:
                    found.append(one)
            return found or None
    return value
