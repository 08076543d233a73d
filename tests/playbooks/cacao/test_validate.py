"""What breaks the standard is refused with its place; what is open in it, is open."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.cacao.native import identifier
from playbooks.cacao.problems import Level, Problems
from playbooks.cacao.reading import read_cacao
from playbooks.cacao.validate import validate
from tests.playbooks.cacao.example import ID, manual, playbook
from tocsin.errors import ContentErrors

#: In place of a value: take the key away.
GONE: Any = object()
NOBODY = identifier("individual", "nobody")
NOWHERE = identifier("end", "nowhere")


def problems_of(broken: dict[str, Any]) -> Problems:
    problems = Problems()
    validate(broken, problems)
    return problems


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with one value changed; names of the example stand for their ids."""
    made = playbook()
    *parents, last = [ID.get(part, part) for part in path.split("/")]
    holder: Any = made
    for part in parents:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    key: Any = int(last) if isinstance(holder, list) else last
    if value is GONE:
        del holder[key]
    else:
        holder[key] = value
    return made


SIGNATURE: dict[str, Any] = {
    "type": "jss", "id": identifier("jss", "first"), "signee": "Example",
    "created": "2026-02-02T00:00:00.000Z", "modified": "2026-02-02T00:00:00.000Z",
    "related_to": ID["own"], "related_version": "2026-02-02T00:00:00.000Z",
    "hash_algorithm": "sha-256", "algorithm": "Ed25519", "public_key": "a", "value": "b",
}  # fmt: skip

#: One mistake each: where, the wrong value, and words of the complaint.
BROKEN: list[tuple[str, Any, str]] = [
    *((name, GONE, f"needs '{name}'") for name in (
        "type", "spec_version", "id", "name", "created_by", "created", "modified",
        "workflow_start", "workflow",
    )),
    ("type", "bundle", "not one of playbook"),
    ("spec_version", "1.1", "not one of cacao-2.0"),
    ("id", "playbook--1", "no identifier"),
    ("id", "playbook--00000000-0000-0000-0000-000000000000", "no identifier"),
    ("id", ID["look"], "identifies 'action'"),
    ("created_by", ID["ana"], "not identity"),
    ("priority", 101, "between 0 and 100"),
    ("severity", -1, "between 0 and 100"),
    ("impact", "5", "no whole number"),
    ("impact", True, "no whole number"),
    ("created", "2026-02-30T00:00:00.000Z", "RFC 3339"),
    ("created", "2026-02-01T00:00:00.000+01:00", "RFC 3339"),
    ("modified", "2026-01-01T00:00:00.000Z", "before 'created'"),
    ("valid_until", "2026-02-02T00:00:00.0Z", "not after"),
    ("revoked", "no", "neither true nor false"),
    ("labels", [], "at least 1"),
    ("labels", "a", "no list"),
    ("derived_from", ["x"], "no identifier"),
    ("markings", [identifier("marking-tlp", "another")], "data_marking_definitions"),
    ("external_references/0/url", GONE, "needs one of"),
    ("external_references/0/name", GONE, "needs 'name'"),
    ("playbook_extensions", {"theirs": {}}, "no identifier"),
    ("extension_definitions/extension/schema", GONE, "needs 'schema'"),
    ("signatures", [{"type": "jss"}], "needs 'algorithm'"),
    ("data_marking_definitions/tlp/tlpv2_level", "TLP:WHITE", "TLP:CLEAR"),
    ("data_marking_definitions/tlp/id", identifier("marking-tlp", "another"), "not the key"),
    # variables
    ("playbook_variables/ip", {"type": "string"}, "no name of a variable"),
    ("playbook_variables/__ip__/type", GONE, "needs 'type'"),
    ("playbook_variables/__ip__/value", "999.0.2.1", "no IPv4 address"),
    ("playbook_variables/__score__/value", 3, "text, null or a JSON object"),
    ("playbook_variables/__score__/value", "three", "no integer"),
    ("playbook_variables/__score__/constant", "yes", "neither true nor false"),
    # agents, targets, logins
    ("agent_definitions/ana/name", GONE, "needs 'name'"),
    ("agent_definitions/ana/type", "group", "its id says 'individual'"),
    ("agent_definitions/ana/contact/email/work", "a@example.com;`ls`", "no mail address"),
    ("agent_definitions/ana/location/country", "XX", "ISO 3166-1"),
    ("agent_definitions/ana/location/region", "the-moon", "not one of africa"),
    ("agent_definitions/ana/location/latitude", "-90", "above -90"),
    ("agent_definitions/ana/location/latitude", GONE, "needs 'latitude' beside"),
    ("target_definitions/host/address", GONE, "needs 'address'"),
    ("target_definitions/host/address/ipv4", ["192.0.2"], "no IPv4 address"),
    ("target_definitions/host/address/ipv5", ["1"], "no kind of address"),
    ("target_definitions/host/address/vlan", ["5000"], "between 0 and 4095"),
    ("target_definitions/host/port", "99999", "no port"),
    ("target_definitions/host/authentication_info", identifier("user-auth", "x"), "is not in"),
    ("authentication_info_definitions/login/kms", True, "needs 'kms_key_identifier'"),
    # steps
    ("workflow/look/agent", GONE, "needs 'agent'"),
    ("workflow/look/agent", NOBODY, "agent_definitions"),
    ("workflow/look/targets", [NOBODY], "target_definitions"),
    ("workflow/look/targets", [], "at least 1"),
    ("workflow/look/commands", [], "at least 1"),
    ("workflow/look/commands", GONE, "needs 'commands'"),
    ("workflow/look/commands/0/type", GONE, "needs 'type'"),
    ("workflow/look/commands/0/command", GONE, "one of them is missing"),
    ("workflow/look/commands/0/command_b64", "bHM=", "not both"),
    ("workflow/look/commands/1/command_b64", "%%", "no Base64"),
    ("workflow/look/timeout", -1, "below 0"),
    ("workflow/look/timeout", "10", "no whole number"),
    ("workflow/look/on_completion", ID["if"], "cannot stand beside"),
    ("workflow/yes/type", "single", "a step of CACAO 1"),
    ("workflow/yes/type", "dance", "not one of start"),
    ("workflow/yes/type", "end", "its id says 'action'"),
    ("workflow/yes", "text", "is a JSON object"),
    ("workflow/parallel/next_steps", [ID["b1"]], "at least 2"),
    ("workflow/parallel/next_steps", GONE, "needs 'next_steps'"),
    ("workflow/if/condition", GONE, "needs 'condition'"),
    ("workflow/if/condition", " ", "empty"),
    ("workflow/if/on_true", GONE, "needs 'on_true'"),
    ("workflow/while/on_true", GONE, "needs 'on_true'"),
    ("workflow/choice/switch", GONE, "needs 'switch'"),
    ("workflow/choice/cases", {}, "goes nowhere"),
    ("workflow/while/on_completion", GONE, "when its condition is false"),
    ("workflow/look/step_extensions", {}, "is empty"),
    ("target_definitions", {}, "is empty"),
    ("playbook_extensions", {}, "is empty"),
    ("signatures", [SIGNATURE | {"cert_url": "https://example.com/cert"}], "has only one of"),
    ("signatures", [SIGNATURE | {"related_version": "yesterday"}], "RFC 3339"),
    ("workflow/call/playbook_id", GONE, "needs 'playbook_id'"),
    ("workflow/call/playbook_id", ID["look"], "not playbook"),
    ("workflow/call/playbook_id", ID["own"], "call itself"),
    # how they hang together
    ("workflow_start", identifier("start", "x"), "there is no step"),
    ("workflow_start", ID["look"], "not a start step"),
    ("workflow_exception", NOWHERE, "there is no step"),
    ("workflow/yes/on_completion", NOWHERE, "there is no step"),
    ("workflow/yes/on_completion", GONE, "nothing comes after"),
    ("workflow/choice/cases/b", NOWHERE, "there is no step"),
    ("workflow/end/on_completion", ID["look"], "an end step has no"),
    ("workflow/start/on_success", ID["look"], "a start step has no"),
    ("workflow/yes/on_completion", ID["look"], "never end"),
    ("workflow/yes/on_completion", ID["yes"], "never end"),
    ("workflow/yes/on_completion", ID["start"], "a start step cannot"),
    (f"workflow/{identifier('action', 'orphan')}", manual("x", "end"), "never run"),
    ("workflow/start", GONE, "needs a start step"),
]  # fmt: skip

#: What the standard leaves open.
OPEN: list[tuple[str, Any]] = [
    ("playbook_types", ["a-type-of-our-own"]),
    ("playbook_types", []),
    ("playbook_variables/___hidden__", {"type": "string", "value": ""}),
    ("modified", "2026-02-03T00:00:00.123456789012Z"),
    ("signatures", [SIGNATURE]),
    ("signatures", [SIGNATURE | {"signature": SIGNATURE | {"id": identifier("jss", "again")}}]),
    ("industry_sectors", ["cheese"]),
    ("revoked", True),
    ("modified", "2026-02-01T00:00:00Z"),
    ("workflow_exception", GONE),
    ("workflow/look/commands/0", {"type": "dance", "tempo": "fast"}),
    ("workflow/look/step_extensions", {ID["extension"]: {"a": [1]}}),
    ("workflow/body/on_completion", ID["while"]),
    ("playbook_variables/__ip__/value", None),
    ("playbook_variables/__ip__/value", "__other__:value"),
    ("playbook_variables/__cat__", {"type": "cat", "value": "tabby"}),
    ("target_definitions/host/address/url", ["https://example.com/"]),
    ("authentication_info_definitions/login",
     {"type": "user-auth", "kms": True, "kms_key_identifier": "k"}),
    ("agent_definitions/robot--5f3a1c52-7a0e-4b7e-8b58-1f8e3f1f2a11",
     {"type": "robot", "name": "R", "arms": 2}),
]  # fmt: skip

#: Against the letter of the standard, and of one meaning.
WARNED: list[tuple[str, Any, str]] = [
    ("created", "2026-02-01T00:00:00.000001Z", "three digits"),
    ("favourite", "blue", "no property 'favourite'"),
    ("playbook_extensions", {identifier("extension-definition", "x"): {}}, "extension_definitions"),
    ("workflow/yes/commands/0/command", "see __unknown__:value", "not declared"),
    ("workflow/yes/commands/0/command", "see __mine__:value", "belongs to another step"),
    ("workflow/no/on_completion", ID["end_true"], "share the end step"),
    ("playbook_processing_summary", {"while_logic": False}, "says otherwise"),
]


def test_the_example_is_valid() -> None:
    assert problems_of(playbook()).found == []


def test_each_mistake_is_an_error_that_says_what_is_wrong() -> None:
    for path, value, words in BROKEN:
        errors = problems_of(changed(path, value)).of(Level.ERROR)
        assert errors, f"{path} = {value!r} is accepted"
        told = [f"{error.pointer}: {error.message}" for error in errors]
        assert any(words in line for line in told), f"{path} = {value!r}: {told}"


def test_what_is_open_is_accepted() -> None:
    for path, value in OPEN:
        errors = problems_of(changed(path, value)).of(Level.ERROR)
        assert not errors, f"{path} = {value!r}: {errors}"


def test_deviations_are_told_and_strictness_refuses_them() -> None:
    for path, value, words in WARNED:
        problems = problems_of(changed(path, value))
        problems.refuse("a.json")
        told = [problem.message for problem in problems.of(Level.WARNING)]
        assert any(words in line for line in told), f"{path}: {told}"
        with pytest.raises(ContentErrors):
            problems.refuse("a.json", strict=True)


def test_all_mistakes_come_at_once_with_their_pointers() -> None:
    broken = playbook() | {"priority": 900, "created": "yesterday"}
    broken["workflow"][ID["yes"]]["agent"] = NOBODY
    with pytest.raises(ContentErrors) as caught:
        problems_of(broken).refuse("wrong.json")
    places = {error.place.key for error in caught.value.errors}
    assert places == {"/priority", "/created", f"/workflow/{ID['yes']}/agent"}
    assert all(error.place.path == "wrong.json" for error in caught.value.errors)


def test_a_misspelt_property_is_named() -> None:
    broken = changed("workflow/if/on_true", GONE)
    broken["workflow"][ID["if"]]["on_ture"] = ID["yes"]
    suggestions = [error.suggestion for error in problems_of(broken).of(Level.ERROR)]
    assert "did you mean 'on_true'?" in suggestions


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[]", "JSON object"),
        (b"{", "no JSON"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"a": NaN}', "no number"),
        (b"\xff", "not UTF-8"),
        (b'{"a": "\\ud800"}', "no Unicode"),
        (b"[" * 100_000, "nest deeper"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "nest deeper"),
        (b" " * 3_000_000, "at most"),
    ],
)
def test_hostile_files_are_refused(data: bytes, words: str) -> None:
    problems = Problems()
    assert read_cacao(data, problems) is None
    assert words in problems.found[0].message


#: Values that stand where nobody expects them.
ODD: list[Any] = [
    None, 1, "x", [], {}, [None], [[]], {"x": None}, {"x": []}, [{}], [{"type": {}}],
    {"a--b": {"type": []}},
]  # fmt: skip


def test_values_of_any_type_anywhere_raise_nothing() -> None:
    for value in ODD:
        for name in playbook():
            problems_of(playbook() | {name: value})
        for name in ("look", "if", "parallel", "choice", "call"):
            for key in ("type", "agent", "targets", "commands", "cases", "next_steps", "on_true"):
                problems_of(changed(f"workflow/{name}/{key}", value))
