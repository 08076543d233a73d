"""Lens visualizations by value: columns (how data is grouped and counted) and how they are drawn.

Each visualization has one layer over one data view. Written in the form that Kibana 8.8 knows
(`formBased`), which later versions read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tocsin.kibana.saved_objects import Grid, Panel, reference

#: Name of the only layer, and the reference by which it finds its data view.
LAYER = "layer"
LAYER_REFERENCE = f"indexpattern-datasource-layer-{LAYER}"

#: Lens' name for "the documents themselves".
RECORDS = "___records___"

_MEASURE = "measure"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the layer; `definition` as Lens keeps it."""

    id: str
    definition: dict[str, Any]


def count(label: str) -> Column:
    """How many documents."""
    return _measure(label, "count", RECORDS)


def distinct(field: str, label: str) -> Column:
    """How many different values of `field`."""
    return _measure(label, "unique_count", field)


def _measure(label: str, operation: str, field: str) -> Column:
    definition = {
        "label": label,
        "customLabel": True,
        "dataType": "number",
        "operationType": operation,
        "sourceField": field,
        "isBucketed": False,
        "scale": "ratio",
        "params": {"emptyAsNull": False},
    }
    return Column(_MEASURE, definition)


def over_time() -> Column:
    """Buckets of time, as wide as the chart asks for."""
    definition = {
        "label": "Time",
        "customLabel": True,
        "dataType": "date",
        "operationType": "date_histogram",
        "sourceField": "@timestamp",
        "isBucketed": True,
        "scale": "interval",
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    }
    return Column("time", definition)


def top(field: str, label: str, size: int, *, type: str = "string", id: str = "group") -> Column:
    """The values of `field` with the highest measure; `type` is Lens' (string, ip, number)."""
    definition = {
        "label": label,
        "customLabel": True,
        "dataType": type,
        "operationType": "terms",
        "sourceField": field,
        "isBucketed": True,
        "scale": "ordinal",
        "params": {
            "size": size,
            "orderBy": {"type": "column", "columnId": _MEASURE},
            "orderDirection": "desc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
            "include": [],
            "exclude": [],
            "includeIsRegex": False,
            "excludeIsRegex": False,
        },
    }
    return Column(id, definition)


def bands(label: str, queries: dict[str, str]) -> Column:
    """Named groups, each a KQL query."""
    filters = [
        {"label": name, "input": {"query": query, "language": "kuery"}}
        for name, query in queries.items()
    ]
    definition = {
        "label": label,
        "customLabel": True,
        "dataType": "string",
        "operationType": "filters",
        "isBucketed": True,
        "scale": "ordinal",
        "params": {"filters": filters},
    }
    return Column("group", definition)


def panel(
    id: str,
    title: str,
    view: str,
    grid: Grid,
    visualization: tuple[str, dict[str, Any]],
    columns: list[Column],
    query: str = "",
) -> Panel:
    """A panel over the data view `view`, narrowed by `query` (KQL)."""
    type, drawn = visualization
    layer = {
        "columns": {column.id: column.definition for column in columns},
        "columnOrder": [column.id for column in columns],
        "incompleteColumns": {},
        "sampling": 1,
    }
    lens = {
        "title": title,
        "type": "lens",
        "visualizationType": type,
        "state": {
            "visualization": drawn,
            "query": {"query": query, "language": "kuery"},
            "filters": [],
            "datasourceStates": {"formBased": {"layers": {LAYER: layer}}},
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }
    references = (reference("index-pattern", view, LAYER_REFERENCE),)
    return Panel(id, title, grid, lens=lens, references=references)


def xy(series: str, x: Column, split: Column | None = None) -> tuple[str, dict[str, Any]]:
    """Bars or lines: `series` is bar_stacked, bar_horizontal, line, area …"""
    layer: dict[str, Any] = {
        "layerId": LAYER,
        "layerType": "data",
        "seriesType": series,
        "accessors": [_MEASURE],
        "xAccessor": x.id,
    }
    if split is not None:
        layer["splitAccessor"] = split.id
    return "lnsXY", {
        "legend": {"isVisible": split is not None, "position": "right"},
        "valueLabels": "hide",
        "preferredSeriesType": series,
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "layers": [layer],
    }


def donut(group: Column) -> tuple[str, dict[str, Any]]:
    """Shares of a whole."""
    layer = {
        "layerId": LAYER,
        "layerType": "data",
        "primaryGroups": [group.id],
        "metrics": [_MEASURE],
        "numberDisplay": "value",
        "categoryDisplay": "default",
        "legendDisplay": "default",
        "nestedLegend": False,
    }
    return "lnsPie", {"shape": "donut", "layers": [layer]}


def table(*columns: Column) -> tuple[str, dict[str, Any]]:
    """Rows, one column each, the measure last."""
    ids = [*(column.id for column in columns), _MEASURE]
    return "lnsDatatable", {
        "layerId": LAYER,
        "layerType": "data",
        "columns": [{"columnId": id, "isTransposed": False} for id in ids],
    }


def number() -> tuple[str, dict[str, Any]]:
    """One figure."""
    return "lnsMetric", {"layerId": LAYER, "layerType": "data", "metricAccessor": _MEASURE}
