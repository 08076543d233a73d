"""Registered domains by the public suffix list (https://publicsuffix.org).

The list comes with the library `publicsuffixlist`; a newer one may be read from a file. The
network is never asked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from publicsuffixlist import PublicSuffixList

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Longest host name (RFC 1035), characters.
MAX_NAME = 253
#: Host names whose parts are remembered; a miss costs 9 µs, about 0.4 KB each.
REMEMBERED = 32_768
#: Largest list that is read, bytes (today's has 300 KB).
MAX_LIST = 8 * 1024 * 1024


class Parts(NamedTuple):
    """A host name in parts, as ECS names them; what there is none of is ""."""

    registered_domain: str
    top_level_domain: str
    subdomain: str


NONE = Parts("", "", "")


class Suffixes:
    """A public suffix list; `parts` is remembered, the rest is for loading indicators."""

    def __init__(self, text: str | None = None) -> None:
        """`text` of a list, None for the one that came along."""
        self._list = PublicSuffixList(None if text is None else text.splitlines())
        self.parts: Callable[[str], Parts] = lru_cache(REMEMBERED)(self._parts)

    @classmethod
    def read(cls, path: Path) -> Suffixes:
        """Raises OSError, or ValueError if it is no such list."""
        if (size := path.stat().st_size) > MAX_LIST:
            raise ValueError(f"{size} bytes, at most {MAX_LIST} are read")
        made = cls(path.read_text("utf-8"))
        if not made.is_suffix("com"):
            raise ValueError("no public suffix list: it does not even name com")
        return made

    def is_suffix(self, name: str) -> bool:
        """Whether all names below `name` belong to different owners (`com`, `co.uk`)."""
        return self._list.publicsuffix(name, accept_unknown=False) == name

    def _parts(self, host: str) -> Parts:
        """Of a host name below a known suffix; NONE for addresses, bare and unknown names."""
        name = host.rstrip(".").lower()
        if len(name) > MAX_NAME or "." not in name:
            return NONE
        suffix = self._list.publicsuffix(name, accept_unknown=False)
        if not suffix:
            return NONE
        registered = self._list.privatesuffix(name) or ""
        below = name.removesuffix(registered).rstrip(".") if registered else ""
        return Parts(registered, suffix, below)
