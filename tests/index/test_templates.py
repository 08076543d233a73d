"""The templates: types, priorities, retention, and what a poorer server gets."""

from __future__ import annotations

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import BadRequestError

from tests.index.documents import alert, event
from tocsin.alert_document import alert_document
from tocsin.index.fields import AGGREGATABLE, ROOTS, STAND_INS, TYPES, parameters, properties
from tocsin.index.installation import _without, install
from tocsin.index.retention import expired
from tocsin.index.templates import CUSTOM, PRIORITY, Server, build, duration

DAY = 86_400_000


def leaves(tree: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, node in tree.items():
        inner = node.get("properties")
        place = f"{path}{name}"
        found.update(leaves(inner, f"{place}.") if inner else {place: node})
    return found


def test_every_field_has_one_type() -> None:
    mapped = leaves(properties())
    assert mapped.keys() == TYPES.keys()
    assert all("type" in mapping for mapping in mapped.values())
    assert not [field for field in TYPES if any(other.startswith(f"{field}.") for other in TYPES)]


def test_every_mapped_tree_is_one_that_vendors_do_not_get() -> None:
    assert {field.split(".")[0] for field in TYPES if "." in field} <= set(ROOTS)


def test_what_alerts_and_events_hold_is_mapped_on_purpose() -> None:
    def paths(value: Any, path: str) -> set[str]:
        if isinstance(value, dict):
            return {p for k, v in value.items() for p in paths(v, f"{path}.{k}" if path else k)}
        if isinstance(value, list):
            return {p for v in value for p in paths(v, path)} or set()
        return {path}

    assert paths(event(1), "") | paths(alert_document(alert(3)), "") <= TYPES.keys()


def test_big_vendor_trees_are_one_field() -> None:
    for field in ("requestParameters", "responseElements", "additionalEventData"):
        assert TYPES[f"aws.cloudtrail.{field}"] == "flattened"
    assert parameters("flattened")["depth_limit"] == 64


def test_templates_win_over_elastics_own_and_take_the_users() -> None:
    templates = build("default", 30 * DAY)
    for template in templates.indices.values():
        assert template["priority"] >= PRIORITY == 501
        assert template["composed_of"][-1] == CUSTOM
        theirs = {n for n in template["composed_of"] if n not in templates.components}
        assert theirs == set(template["ignore_missing_component_templates"])


def test_the_audit_chain_has_no_retention_unless_a_person_sets_one() -> None:
    templates = build("default", 30 * DAY).indices
    logs, audit = templates["tocsin-logs-default"], templates["tocsin-audit-default"]
    assert logs["template"]["lifecycle"] == {"enabled": True, "data_retention": "30d"}
    assert audit["template"]["lifecycle"] == {"enabled": True}
    assert audit["priority"] > logs["priority"]
    assert build("default", 0).indices["tocsin-logs-default"]["template"]["lifecycle"] == {
        "enabled": True
    }


def test_the_hash_tells_templates_apart_and_not_servers() -> None:
    poor = Server(frozenset(STAND_INS), lifecycle=False)
    first = build("default", DAY)
    assert first.hash == build("default", DAY).hash == build("default", DAY, poor).hash
    assert len({first.hash, build("soc", DAY).hash, build("default", 2 * DAY).hash}) == 3
    every = (*first.components.values(), *first.indices.values())
    assert all(template["_meta"]["hash"] == first.hash for template in every)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(30 * DAY, "30d"), (36 * 3_600_000, "36h"), (90_000, "90s"), (1_500, "1500ms")],
)
def test_durations(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


def test_a_stand_in_can_be_aggregated_where_the_type_could() -> None:
    for type, stand_in in STAND_INS.items():
        assert (type in AGGREGATABLE) == (stand_in["type"] in AGGREGATABLE)


class Cluster:
    """Refuses types it does not have and, on request, lifecycles."""

    def __init__(self, missing: set[str], *, lifecycle: bool) -> None:
        self._missing = missing
        self._lifecycle = lifecycle
        self.put: dict[str, dict[str, Any]] = {}
        self.cluster = self.indices = self

    async def put_component_template(self, *, name: str, **content: Any) -> None:
        for field, mapping in leaves(
            content["template"].get("mappings", {}).get("properties", {})
        ).items():
            if mapping["type"] in self._missing:
                raise bad(
                    f"The mapper type [{mapping['type']}] declared on field [{field}] does not"
                )
        self.put[name] = content

    async def put_index_template(self, *, name: str, **content: Any) -> None:
        if not self._lifecycle and "lifecycle" in content["template"]:
            raise bad("[1:2] [index_template] unknown field [lifecycle]")
        self.put[name] = content


def bad(reason: str) -> BadRequestError:
    node = NodeConfig("http", "es.example.com", 9200)
    meta = ApiResponseMeta(400, "1.1", HttpHeaders(), 0.0, node)
    return BadRequestError("bad", meta, {"error": {"reason": reason}})


async def test_a_poorer_server_gets_what_it_can_take(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster({"wildcard", "match_only_text"}, lifecycle=False)
    lines = await install(cluster, "default", DAY)  # type: ignore[arg-type]
    assert len(lines) == len(cluster.put) == 6
    mapped = leaves(cluster.put["tocsin@mappings"]["template"]["mappings"]["properties"])
    assert mapped["url.path"]["type"] == "keyword"
    assert mapped["message"]["type"] == "text"
    assert "lifecycle" not in cluster.put["tocsin-logs-default"]["template"]
    assert "nothing is deleted by itself" in caplog.text


async def test_a_refusal_that_cannot_be_helped_is_raised() -> None:
    with pytest.raises(BadRequestError):
        await install(Cluster({"keyword"}, lifecycle=True), "default", DAY)  # type: ignore[arg-type]
    assert _without(Server(), "something else") == Server()


def test_only_months_that_ended_long_ago_and_were_not_made_lately_go() -> None:
    march, april = 1_772_323_200_000, 1_775_001_600_000
    created = {
        "tocsin-alerts-default-2026.03": march,
        "tocsin-alerts-default-2026.04": april,
        "tocsin-alerts-default-2017.01": april + DAY,  # old logs, read lately
        "tocsin-alerts-default-2026.99": march,
        "tocsin-alerts-default-notes": march,
        "tocsin-alerts-soc-2026.01": march,
    }
    found = {
        days: expired(created, "tocsin-alerts-default-", april + days * DAY)
        for days in (0, 1, 2, 40)
    }
    assert found[0] == []
    assert found[1] == ["tocsin-alerts-default-2026.03"]
    assert found[2] == ["tocsin-alerts-default-2017.01", "tocsin-alerts-default-2026.03"]
    assert found[40] == [
        "tocsin-alerts-default-2017.01",
        "tocsin-alerts-default-2026.03",
        "tocsin-alerts-default-2026.04",
    ]
