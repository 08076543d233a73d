"""The catalog: all mistakes at once, the nearest type, bindings without ambiguity."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from responders.catalog import KINDS, actions, bind, build_connectors, configured
from responders.product import SecretField
from responders.webhook import CONTAIN, NOTIFY
from tocsin.config import ConnectorSettings, EnrichmentSettings, Settings
from tocsin.errors import ConfigError


def settings(**connectors: dict[str, Any]) -> dict[str, ConnectorSettings]:
    return {name: ConnectorSettings(**options) for name, options in connectors.items()}


HOOK = {"type": "webhook", "secret": "env:S", "channels": {"default": "https://a.example.com/"}}


def test_all_mistakes_at_once_with_the_nearest_type() -> None:
    wrong = settings(
        fw={"type": "nftable"},
        hook={"type": "webhook", "chanels": {}},
        geo={"type": "geoip", "databases": []},
    )
    with pytest.raises(ConfigError) as caught:
        build_connectors(wrong)
    told = str(caught.value)
    for part in (
        "connectors.fw.type: no connector is of type 'nftable'; did you mean nftables?",
        "connectors.hook.secret: Field required",
        "connectors.hook.chanels: Extra inputs are not permitted",
        "connectors.geo.databases:",
    ):
        assert part in told


def test_a_verb_that_one_connector_serves_is_bound_to_it() -> None:
    built = build_connectors(settings(fw={"type": "nftables"}, hook=HOOK))
    assert bind(built, {}) == {"firewall.block_ip": "fw", NOTIFY: "hook"}
    assert actions(built, {})["firewall.block_ip"].reversible


def test_ambiguity_names_both_and_a_binding_decides() -> None:
    built = build_connectors(settings(inner={"type": "nftables"}, outer={"type": "nftables"}))
    with pytest.raises(ConfigError, match=r"inner and outer: set response\.bindings"):
        bind(built, {})
    assert bind(built, {"firewall.block_ip": "outer"}) == {"firewall.block_ip": "outer"}


@pytest.mark.parametrize(
    ("bindings", "told"),
    [
        ({"firewall.block_ip": "nowhere"}, "no connector is called nowhere; configured are fw"),
        ({"host.isolate": "fw"}, "fw does not serve host.isolate, it serves firewall.block_ip"),
    ],
)
def test_a_binding_that_cannot_be_is_told(bindings: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        bind(build_connectors(settings(fw={"type": "nftables"})), bindings)


def test_a_webhook_serves_only_what_is_configured() -> None:
    both = {**HOOK, "containment": "https://fw.example.com/"}
    assert set(actions(build_connectors(settings(hook=HOOK)), {})) == {NOTIFY}
    assert set(actions(build_connectors(settings(hook=both)), {})) == {NOTIFY, CONTAIN}


def test_reports_are_always_there_and_data_brings_its_look_up() -> None:
    implied = configured(
        Settings(enrichment=EnrichmentSettings(geoip=(Path("a"),), inventory=Path("b.csv")))
    )
    assert sorted(implied) == ["geoip", "inventory", "report"]
    assert set(actions(build_connectors(implied), {})) == {
        "case.report",
        "geoip.lookup",
        "inventory.lookup",
    }


def test_every_manifest_is_sound() -> None:
    """What is contained can be undone; targets are inputs; what remains open is told."""
    for name, kind in KINDS.items():
        verbs = [action.verb for action in kind.actions]
        assert len(verbs) == len(set(verbs)) > 0, name
        for action in kind.actions:
            where = f"{name} {action.verb}"
            assert action.target in action.inputs.model_fields, where
            assert action.reversible == (action.action_class == "contain"), where
            assert bool(action.residual) == (action.action_class in ("contain", "destructive")), (
                where
            )
            assert action.summary, where


def test_a_verb_means_the_same_wherever_it_is_bound() -> None:
    seen: dict[str, tuple[object, ...]] = {}
    for kind in KINDS.values():
        for action in kind.actions:
            meaning = (action.inputs, action.target, action.entity, action.action_class)
            assert seen.setdefault(action.verb, meaning) == meaning, action.verb


def test_secrets_are_references_and_the_manifest_names_them() -> None:
    for name, kind in KINDS.items():
        fields = kind.config.model_fields
        secrets = {key for key, field in fields.items() if SecretField() in field.metadata}
        manifest = getattr(sys.modules[kind.config.__module__], "MANIFEST", None)
        if manifest is not None:
            assert manifest.name == name
            assert set(manifest.secrets) == secrets, name
        for key in secrets:
            with pytest.raises(ValidationError, match="must be a reference"):
                TypeAdapter(fields[key].rebuild_annotation()).validate_python("pa55word")
        plain = {key for key in fields if re.search("secret|token|password|api_?key", key)}
        assert plain - secrets <= {"secret"}, f"{name}: {plain - secrets}"


def test_every_action_has_its_row_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "connectors.md").read_text("utf-8")
    rows = {tuple(cell.strip(" `") for cell in line.split("|")[1:-1])[:4]
            for line in page.splitlines() if line.startswith("| `")}  # fmt: skip
    there = {(name, action.verb, str(action.action_class), str(action.idempotence))
             for name, kind in KINDS.items() for action in kind.actions}  # fmt: skip
    assert rows == there
    for kind in KINDS.values():
        for action in kind.actions:
            assert action.residual in page, action.verb
