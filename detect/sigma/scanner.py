"""Finding many literals in one text: Hyperscan where it is installed, else Aho-Corasick's idea.

A scanner is a function from a text to (end, literal) pairs in order of their ends. Literals are
lower-case bytes and are found in any case (ASCII).
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Scanner = Callable[[bytes], list[tuple[int, int]]]

#: Whether the fast engine is there (the extra `hyperscan`).
HYPERSCAN = find_spec("hyperscan") is not None


def scanner(literals: Sequence[bytes], *, once: bool = False) -> Scanner | None:
    """The scanner of these literals, None if there are none.

    `once`: where a literal ends first suffices, which bounds what a long text can report.
    """
    if not literals:
        return None
    return _hyperscan(literals, once) if HYPERSCAN else _expression(literals)


def _hyperscan(literals: Sequence[bytes], once: bool) -> Scanner:
    import hyperscan

    flags = hyperscan.HS_FLAG_CASELESS | (hyperscan.HS_FLAG_SINGLEMATCH if once else 0)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(literals),
        ids=list(range(len(literals))),
        flags=flags,
        literal=True,
    )
    scratch = hyperscan.Scratch(database)

    def scan(text: bytes) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        add = found.append

        def on(literal: int, _start: int, end: int, _flags: int, _context: object) -> None:
            add((end, literal))

        database.scan(text, match_event_handler=on, scratch=scratch)
        return found

    return scan


def _expression(literals: Sequence[bytes]) -> Scanner:
    """One expression of all literals, each found at its first letters by a look-ahead."""
    number = {literal: at for at, literal in enumerate(literals)}
    lengths = sorted({len(literal) for literal in literals})
    shortest = lengths[0]
    heads: dict[bytes, list[int]] = {}
    for literal in literals:
        heads.setdefault(literal[:shortest], []).append(len(literal))
    tried = {head: sorted(set(sizes)) for head, sizes in heads.items()}
    pattern = re.compile(b"(?=(" + b"|".join(map(re.escape, sorted(tried))) + b"))")

    def scan(text: bytes) -> list[tuple[int, int]]:
        lowered = text.lower()
        found = []
        for match in pattern.finditer(lowered):
            start = match.start()
            for size in tried[match[1]]:
                literal = number.get(lowered[start : start + size])
                if literal is not None:
                    found.append((start + size, literal))
        found.sort()
        return found

    return scan
