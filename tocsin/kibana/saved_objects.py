"""Kibana's saved objects as they are imported: versions, references, JSON within strings.

Versions are declared and low: without them every migration runs on import, and a newer one than
the server's is refused. A reference in an attribute is a name that `references` resolves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tocsin.ids import canonical_json

#: Any saved object, one line of NDJSON.
SavedObject = dict[str, Any]

CORE_VERSION = "8.8.0"
#: Type -> `typeMigrationVersion`.
TYPE_VERSIONS = {"index-pattern": "8.0.0", "search": "10.2.0", "dashboard": "10.2.0"}

#: Columns of a dashboard's grid.
GRID_WIDTH = 48

_SEARCH_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON.index"


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a panel lies: column, row, width, height."""

    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of a dashboard: what it embeds, and the data views (by reference name) it uses.

    `saved_search` is the id of a saved search instead.
    """

    id: str
    title: str
    grid: Grid
    lens: dict[str, Any] | None = None
    references: tuple[dict[str, str], ...] = ()
    saved_search: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """A list of a field's values above a dashboard that narrows all its panels."""

    id: str
    title: str
    field: str
    data_view: str


def text(value: Any) -> str:
    """JSON within a string: equal values give equal text."""
    return canonical_json(value).decode("utf-8")


def reference(type: str, id: str, name: str) -> dict[str, str]:
    return {"type": type, "id": id, "name": name}


def saved_object(
    type: str, id: str, attributes: dict[str, Any], references: list[dict[str, str]]
) -> SavedObject:
    """The envelope of every saved object."""
    return {
        "type": type,
        "id": id,
        "attributes": attributes,
        "references": references,
        "managed": False,
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": TYPE_VERSIONS[type],
    }


def data_view(id: str, name: str, title: str) -> SavedObject:
    """A data view; `title` is its index expression."""
    attributes = {
        "title": title,
        "name": name,
        "timeFieldName": "@timestamp",
        "allowHidden": False,
        "fields": "[]",
        "fieldAttrs": "{}",
        "fieldFormatMap": "{}",
        "runtimeFieldMap": "{}",
        "sourceFilters": "[]",
    }
    return saved_object("index-pattern", id, attributes, [])


def saved_search(
    id: str, title: str, description: str, view: str, columns: list[str], query: str
) -> SavedObject:
    """A saved search over the data view `view`, newest first; `query` is KQL."""
    source = {
        "query": {"query": query, "language": "kuery"},
        "filter": [],
        "indexRefName": _SEARCH_SOURCE,
    }
    attributes = {
        "title": title,
        "description": description,
        "columns": columns,
        "sort": [["@timestamp", "desc"]],
        "grid": {},
        "hideChart": False,
        "isTextBasedQuery": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": text(source)},
    }
    return saved_object(
        "search", id, attributes, [reference("index-pattern", view, _SEARCH_SOURCE)]
    )


def dashboard(
    id: str,
    title: str,
    description: str,
    panels: list[Panel],
    controls: list[Control],
    *,
    since: str,
) -> SavedObject:
    """A dashboard that opens on the time from `since` (like `now-24h`) to now."""
    references = [each for panel in panels for each in _panel_references(panel)]
    references += [
        reference("index-pattern", control.data_view, f"controlGroup_{control.id}:{_CONTROL_VIEW}")
        for control in controls
    ]
    options = {
        "useMargins": True,
        "syncColors": False,
        "syncCursor": True,
        "syncTooltips": False,
        "hidePanelTitles": False,
    }
    attributes = {
        "title": title,
        "description": description,
        "version": 1,
        "panelsJSON": text([_panel(panel) for panel in panels]),
        "optionsJSON": text(options),
        "controlGroupInput": _control_group(controls),
        # Without it the board opens on Kibana's last fifteen minutes, empty.
        "timeRestore": True,
        "timeFrom": since,
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 60_000},
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": text({"query": {"query": "", "language": "kuery"}, "filter": []})
        },
    }
    return saved_object("dashboard", id, attributes, references)


_CONTROL_VIEW = "optionsListDataView"


def _panel(panel: Panel) -> dict[str, Any]:
    made: dict[str, Any] = {
        "panelIndex": panel.id,
        "gridData": {
            "x": panel.grid.x,
            "y": panel.grid.y,
            "w": panel.grid.w,
            "h": panel.grid.h,
            "i": panel.id,
        },
        "title": panel.title,
    }
    if panel.lens is None:
        return {
            **made,
            "type": "search",
            "panelRefName": f"panel_{panel.id}",
            "embeddableConfig": {"enhancements": {}},
        }
    attributes = {**panel.lens, "references": list(panel.references)}
    return {
        **made,
        "type": "lens",
        "embeddableConfig": {"attributes": attributes, "enhancements": {}},
    }


def _panel_references(panel: Panel) -> list[dict[str, str]]:
    if panel.lens is None:
        return [reference("search", panel.saved_search, f"{panel.id}:panel_{panel.id}")]
    return [{**each, "name": f"{panel.id}:{each['name']}"} for each in panel.references]


def _control_group(controls: list[Control]) -> dict[str, Any]:
    panels = {
        control.id: {
            "type": "optionsListControl",
            "order": order,
            "width": "medium",
            "grow": True,
            "explicitInput": {
                "id": control.id,
                "fieldName": control.field,
                "title": control.title,
                "selectedOptions": [],
                "enhancements": {},
            },
        }
        for order, control in enumerate(controls)
    }
    ignore = {
        "ignoreFilters": False,
        "ignoreQuery": False,
        "ignoreTimerange": False,
        "ignoreValidations": False,
    }
    return {
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "ignoreParentSettingsJSON": text(ignore),
        "panelsJSON": text(panels),
    }
