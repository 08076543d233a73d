"""What enrichment adds and privacy leaves is valid ECS, by the published schema."""

from __future__ import annotations

import gzip
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bench.knowledge_data import database, document
from ingest.enrich import Enricher
from ingest.privacy import Policy
from tests.ingest.privacy.keys import MemoryKeys
from tocsin.enrichment_config import EnrichmentSettings, PrivacySettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Schema = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def ecs(shared: Path) -> Schema:
    with gzip.open(shared / "data" / "ecs" / "ecs_flat.yml.gz", "rt") as handle:
        loaded: Schema = yaml.load(handle, yaml.CSafeLoader)
        return loaded


@pytest.fixture
def enricher(tmp_path: Path) -> Enricher:
    (tmp_path / "db.mmdb").write_bytes(database())
    (tmp_path / "assets.csv").write_text(
        "name,addresses,criticality,owner,tags\nhost-1,10.1.1.0/24,high,it,dmz\n", "utf-8"
    )
    (tmp_path / "people.csv").write_text(
        "name,full_name,email,criticality,tags\nuser-1,Ada Example,ada@example.com,high,admin\n",
        "utf-8",
    )
    made = Enricher.configured(
        EnrichmentSettings(
            geoip=(tmp_path / "db.mmdb", tmp_path / "missing.mmdb"),
            inventory=tmp_path / "assets.csv",
            identities=tmp_path / "people.csv",
            registered_domains=True,
            user_agents=True,
        )
    )
    assert made is not None
    return made


def leaves(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from leaves(value, name)
        else:
            yield name, value


def mistakes(made: dict[str, Any], schema: Schema) -> list[str]:
    """Fields that are no ECS, or hold what their type is not; our own root is ours."""
    found = []
    for name, value in leaves(made):
        if name.split(".")[0] == "tocsin":
            continue
        field = schema.get(name)
        if field is None:
            if schema.get(name.rpartition(".")[0], {}).get("type") != "geo_point":
                found.append(f"{name} is no field")
            continue
        if ("array" in field.get("normalize", [])) and not isinstance(value, list):
            found.append(f"{name} is no list")
        found += [f"{name}: {each!r}" for each in _listed(value) if not _fits(each, field["type"])]
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _fits(value: Any, kind: str) -> bool:
    match kind:
        case "ip":
            try:
                ip_address(value)
            except ValueError:
                return False
            return True
        case "long":
            return isinstance(value, int) and not isinstance(value, bool)
        case "keyword" | "wildcard" | "match_only_text" | "constant_keyword":
            return isinstance(value, str)
        case _:
            return True


def test_enriched_events_are_valid(ecs: Schema, enricher: Enricher) -> None:
    made = document(1)
    before = {name for name, _ in leaves(made)}
    assert mistakes(made, ecs) == []
    enricher.apply(made)
    added = {name for name, _ in leaves(made)} - before
    assert {
        "source.geo.location.lat",
        "source.as.number",
        "url.registered_domain",
        "user_agent.name",
        "user.full_name",
        "tags",
        "tocsin.asset.host.criticality",
        "tocsin.identity.user.criticality",
    } <= added
    assert mistakes(made, ecs) == []


@pytest.mark.parametrize("action", ["drop", "hash", "encrypt"])
def test_redacted_events_are_valid(ecs: Schema, enricher: Enricher, action: str) -> None:
    fields = ["user.name", "user.email", "user.full_name", "source.ip", "host.name", "url.domain"]
    settings = PrivacySettings.model_validate(
        {"policies": [{"rules": [{"fields": fields, "action": action}], "residency": "eu"}]}
    )
    made = document(1)
    enricher.apply(made)
    Policy(settings, b"a salt of the tests", MemoryKeys()).apply(made, "vpn")
    assert mistakes(made, ecs) == []
    assert "user-1" not in str(made)
