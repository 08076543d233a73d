"""Whole documents: no canary leaves, they stay valid, and the same in gives the same out."""

from __future__ import annotations

import copy
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar

import orjson
import pytest

from ingest.privacy import Policy, open_sealed
from tests.ingest.privacy.keys import MemoryKeys
from tocsin.deadletters import SEALED
from tocsin.enrichment_config import PrivacySettings
from tocsin.errors import BadInput, ConfigError
from tocsin.log.base import MAX_RECORD

SECRET = b"a secret of the tests, long enough"
CANARIES = ("zcanaryuser", "z.canary@example.com", "198.51.100.77", "2001:db8::c0de")


def policy(*rules: dict[str, Any], keys: MemoryKeys | None = None, **more: Any) -> Policy:
    settings = PrivacySettings.model_validate(
        {"policies": [{"sources": ["vpn*"], "rules": rules, **more}]}
    )
    return Policy(settings, SECRET, keys or MemoryKeys())


def event(**changes: Any) -> dict[str, Any]:
    """A document with each canary in every corner that normalizing puts values into."""
    user, mail, four, six = CANARIES
    original = orjson.dumps(
        {
            "u": user.upper(),
            "m": mail,
            "path": f"/home/{user}/x?to=z.canary%40example.com&ip={four}",
            "peer": "2001:0DB8:0:0::C0DE",
            "note": f"tab\t{user}",
        }
    ).decode()
    return {
        "@timestamp": "2026-01-05T10:00:00.000Z",
        "ecs": {"version": "9.2.0"},
        "event": {
            "id": "00112233445566778899aabbccddeeff",
            "kind": "event",
            "outcome": "success",
            "original": original,
            "action": "login",
        },
        "message": f"{user} <{mail}> from {four} via ip-198-51-100-77.example.net [{six}]:443",
        "user": {"name": user, "email": mail, "id": "1007"},
        "source": {"ip": four, "address": four, "port": 4711, "geo": {"country_iso_code": "XS"}},
        "destination": {"ip": six, "domain": "ip-198-51-100-77.example.net"},
        "url": {"original": f"/home/{user}/x?to=z.canary%40example.com", "path": f"/home/{user}/x"},
        "related": {"user": [user, mail], "ip": [four, six], "hosts": ["vpn-01"]},
        "host": {"name": "vpn-01"},
        "vendor": {
            "raw": {user + "@corp": 1, "list": [{"who": user}, [mail]]},
            "text": f"CORP\\{user}",
        },
        "tocsin": {"source": "vpn-1", "tenant": "default", "origin": "raw/0/7"},
        **changes,
    }


FIELDS = ["user.name", "user.email", "source.ip", "destination.ip"]


@pytest.mark.parametrize("action", ["drop", "hash", "encrypt"])
@pytest.mark.parametrize("original", ["redact", "drop"])
def test_no_canary_leaves(action: str, original: str) -> None:
    document = event()
    policy({"fields": FIELDS, "action": action}, original=original).apply(document, "vpn-1")
    left = orjson.dumps(document).decode().lower()
    for canary in (*CANARIES, "z.canary%40", "198-51-100-77", "2001:0db8", "c0de"):
        assert canary not in left, canary
    assert document["event"]["id"] == event()["event"]["id"]
    assert document["event"]["outcome"] == "success"
    assert ("original" in document["event"]) == (original == "redact")
    assert document["source"]["port"] == 4711
    for body in (document["source"], document["destination"]):
        if "ip" in body:
            ip_address(body["ip"])
    for ip in document["related"].get("ip", []):
        ip_address(ip)


def test_hashing_keeps_what_belongs_together_together() -> None:
    first, second = event(), event(message="zcanaryuser again")
    rules = policy({"fields": FIELDS, "action": "hash"})
    rules.apply(first, "vpn-1")
    rules.apply(second, "vpn-2")
    name = first["user"]["name"]
    assert name.startswith("anon-")
    assert len(name) == 37
    assert second["user"]["name"] == name
    assert second["message"] == f"{name} again"
    assert first["related"]["user"] == [name, first["user"]["email"]]
    assert first["source"]["ip"] == first["source"]["address"] == first["related"]["ip"][0]
    assert ip_address(first["source"]["ip"]) in ip_network("fd00::/8")
    assert first["tocsin"]["privacy"] == {"hashed": FIELDS}


def test_tenants_and_secrets_have_pseudonyms_of_their_own() -> None:
    rule = {"fields": ["user.name"], "action": "hash"}
    names = set()
    for tenant, secret in (("a", SECRET), ("b", SECRET), ("a", b"another secret of the tests")):
        document = event(tocsin={"tenant": tenant})
        settings = PrivacySettings.model_validate({"policies": [{"rules": [rule]}]})
        Policy(settings, secret, MemoryKeys()).apply(document, "vpn-1")
        names.add(document["user"]["name"])
    assert len(names) == 3


class TestSealing:
    RULE: ClassVar[dict[str, Any]] = {
        "fields": ["user.name", "user.email", "user.id"],
        "action": "encrypt",
        "subject": "user.name",
    }

    def test_the_subjects_key_opens_it_and_no_other(self) -> None:
        keys = MemoryKeys()
        document = event()
        policy(self.RULE, keys=keys).apply(document, "vpn-1")
        assert list(keys.made) == ["zcanaryuser"]
        id = document["event"]["id"]
        sealed = document["tocsin"]["privacy"]["sealed"]
        opened = {
            each["field"]: open_sealed(each, keys.made["zcanaryuser"].secret, id) for each in sealed
        }
        assert opened == {
            "user.name": "zcanaryuser",
            "user.email": "z.canary@example.com",
            "user.id": "1007",
        }
        for secret, at in ((keys.key("other").secret, id), (keys.made["zcanaryuser"].secret, "x")):
            with pytest.raises(ValueError, match="another key, for another place, or altered"):
                open_sealed(sealed[0], secret, at)
        moved = {**sealed[0], "field": "user.email"}
        with pytest.raises(ValueError, match="another key"):
            open_sealed(moved, keys.made["zcanaryuser"].secret, id)

    @pytest.mark.parametrize(
        "sealed", [{}, {"value": 1, "field": "x"}, {"value": "!", "field": ""}]
    )
    def test_what_is_not_sealed_does_not_open(self, sealed: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"."):
            open_sealed(sealed, b"k" * 32, "id")

    def test_without_its_subject_a_value_is_its_own(self) -> None:
        keys = MemoryKeys()
        document = event()
        del document["user"]["name"]
        policy(self.RULE, keys=keys).apply(document, "vpn-1")
        assert set(keys.made) == {"z.canary@example.com", "1007"}

    def test_another_tenant_has_another_subject(self) -> None:
        keys = MemoryKeys()
        policy(self.RULE, keys=keys).apply(event(tocsin={"tenant": "acme"}), "vpn-1")
        assert list(keys.made) == ["acme/zcanaryuser"]

    def test_numbers_and_lists(self) -> None:
        keys = MemoryKeys()
        document = event(user={"id": 1007, "roles": ["zcanaryuser", "ops"]}, message="uid 1007")
        policy({"fields": ["user.id", "user.roles"], "action": "encrypt"}, keys=keys).apply(
            document, "vpn-1"
        )
        assert "id" not in document["user"]
        assert "1007" not in document["message"]
        sealed = document["tocsin"]["privacy"]["sealed"]
        values = [open_sealed(s, keys.by_id(s["key"]).secret, document["event"]["id"])  # type: ignore[union-attr]  # it is there
                  for s in sealed]  # fmt: skip
        assert values == [1007, ["zcanaryuser", "ops"]]


@pytest.mark.parametrize("action", ["drop", "hash", "encrypt"])
def test_the_same_document_gives_the_same_bytes(action: str) -> None:
    rules = policy({"fields": FIELDS, "action": action})
    made = []
    for _ in range(2):
        document = event()
        rules.apply(document, "vpn-1")
        made.append(orjson.dumps(document))
    assert made[0] == made[1]


def test_rules_do_not_see_each_others_work_and_the_first_counts() -> None:
    document = event()
    policy(
        {"fields": ["user.name"], "action": "hash"},
        {"fields": ["user.email"], "action": "encrypt", "subject": "user.name"},
        {"fields": ["user.name"], "action": "drop"},
        keys=(keys := MemoryKeys()),
    ).apply(document, "vpn-1")
    assert list(keys.made) == ["zcanaryuser"]
    assert document["related"]["user"][0].startswith("anon-")
    assert "zcanaryuser" not in orjson.dumps(document).decode().lower()


def test_an_id_that_holds_a_name_stays_one_id() -> None:
    ids = []
    for _ in range(2):
        document = event()
        document["event"]["id"] = "zcanaryuser-4711"
        policy({"fields": ["user.name"], "action": "drop"}).apply(document, "vpn-1")
        ids.append(document["event"]["id"])
    assert ids[0] == ids[1]
    assert "canary" not in ids[0]
    assert len(ids[0]) == 32


def test_other_sources_are_left_alone() -> None:
    document = event()
    rules = policy({"fields": FIELDS, "action": "drop"}, residency="eu")
    rules.apply(document, "web-1")
    assert document == event()
    assert not rules.covers("web-1")
    assert rules.covers("vpn-1")


def test_residency_is_a_tag_also_without_rules() -> None:
    document = event()
    policy(residency="eu").apply(document, "vpn-1")
    assert document["tocsin"]["residency"] == "eu"
    document["tocsin"].pop("residency")
    assert document == event()


@pytest.mark.parametrize(
    "user",
    [None, "zcanaryuser", [], {}, {"name": None}, {"name": ""}, {"name": ["zcanaryuser"]},
     [{"name": "zcanaryuser"}], {"name": {"first": "x"}}, {"name": 1.5}, {"name": True},
     {"name": "z" * 100_000}],
)  # fmt: skip
@pytest.mark.parametrize("action", ["drop", "hash", "encrypt"])
def test_documents_of_any_shape(user: Any, action: str) -> None:
    document = {"user": copy.deepcopy(user), "message": "x"}
    policy({"fields": ["user.name"], "action": action}).apply(document, "vpn-1")
    orjson.dumps(document)
    for container in [user] if isinstance(user, dict) else user if isinstance(user, list) else []:
        if container.get("name"):
            left = document["user"] if isinstance(document["user"], dict) else document["user"][0]
            assert left.get("name") != container["name"]


def test_vendor_fields_and_dotted_keys() -> None:
    document: dict[str, Any] = {
        "aws": {"resources": [{"arn": "zcanary-1"}, {"arn": "zcanary-2"}]},
        "labels": {"a.b": "zcanary-3"},
    }
    policy({"fields": ["aws.resources.arn", "labels.a.b"], "action": "drop"}).apply(
        document, "vpn-1"
    )
    assert "zcanary" not in str(document)


class TestMistakes:
    @pytest.mark.parametrize(
        "field", ["@timestamp", "event.id", "event.kind", "event", "tocsin", "tocsin.source",
                  "ecs.version", "user..name", ""],
    )  # fmt: skip
    def test_what_an_event_needs_cannot_be_taken(self, field: str) -> None:
        with pytest.raises(ConfigError, match="privacy: "):
            policy({"fields": [field], "action": "drop"})

    def test_a_short_secret(self) -> None:
        settings = PrivacySettings.model_validate(
            {"policies": [{"rules": [{"fields": ["user.name"], "action": "hash"}]}]}
        )
        with pytest.raises(ConfigError, match="at least 16 bytes"):
            Policy(settings, b"short", MemoryKeys())

    def test_a_subject_without_encryption(self) -> None:
        with pytest.raises(ValueError, match="only `encrypt` has a subject"):
            policy({"fields": ["user.name"], "action": "hash", "subject": "user.id"})


class TestRecords:
    RULES: ClassVar[dict[str, Any]] = {"fields": ["user.name"], "action": "hash"}

    def test_the_key_of_a_record_is_no_name(self) -> None:
        rules = policy(self.RULES)
        made = rules.record_key(b"zcanaryuser", "vpn-1")
        assert made is not None
        assert b"zcanary" not in made
        assert made == rules.record_key(b"zcanaryuser", "vpn-2")
        assert rules.record_key(b"web-1", "web-1") == b"web-1"
        assert rules.record_key(None, "vpn-1") is None

    def test_a_dead_letters_bytes_are_sealed_and_open_again(self) -> None:
        keys = MemoryKeys()
        rules = policy(self.RULES, keys=keys)
        line = b"login of zcanaryuser \xff\x00"
        sealed = rules.seal_original(line, "vpn-1")
        assert b"zcanary" not in sealed
        assert sealed == rules.seal_original(line, "vpn-1")
        assert rules.open_original(sealed, "vpn-1") == line
        assert rules.open_original(line, "vpn-1") == line
        assert rules.seal_original(line, "web-1") == line
        with pytest.raises(BadInput, match="another place"):
            rules.open_original(sealed, "vpn-2")
        with pytest.raises(BadInput, match="altered"):
            rules.open_original(sealed[:-1] + b"?", "vpn-1")
        keys.made.clear()
        with pytest.raises(BadInput, match="is gone"):
            rules.open_original(sealed, "vpn-1")

    def test_bytes_that_would_not_fit_a_record_are_withheld(self) -> None:
        rules = policy(self.RULES)
        assert rules.seal_original(bytes(MAX_RECORD), "vpn-1") == SEALED
        with pytest.raises(BadInput, match="is gone"):
            rules.open_original(SEALED, "vpn-1")
