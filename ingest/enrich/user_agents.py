"""What a user agent says it is (ECS user_agent): name, version, system and device.

Patterns are those of the uap-core project, through `ua-parser` and its engine in Rust, which is
linear in the length of the text. A new text costs 35 µs, a remembered one 0.2: that is why it is
off unless asked for, and loaded only then.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.contracts import Document

#: Longest text that is looked at, characters; what tells agents apart stands in front.
MAX_AGENT = 1024
#: Texts that are remembered, about 2 KB each.
REMEMBERED = 8_192

_LAST = ("major", "minor", "patch", "patch_minor")


class UserAgents:
    """Adds what `user_agent.original` tells."""

    def __init__(self) -> None:
        """Raises ConfigError where the extra `user-agents` is not installed."""
        try:
            from ua_parser import Domain
            from ua_parser.loaders import load_builtins
            from ua_parser.regex import Resolver
        except ImportError as error:
            raise ConfigError(
                f"enrichment.user_agents is on, but {error.name} is not installed: "
                "pip install 'tocsin[user-agents]'"
            ) from None
        resolver = Resolver(load_builtins())

        def parse(text: str) -> dict[str, Any]:
            return _fields(resolver(text, Domain.ALL))

        self._fields: Callable[[str], dict[str, Any]] = lru_cache(REMEMBERED)(parse)

    def refresh(self) -> None:
        """Its patterns come with the library."""

    def apply(self, document: Document) -> None:
        """Add what is not there yet."""
        body = document.get("user_agent")
        if not isinstance(body, dict) or not isinstance(text := body.get("original"), str):
            return
        for name, value in self._fields(text[:MAX_AGENT]).items():
            if name not in body:
                # A copy: what is remembered must not change with one event.
                body[name] = value.copy() if isinstance(value, dict) else value

    def problems(self) -> list[str]:
        """There are no files."""
        return []


def _fields(parsed: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if parsed.user_agent is not None:
        fields["name"] = parsed.user_agent.family
        if version := _version(parsed.user_agent):
            fields["version"] = version
    if parsed.os is not None:
        system = {"name": parsed.os.family, "full": parsed.os.family}
        if version := _version(parsed.os):
            system |= {"version": version, "full": f"{parsed.os.family} {version}"}
        fields["os"] = system
    if parsed.device is not None:
        fields["device"] = {"name": parsed.device.family}
    return fields


def _version(told: Any) -> str:
    parts = (getattr(told, name, None) for name in _LAST)
    return ".".join(part for part in parts if part)
