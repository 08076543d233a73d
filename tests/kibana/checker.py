"""What Kibana would stumble over, found without Kibana; yields one sentence for each mistake."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tocsin.kibana.saved_objects import GRID_WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Type -> the one version that is declared, and every attribute that version knows.
VERSIONS = {"index-pattern": "8.0.0", "search": "10.2.0", "dashboard": "10.2.0"}
CORE = "8.8.0"
ATTRIBUTES = {
    "index-pattern": {
        *("title", "name", "timeFieldName", "allowHidden", "fields", "fieldAttrs"),
        *("fieldFormatMap", "runtimeFieldMap", "sourceFilters", "type", "typeMeta"),
    },
    "search": {
        *("title", "description", "columns", "sort", "grid", "hideChart", "isTextBasedQuery"),
        *("usesAdHocDataView", "kibanaSavedObjectMeta", "viewMode", "hideAggregatedPreview"),
        *(
            "rowHeight",
            "timeRestore",
            "timeRange",
            "refreshInterval",
            "rowsPerPage",
            "breakdownField",
        ),
    },
    "dashboard": {
        *("title", "description", "version", "panelsJSON", "optionsJSON", "controlGroupInput"),
        *("timeRestore", "timeFrom", "timeTo", "refreshInterval", "kibanaSavedObjectMeta"),
    },
}

Objects = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Layer:
    """A visualization's layer: where it stands, its data view, its query and columns in order."""

    panel: str
    view: str
    query: str
    columns: list[dict[str, Any]]


def check(objects: Objects) -> list[str]:
    """All mistakes."""
    return [
        *_envelopes(objects),
        *_references(objects),
        *(mistake for each in objects for mistake in _embedded(each)),
        *(mistake for each in objects if each["type"] == "dashboard" for mistake in _board(each)),
    ]


def _envelopes(objects: Objects) -> Iterator[str]:
    keys = [(each["type"], each["id"]) for each in objects]
    for key in {key for key in keys if keys.count(key) > 1}:
        yield f"{key} stands there twice"
    for each in objects:
        name = f"{each['type']} {each['id']}"
        if each.get("coreMigrationVersion") != CORE:
            yield f"{name}: coreMigrationVersion is not {CORE}"
        if each.get("typeMigrationVersion") != VERSIONS.get(each["type"]):
            yield f"{name}: typeMigrationVersion is not {VERSIONS.get(each['type'])}"
        for attribute in each["attributes"].keys() - ATTRIBUTES[each["type"]]:
            yield f"{name}: attribute {attribute} is not known to its version"


def _references(objects: Objects) -> Iterator[str]:
    """Every reference resolves, is named once and used; every name that is used is resolved."""
    there = {(each["type"], each["id"]) for each in objects}
    for each in objects:
        name = f"{each['type']} {each['id']}"
        named = [reference["name"] for reference in each["references"]]
        for reference in each["references"]:
            if (reference["type"], reference["id"]) not in there:
                yield f"{name}: {reference['name']} refers to nothing"
        for twice in {one for one in named if named.count(one) > 1}:
            yield f"{name}: reference {twice} stands there twice"
        used = set(_used(each))
        for missing in used - set(named):
            yield f"{name}: {missing} is used and not among the references"
        for idle in set(named) - used:
            yield f"{name}: reference {idle} is not used"


def _used(each: dict[str, Any]) -> Iterator[str]:
    attributes = each["attributes"]
    source = json.loads(attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}"))
    if "indexRefName" in source:
        yield source["indexRefName"]
    for panel in json.loads(attributes.get("panelsJSON", "[]")):
        if "panelRefName" in panel:
            yield f"{panel['panelIndex']}:{panel['panelRefName']}"
        for layer in _layers_of(panel):
            yield f"{panel['panelIndex']}:indexpattern-datasource-layer-{layer}"
    for control in json.loads(attributes.get("controlGroupInput", {}).get("panelsJSON", "{}")):
        yield f"controlGroup_{control}:optionsListDataView"


def _embedded(each: dict[str, Any]) -> Iterator[str]:
    """Attributes that hold JSON within a string do."""
    attributes, name = each["attributes"], f"{each['type']} {each['id']}"
    texts = {key: attributes[key] for key in ("panelsJSON", "optionsJSON") if key in attributes}
    texts["searchSourceJSON"] = attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON")
    if each["type"] == "index-pattern":
        texts.pop("searchSourceJSON")
    if "controlGroupInput" in attributes:
        texts["controls"] = attributes["controlGroupInput"]["panelsJSON"]
    for key, text in texts.items():
        if not isinstance(text, str):
            yield f"{name}: {key} must be JSON within a string"


def _board(board: dict[str, Any]) -> Iterator[str]:
    attributes = board["attributes"]
    if not (attributes.get("timeRestore") and attributes.get("timeFrom") and attributes["timeTo"]):
        yield "the board opens on the last fifteen minutes"
    panels = json.loads(attributes["panelsJSON"])
    names = {reference["name"]: reference["id"] for reference in board["references"]}
    for panel in panels:
        grid, id = panel["gridData"], panel["panelIndex"]
        if grid["i"] != id:
            yield f"panel {id}: its grid is called {grid['i']}"
        if grid["x"] < 0 or grid["y"] < 0 or grid["w"] < 1 or grid["h"] < 1:
            yield f"panel {id}: it has no place"
        if grid["x"] + grid["w"] > GRID_WIDTH:
            yield f"panel {id}: it is wider than the grid"
        if "panelRefName" not in panel:
            yield from _lens(panel, names)
    for one, other in combinations(panels, 2):
        if _overlap(one["gridData"], other["gridData"]):
            yield f"panels {one['panelIndex']} and {other['panelIndex']} overlap"


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def _layers_of(panel: dict[str, Any]) -> dict[str, Any]:
    attributes = panel["embeddableConfig"].get("attributes", {})
    layers: dict[str, Any] = (
        attributes.get("state", {})
        .get("datasourceStates", {})
        .get("formBased", {})
        .get("layers", {})
    )
    return layers


def _lens(panel: dict[str, Any], names: dict[str, str]) -> Iterator[str]:
    """Layers agree with the drawing, columns with their order, references with the board's."""
    id, attributes = panel["panelIndex"], panel["embeddableConfig"]["attributes"]
    drawn = json.dumps(attributes["state"]["visualization"])
    for reference in attributes["references"]:
        if names.get(f"{id}:{reference['name']}") != reference["id"]:
            yield f"panel {id}: {reference['name']} differs between panel and board"
    for name, layer in _layers_of(panel).items():
        if f'"layerId": "{name}"' not in drawn:
            yield f"panel {id}: layer {name} is not drawn"
        if set(layer["columnOrder"]) != set(layer["columns"]) or not layer["columns"]:
            yield f"panel {id}: columnOrder does not name the columns"
        for column, definition in layer["columns"].items():
            if f'"{column}"' not in drawn:
                yield f"panel {id}: column {column} is not drawn"
            order = definition.get("params", {}).get("orderBy", {}).get("columnId")
            if order is not None and order not in layer["columns"]:
                yield f"panel {id}: column {column} is ordered by {order}, which is none"


def layers(objects: Objects) -> list[Layer]:
    """Every layer of every panel of the dashboards."""
    found = []
    for board in (each for each in objects if each["type"] == "dashboard"):
        for panel in json.loads(board["attributes"]["panelsJSON"]):
            if "panelRefName" in panel:
                continue
            attributes = panel["embeddableConfig"]["attributes"]
            views = {each["name"]: each["id"] for each in attributes["references"]}
            for name, layer in _layers_of(panel).items():
                view = views[f"indexpattern-datasource-layer-{name}"]
                columns = [layer["columns"][column] for column in layer["columnOrder"]]
                query = attributes["state"]["query"]["query"]
                found.append(Layer(panel["panelIndex"], view, query, columns))
    return found


def fields(objects: Objects) -> dict[str, set[tuple[str, str]]]:
    """Data view -> (field, Lens type or "") that panels, controls and columns use."""
    found: dict[str, set[tuple[str, str]]] = {}
    for layer in layers(objects):
        used = found.setdefault(layer.view, set())
        used |= {(field, "") for field in kql_fields(layer.query)}
        for column in layer.columns:
            for each in column["params"].get("filters", ()):
                used |= {(field, "") for field in kql_fields(each["input"]["query"])}
            if column.get("sourceField", "___records___") != "___records___":
                type = column["dataType"] if column["isBucketed"] else ""
                used.add((column["sourceField"], type))
    for each in objects:
        views = {reference["name"]: reference["id"] for reference in each["references"]}
        if each["type"] == "search":
            source = json.loads(each["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
            used = found.setdefault(views[source["indexRefName"]], set())
            used |= {(field, "") for field in kql_fields(source["query"]["query"])}
            used |= {(field, "") for field, _ in each["attributes"]["sort"]}
        if each["type"] == "dashboard":
            controls = json.loads(each["attributes"]["controlGroupInput"]["panelsJSON"])
            for id, control in controls.items():
                view = views[f"controlGroup_{id}:optionsListDataView"]
                found.setdefault(view, set()).add((control["explicitInput"]["fieldName"], ""))
    return found


_TERM = re.compile(r"([a-z@][\w@.]*)\s*(:|>=|<=|>|<)\s*(\([^()]*\)|[\w.\-]+)")
_OPERATORS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}


def kql_fields(query: str) -> set[str]:
    """The fields a query names; raises ValueError for KQL beyond terms joined by `and`."""
    return {field for field, _, _ in kql_terms(query)}


def kql_terms(query: str) -> list[tuple[str, str, str]]:
    """Field, operator and value of each term of a query."""
    found = []
    for part in filter(None, (part.strip() for part in query.split(" and "))):
        match = _TERM.fullmatch(part)
        if match is None:
            raise ValueError(f"'{part}' is beyond this reader of KQL")
        found.append((match[1], match[2], match[3]))
    return found


def kql_filter(query: str) -> dict[str, Any]:
    """The Elasticsearch query of a KQL query."""
    filters: list[dict[str, Any]] = []
    for field, operator, value in kql_terms(query):
        if operator == ":":
            filters.append({"terms": {field: value.strip("()").split(" or ")}})
        else:
            filters.append({"range": {field: {_OPERATORS[operator]: value}}})
    return {"bool": {"filter": filters}}


def aggregation(layer: Layer) -> dict[str, Any]:
    """The aggregations by which Elasticsearch answers a layer, nested in order of its columns."""
    buckets = [column for column in layer.columns if column["isBucketed"]]
    (measure,) = (column for column in layer.columns if not column["isBucketed"])
    inner: dict[str, Any] = {}
    if measure["operationType"] == "unique_count":
        inner = {"measure": {"cardinality": {"field": measure["sourceField"]}}}
    for column in reversed(buckets):
        inner = {"bucket": _bucket(column) | ({"aggs": inner} if inner else {})}
    return inner


def _bucket(column: dict[str, Any]) -> dict[str, Any]:
    match column["operationType"]:
        case "terms":
            return {"terms": {"field": column["sourceField"], "size": column["params"]["size"]}}
        case "date_histogram":
            field = column["sourceField"]
            return {"date_histogram": {"field": field, "fixed_interval": "1h", "min_doc_count": 1}}
        case "filters":
            groups = column["params"]["filters"]
            return {
                "filters": {
                    "filters": {g["label"]: kql_filter(g["input"]["query"]) for g in groups}
                }
            }
        case other:
            raise ValueError(f"no aggregation for {other}")
