"""XML documents of unknown kind as objects: attributes and children by name, several as a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.formats.windows.xmltree import read

if TYPE_CHECKING:
    from ingest.formats.windows.xmltree import Element


def frame(text: str) -> dict[str, Any] | None:
    """The root's content below its name, None if `text` is no XML."""
    root = read(text)
    return None if root is None else {root.name: _value(root)}


def _value(element: Element) -> Any:
    own = element.value().strip()
    if not element.children and not element.attributes:
        return own
    made: dict[str, Any] = dict(element.attributes)
    for child in element.children:
        value = _value(child)
        if child.name in made:
            known = made[child.name]
            made[child.name] = [*known, value] if isinstance(known, list) else [known, value]
        else:
            made[child.name] = value
    if own:
        made["value" if "value" in made else "text"] = own
    return made
