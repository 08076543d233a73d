"""Assets and identities: found by name and address, ECS-valid, read again when files change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.enrich.assets import Inventory
from ingest.enrich.identities import Identities, read_identities

if TYPE_CHECKING:
    from pathlib import Path

ASSETS = """\
name,addresses,criticality,owner,tags
web-01,192.0.2.10,high,web team,dmz;linux
office,192.0.2.0/24,low,,
"""
PEOPLE = """\
name,aliases,full_name,email,criticality,owner,tags
ada,S-1-5-21-1;1001,Ada Example,ada@example.com,critical,,admin
backup,,,,high,ops team,service
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    (tmp_path / "assets.csv").write_text(ASSETS, "utf-8")
    made = Inventory(tmp_path / "assets.csv")
    made.refresh()
    return made


@pytest.fixture
def identities(tmp_path: Path) -> Identities:
    (tmp_path / "people.csv").write_text(PEOPLE, "utf-8")
    made = Identities(tmp_path / "people.csv")
    made.refresh()
    return made


def enriched(step: Inventory | Identities, document: dict[str, Any]) -> dict[str, Any]:
    step.apply(document)
    return document


WEB = {"name": "web-01", "criticality": "high", "owner": "web team", "tags": ["dmz", "linux"]}


class TestAssets:
    @pytest.mark.parametrize(
        "host",
        [
            {"name": "WEB-01"},
            {"hostname": "web-01."},
            {"ip": ["10.0.0.1", "192.0.2.10"]},
            {"name": "unknown", "ip": "192.0.2.10"},
        ],
    )
    def test_a_host_by_any_of_its_names(self, inventory: Inventory, host: dict[str, Any]) -> None:
        assert enriched(inventory, {"host": host})["tocsin"]["asset"] == {"host": WEB}

    def test_endpoints_and_the_narrowest_range(self, inventory: Inventory) -> None:
        document = {
            "source": {"ip": "203.0.113.5", "address": "203.0.113.5"},
            "destination": {"ip": "192.0.2.10"},
            "server": {"domain": "web-01"},
            "client": {"ip": "192.0.2.77"},
        }
        assert enriched(inventory, document)["tocsin"]["asset"] == {
            "destination": WEB,
            "client": {"name": "office", "criticality": "low"},
            "server": WEB,
        }

    def test_beside_what_is_there_of_our_own(self, inventory: Inventory) -> None:
        document = enriched(inventory, {"host": {"name": "web-01"}, "tocsin": {"source": "s"}})
        assert document["tocsin"] == {"source": "s", "asset": {"host": WEB}}

    @pytest.mark.parametrize(
        "body", [None, [], "web-01", {"name": None}, {"name": 7}, {"ip": [7]}, {"name": "x" * 9999}]
    )
    def test_strangers_and_odd_shapes_cost_nothing(self, inventory: Inventory, body: Any) -> None:
        document = {"host": body, "source": body}
        assert enriched(inventory, dict(document)) == document

    def test_hot_reload_and_a_broken_file(self, inventory: Inventory, tmp_path: Path) -> None:
        path = tmp_path / "assets.csv"
        path.write_text("name,criticality\nweb-01,enormous\n", "utf-8")
        inventory.refresh()
        assert enriched(inventory, {"host": {"name": "web-01"}})["tocsin"]["asset"]["host"] == WEB
        path.write_text("name,criticality\nweb-01,critical\n", "utf-8")
        inventory.refresh()
        told = enriched(inventory, {"host": {"name": "web-01"}})["tocsin"]["asset"]["host"]
        assert told == {"name": "web-01", "criticality": "critical"}

    def test_without_a_file_nothing_is_known(self, tmp_path: Path) -> None:
        missing = Inventory(tmp_path / "none.csv")
        missing.refresh()
        assert enriched(missing, {"host": {"name": "web-01"}}) == {"host": {"name": "web-01"}}


class TestIdentities:
    @pytest.mark.parametrize(
        "user", [{"name": "ADA"}, {"id": "S-1-5-21-1"}, {"id": "1001"}, {"name": "x", "id": "1001"}]
    )
    def test_a_user_by_any_of_its_names(self, identities: Identities, user: dict[str, Any]) -> None:
        document = enriched(identities, {"user": dict(user)})
        assert document["user"] == {**user, "full_name": "Ada Example", "email": "ada@example.com"}
        assert document["tocsin"]["identity"] == {
            "user": {"name": "ada", "criticality": "critical", "tags": ["admin"]}
        }

    def test_every_place_of_an_account(self, identities: Identities) -> None:
        document = {
            "user": {"name": "ada", "target": {"name": "backup"}, "effective": {"name": "root"}},
            "source": {"user": {"name": "backup"}},
        }
        told = enriched(identities, document)["tocsin"]["identity"]
        assert told["user"]["name"] == "ada"
        assert told["user_target"] == {
            "name": "backup",
            "criticality": "high",
            "owner": "ops team",
            "tags": ["service"],
        }
        assert told["source_user"]["name"] == "backup"
        assert "user_effective" not in told

    def test_what_the_event_says_itself_stays(self, identities: Identities) -> None:
        document = enriched(identities, {"user": {"name": "ada", "full_name": "A. E."}})
        assert document["user"]["full_name"] == "A. E."

    @pytest.mark.parametrize("user", [None, [], "ada", {"name": ["ada"]}, {"name": 7}, {}])
    def test_odd_shapes_cost_nothing(self, identities: Identities, user: Any) -> None:
        document = {"user": user, "source": {"user": user}}
        assert enriched(identities, dict(document)) == document

    def test_one_name_of_two_accounts_is_a_mistake(self, tmp_path: Path) -> None:
        path = tmp_path / "people.yml"
        path.write_text("- {name: ada, aliases: [x]}\n- {name: bob, email: X}\n", "utf-8")
        with pytest.raises(ValueError, match="names of two accounts: x"):
            read_identities(path)

    def test_mistakes_are_named_by_row(self, tmp_path: Path) -> None:
        path = tmp_path / "people.csv"
        path.write_text("name,phone\nada,1\n", "utf-8")
        with pytest.raises(ValueError, match="line 2: unknown phone; known are aliases"):
            read_identities(path)
