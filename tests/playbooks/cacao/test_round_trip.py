"""Import, export, import again: the same meaning; and a report of what is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.cacao.exporting import export_cacao
from playbooks.cacao.importing import import_cacao
from playbooks.cacao.meaning import WITHHELD, meaning
from playbooks.cacao.native import identifier
from playbooks.cacao.problems import Level, Problems
from playbooks.cacao.validate import validate
from playbooks.loading import LIBRARY, load_playbook
from playbooks.source import read_source
from playbooks.writing import to_yaml
from responders.catalog import known_actions
from tests.playbooks.cacao.example import ID, manual, playbook

AT = "2026-03-01T00:00:00.000Z"


def imported(source: dict[str, Any]) -> tuple[dict[str, Any], Problems]:
    problems = Problems()
    return import_cacao(source, problems), problems


def steps_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["id"]: step for step in document["steps"]}


def test_what_is_imported_loads_and_reads_back_from_yaml() -> None:
    document, _ = imported(playbook())
    text = to_yaml(document, "a header")
    assert read_source("a.yml", text.encode()).value == document
    assert load_playbook("a.yml", text.encode(), {}, ()).id == "all-the-ways-" + ID["own"][10:18]


def test_export_of_an_import_means_the_same_and_imports_to_the_same() -> None:
    document, _ = imported(playbook())
    problems = Problems()
    exported = export_cacao(document, problems, at=AT)
    assert meaning(exported) == meaning(playbook())
    assert import_cacao(exported, Problems()) == document
    assert problems.found == []


def test_meaning_differs_where_a_step_differs() -> None:
    other = playbook()
    other["workflow"][ID["yes"]]["commands"][0]["command"] = "Let it in"
    assert meaning(other) != meaning(playbook())
    spelled = playbook() | {"modified": "2026-02-02T00:00:00Z"}
    spelled.pop("revoked")
    assert meaning(spelled) == meaning(playbook())


def test_the_flow_becomes_guarded_steps() -> None:
    steps = steps_of(imported(playbook())[0])
    assert steps["look_up_ip_value"]["with"]["command"] == {"!cel": '"Look up " + vars.ip'}
    assert steps["if_condition"]["let"]["value"] == (
        '(int(vars.score) >= 5 && ((vars.kind == "a" || !(vars.flag == "true"))))'
    )
    assert steps["shut_it_out"]["if"].endswith("&& steps.if_condition.value")
    assert steps["watch_it"]["if"].endswith("&& !steps.if_condition.value")
    branches = steps["parallel"]["parallel"]["branches"]
    assert [branch["id"] for branch in branches] == ["tell_the_owner", "tell_the_team"]


def test_nothing_imported_acts_by_itself() -> None:
    document, _ = imported(playbook())
    assert document["trigger"] == {"when": "false"}
    actions = [step for step in document["steps"] if "action" in step]
    assert all(step["action"].startswith("cacao.") and step["optional"] for step in actions)
    assert not any(verb.startswith("cacao.") for verb in known_actions())


def test_losses_are_told_by_step() -> None:
    _, problems = imported(playbook())
    told = {(loss.step, loss.pointer.rpartition("/")[2]) for loss in problems.of(Level.LOSS)}
    assert {(ID["while"], "on_true"), (ID["look"], "1"), (ID["call"], "playbook_id")} <= told


def test_secrets_do_not_travel_unless_asked() -> None:
    document, _ = imported(playbook())
    assert "canary-4711" not in to_yaml(document)
    logins = document["cacao"]["authentication_info_definitions"]
    assert logins[ID["login"]]["password"] == WITHHELD
    kept = import_cacao(playbook(), Problems(), keep_secrets=True)
    assert "canary-4711" in to_yaml(kept)


def test_the_cacao_document_is_no_part_of_what_a_run_pins() -> None:
    document, _ = imported(playbook())
    bare = {name: value for name, value in document.items() if name != "cacao"}
    with_it, without = (
        load_playbook("a.yml", to_yaml(each).encode(), {}, ()) for each in (document, bare)
    )
    assert with_it.hash == without.hash
    assert "cacao" not in with_it.source


def test_changed_steps_are_exported_as_they_are_now() -> None:
    document, _ = imported(playbook())
    document["steps"][0]["with"]["command"] = "Look twice"
    problems = Problems()
    exported = export_cacao(document, problems, at=AT)
    checked = Problems()
    validate(exported, checked)
    assert checked.of(Level.ERROR) == []
    assert exported["derived_from"] == [ID["own"]]
    assert "Look twice" in str(exported["workflow"])
    assert ("cacao",) in {problem.path for problem in problems.found}


def test_the_library_exports_validly_and_comes_back_whole() -> None:
    for path in sorted(LIBRARY.glob("*.yml")):
        if path.name.endswith(".test.yml"):
            continue
        document = read_source(str(path), path.read_bytes()).value
        problems, checked = Problems(), Problems()
        exported = export_cacao(document, problems, at=AT)
        validate(exported, checked)
        assert checked.found == [], path.name
        assert import_cacao(exported, Problems()) == document, path.name
        assert problems.of(Level.LOSS), path.name


@pytest.mark.parametrize(
    "text",
    ["yes", "0o17", "1e5", "~", "a: b", "- x", "#", "line\nline\n", " x ", "\t", "\x85é", "!cel x",
     "null", "0x1F", "2026-01-01", "<<", "'", '"', "a\\b", "1_000", ".5", "=", "", "é", "a\r\nb"],
)  # fmt: skip
def test_any_text_survives_the_yaml(text: str) -> None:
    written = to_yaml({"a": text, "b": [text], "c": {"d": {"!cel": text}}})
    source = read_source("a.yml", written.encode())
    assert source.errors == []
    assert source.value == {"a": text, "b": [text], "c": {"d": {"!cel": text}}}


def chain(length: int, **changes: Any) -> dict[str, Any]:
    """A playbook of many actions in a row, each with its own way to fail."""
    made = playbook()
    keys = [identifier("action", str(number)) for number in range(length)]
    steps: dict[str, Any] = {
        ID["start"]: {"type": "start", "on_completion": keys[0]},
        ID["end"]: {"type": "end"},
    }
    for key, following in zip(keys, [*keys[1:], ID["end"]], strict=True):
        step = manual("Do __ip__:value", "end") | {"on_success": following, "on_failure": ID["end"]}
        steps[key] = {k: v for k, v in step.items() if k != "on_completion"} | changes
    return made | {"workflow": steps}


def test_long_and_large_workflows_still_load() -> None:
    for source in (chain(120), chain(3, description="x" * 200_000)):
        problems = Problems()
        validate(source, problems)
        problems.refuse("long.json")
        document = import_cacao(source, problems)
        load_playbook("a.yml", to_yaml(document).encode(), {}, ())
        exported = export_cacao(document, Problems(), at=AT)
        checked = Problems()
        validate(exported, checked)
        assert checked.of(Level.ERROR) == []


def test_branches_that_meet_again_unfold_within_bounds() -> None:
    made = playbook()
    steps: dict[str, Any] = {ID["end"]: {"type": "end"}}
    following = ID["end"]
    for number in range(14):
        fork = identifier("if-condition", f"f{number}")
        sides = [identifier("action", f"{side}{number}") for side in "ab"]
        for side in sides:
            steps[side] = manual("x", "end") | {"on_completion": following}
        steps[fork] = {
            "type": "if-condition",
            "condition": "__flag__:value",
            "on_true": sides[0],
            "on_false": sides[1],
        }
        following = fork
    steps[ID["start"]] = {"type": "start", "on_completion": following}
    problems = Problems()
    document = import_cacao(made | {"workflow": steps}, problems)
    load_playbook("a.yml", to_yaml(document).encode(), {}, ())
    assert any("the rest is left out" in loss.message for loss in problems.of(Level.LOSS))


def test_texts_too_long_for_an_expression_stay_texts() -> None:
    made = playbook()
    made["workflow"][ID["yes"]]["commands"][0]["command"] = "__ip__:value " * 900
    made["playbook_variables"]["__kind__"]["value"] = "k" * 9000
    document = import_cacao(made, Problems())
    load_playbook("a.yml", to_yaml(document).encode(), {}, ())
    assert document["vars"]["kind"] == '""'
    assert meaning(export_cacao(document, Problems(), at=AT)) == meaning(made)
