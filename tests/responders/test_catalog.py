"""The catalog: all mistakes at once, the nearest type, bindings without ambiguity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from responders.catalog import KINDS, actions, bind, build_connectors, configured
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
    """What is contained can be undone; targets are inputs; verbs are named once."""
    made = build_connectors(
        settings(
            fw={"type": "nftables"},
            iso={"type": "isolation", "hosts": {"a": {}}, "keep": ["192.0.2.1"]},
            hook={**HOOK, "containment": "https://fw.example.com/"},
            geo={"type": "geoip", "databases": ["x"]},
            inv={"type": "inventory", "path": "x"},
            rep={"type": "report"},
        )
    )
    assert {connector.manifest.name for connector in made.values()} == set(KINDS)
    for connector in made.values():
        verbs = [action.verb for action in connector.manifest.actions]
        assert len(verbs) == len(set(verbs)) > 0
        for action in connector.manifest.actions:
            assert action.target in action.inputs.model_fields
            assert action.reversible == (action.action_class == "contain")
            assert action.summary
