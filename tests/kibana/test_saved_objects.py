"""The committed files are what the definitions give, and nothing Kibana would stumble over."""

from __future__ import annotations

import copy
import json
import operator
from typing import TYPE_CHECKING, Any

import pytest

from tests.index.documents import START, alert, event, run_event
from tests.kibana.checker import Objects, check, fields, kql_fields, kql_terms, layers
from tocsin.alert_document import alert_document
from tocsin.index import documents as shape
from tocsin.index.fields import AGGREGATABLE, TYPES
from tocsin.index.store import StoreDocument
from tocsin.kibana.board import ACTIONS, ALERTS, EVENTS, QUEUE_COLUMNS, SEVERITIES, objects
from tocsin.kibana.build import DETECTION_RULES, DIRECTORY, SAVED_OBJECTS, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Lens type of a bucketed column -> types of field it can be made of.
LENS_TYPES = {
    "string": {"keyword", "wildcard"},
    "ip": {"ip"},
    "number": {"long", "float"},
    "date": {"date"},
}


@pytest.fixture
def committed() -> Objects:
    lines = (DIRECTORY / SAVED_OBJECTS).read_bytes().splitlines()
    return [json.loads(line) for line in lines]


def paths(value: Any, path: str = "") -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from paths(inner, f"{path}.{name}" if path else name)
        case list():
            for inner in value:
                yield from paths(inner, path)
        case _:
            yield path


def emitted() -> dict[str, set[str]]:
    """The fields that documents of each data view really have when they reach Elasticsearch."""
    run = run_event(1)
    documents = {
        EVENTS: StoreDocument("events", "e", None, START, event(1)),
        ALERTS: StoreDocument("alerts", "a", 1, START, alert_document(alert(2))),
        ACTIONS: StoreDocument("runs", run.id, None, START, run.model_dump(mode="json")),
    }
    return {
        view: set(paths(shape.action(document, "default")[1]))
        for view, document in documents.items()
    }


def test_the_committed_files_are_what_the_definitions_give() -> None:
    for name, content in render().items():
        assert (DIRECTORY / name).read_bytes() == content, "run python -m tocsin.kibana"


def test_the_checker_finds_nothing(committed: Objects) -> None:
    assert check(committed) == []


def test_every_object_comes_after_those_it_refers_to(committed: Objects) -> None:
    seen: set[tuple[str, str]] = set()
    for each in committed:
        assert {(r["type"], r["id"]) for r in each["references"]} <= seen
        seen.add((each["type"], each["id"]))


def test_every_field_is_mapped_emitted_and_can_be_aggregated(committed: Objects) -> None:
    there = emitted()
    used = fields(committed)
    assert used.keys() == {EVENTS, ALERTS, ACTIONS}
    for view, found in used.items():
        for field, lens_type in found:
            assert field in TYPES, f"{view}: {field} is not in the template"
            assert TYPES[field] in AGGREGATABLE, f"{view}: {field} cannot be aggregated"
            assert field in there[view], f"{view}: no document has {field}"
            if lens_type:
                assert TYPES[field] in LENS_TYPES[lens_type], f"{view}: {field} is no {lens_type}"


def test_every_column_of_the_queue_is_in_an_alert() -> None:
    assert set(QUEUE_COLUMNS) <= emitted()[ALERTS]


def test_the_overview_shows_what_it_should(committed: Objects) -> None:
    panels = {layer.panel for layer in layers(committed)}
    assert {
        "alerts-over-time", "by-severity", "by-rule", "by-source", "techniques",
        "actions-by-outcome", "event-volume",
    } <= panels  # fmt: skip


def test_events_are_counted_by_id_where_a_rollover_could_double_them(committed: Objects) -> None:
    for layer in layers(committed):
        if layer.view != ALERTS:
            (measure,) = (column for column in layer.columns if not column["isBucketed"])
            assert (measure["operationType"], measure["sourceField"]) == (
                "unique_count", "event.id",
            ), layer.panel  # fmt: skip


def test_the_severity_bands_leave_no_gap() -> None:
    compare = {">=": operator.ge, "<": operator.lt}

    def holds(query: str, severity: int) -> bool:
        return all(compare[sign](severity, int(value)) for _, sign, value in kql_terms(query))

    for severity in range(101):
        assert [holds(query, severity) for query in SEVERITIES.values()].count(True) == 1


def edit_panels(board: dict[str, Any], change: Callable[[list[Any]], object]) -> None:
    panels = json.loads(board["attributes"]["panelsJSON"])
    change(panels)
    board["attributes"]["panelsJSON"] = json.dumps(panels)


def columns_of(panel: dict[str, Any]) -> dict[str, Any]:
    state = panel["embeddableConfig"]["attributes"]["state"]
    columns: dict[str, Any] = state["datasourceStates"]["formBased"]["layers"]["layer"]["columns"]
    return columns


MISTAKES: list[tuple[str, Callable[[Objects], object]]] = [
    ("coreMigrationVersion is not 8.8.0", lambda o: o[0].pop("coreMigrationVersion")),
    ("typeMigrationVersion is not 10.2.0", lambda o: o[4].update(typeMigrationVersion="10.3.0")),
    ("attribute optionsList is not known", lambda o: o[4]["attributes"].update(optionsList=1)),
    ("stands there twice", lambda o: o.append(copy.deepcopy(o[0]))),
    ("refers to nothing", lambda o: o.pop(0)),
    ("is used and not among the references", lambda o: o[3].update(references=[])),
    ("is used and not among the references", lambda o: o[4]["references"].pop()),
    (
        "reference idle is not used",
        lambda o: o[4]["references"].append(
            {"type": "index-pattern", "id": EVENTS, "name": "idle"}
        ),
    ),
    ("opens on the last fifteen minutes", lambda o: o[4]["attributes"].update(timeRestore=False)),
    ("must be JSON within a string", lambda o: o[4]["attributes"].update(optionsJSON={})),
    (
        "overlap",
        lambda o: edit_panels(o[4], lambda p: p[1]["gridData"].update(x=p[0]["gridData"]["x"])),
    ),
    ("wider than the grid", lambda o: edit_panels(o[4], lambda p: p[3]["gridData"].update(w=13))),
    ("its grid is called", lambda o: edit_panels(o[4], lambda p: p[3]["gridData"].update(i="x"))),
    (
        "differs between panel and board",
        lambda o: edit_panels(
            o[4],
            lambda p: p[0]["embeddableConfig"]["attributes"]["references"][0].update(id=EVENTS),
        ),
    ),
    (
        "is not drawn",
        lambda o: edit_panels(o[4], lambda p: columns_of(p[0]).update(more={"params": {}})),
    ),
    (
        "which is none",
        lambda o: edit_panels(
            o[4],
            lambda p: columns_of(p[5])["group"]["params"]["orderBy"].update(columnId="gone"),
        ),
    ),
]


@pytest.mark.parametrize(("says", "spoil"), MISTAKES)
def test_the_checker_can_fail(says: str, spoil: Callable[[Objects], object]) -> None:
    spoiled = copy.deepcopy(objects())
    spoil(spoiled)
    assert any(says in mistake for mistake in check(spoiled)), check(spoiled)


def test_the_bridge_rule_reads_fields_that_alerts_have() -> None:
    (rule,) = [json.loads(line) for line in (DIRECTORY / DETECTION_RULES).read_bytes().splitlines()]
    assert rule["enabled"] is False, "a person switches it on"
    used = {
        rule["rule_name_override"],
        *(each["field"] for each in rule["risk_score_mapping"] + rule["severity_mapping"]),
        *kql_fields(rule["query"]),
    }
    body = alert_document(alert(1))
    assert used <= set(paths(body))
    assert rule["timestamp_override"] == "event.ingested"
    assert TYPES["event.ingested"] == "date"
    assert kql_fields(rule["query"]) == {"event.kind", "event.dataset"}
    assert (body["event"]["kind"], body["event"]["dataset"]) == ("alert", "tocsin.alerts")
