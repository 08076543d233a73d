"""Where a connector's files lie: relative paths of the configuration start at its directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from responders.catalog import KINDS
from tocsin.config import ConnectorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


def located(
    connectors: Mapping[str, ConnectorSettings], base: Path
) -> dict[str, ConnectorSettings]:
    """The connectors with those of their options that are paths seen from `base`."""
    found = {}
    for name, settings in connectors.items():
        options = settings.options()
        for key in options.keys() & _path_options(settings.type):
            options[key] = _seen_from(base, options[key])
        found[name] = ConnectorSettings(type=settings.type, **options)
    return found


def _path_options(kind: str) -> set[str]:
    if kind not in KINDS:
        return set()
    fields = KINDS[kind].config.model_fields
    return {name for name, field in fields.items() if "Path" in str(field.annotation)}


def _seen_from(base: Path, value: Any) -> Any:
    """Texts and lists of them; anything else is left for the connector to refuse."""
    if isinstance(value, (str, Path)):
        return base / value
    if isinstance(value, (list, tuple)):
        return [_seen_from(base, item) for item in value]
    return value
