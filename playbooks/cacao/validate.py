"""Whether a JSON object is a CACAO 2.0 playbook, and everything that is wrong with it.

Written from the text of the standard: what it says a playbook MUST be is an error where it
changes or hides what the playbook means, a warning where it does not (a timestamp with six
digits, a property of one's own). Open vocabularies and extensions are open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.cacao import values, vocabulary
from playbooks.cacao.dialect import Dialect
from playbooks.cacao.graph import check_graph
from playbooks.cacao.objects import (
    EXTENSION,
    EXTENSION_DEFINITION,
    EXTENSIONS,
    REFERENCES,
    VARIABLES,
    agent,
    authentication,
    marking,
    signature,
)
from playbooks.cacao.shapes import (
    BOOLEAN,
    FILLED,
    TEXT,
    TEXTS,
    TIMESTAMP,
    Shape,
    after,
    dictionary_of,
    identifier,
    list_of,
    scalar,
)
from playbooks.cacao.steps import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playbooks.cacao.problems import Path, Problems

_SCORE = scalar(values.whole(0, 100))
_SUMMARY = Shape("processing summary", dict.fromkeys(vocabulary.SUMMARY, BOOLEAN))


def _any_key(name: str) -> str:
    return ""  # keys of definitions are checked with what they define


PLAYBOOK = Shape(
    "playbook",
    {
        "type": scalar(values.one_of("playbook")),
        "spec_version": scalar(values.one_of("cacao-2.0")),
        "id": identifier("playbook"),
        "name": FILLED,
        "description": TEXT,
        "playbook_types": list_of(FILLED, at_least=0),
        "playbook_activities": TEXTS,
        "playbook_processing_summary": _SUMMARY,
        "created_by": identifier("identity"),
        "created": TIMESTAMP,
        "modified": TIMESTAMP,
        "revoked": BOOLEAN,
        "valid_from": TIMESTAMP,
        "valid_until": TIMESTAMP,
        "derived_from": list_of(identifier("playbook")),
        "related_to": list_of(identifier()),
        "priority": _SCORE,
        "severity": _SCORE,
        "impact": _SCORE,
        "industry_sectors": TEXTS,
        "labels": TEXTS,
        "external_references": REFERENCES,
        "markings": list_of(identifier(*vocabulary.MARKING_TYPES)),
        "playbook_variables": VARIABLES,
        "workflow_start": FILLED,
        "workflow_exception": FILLED,
        "workflow": dictionary_of(step, _any_key),
        "playbook_extensions": EXTENSIONS,
        "authentication_info_definitions": dictionary_of(authentication, _any_key, at_least=1),
        "agent_definitions": dictionary_of(agent, _any_key, at_least=1),
        "target_definitions": dictionary_of(agent, _any_key, at_least=1),
        "extension_definitions": dictionary_of(
            EXTENSION_DEFINITION, lambda key: values.identifier(key, EXTENSION)
        ),
        "data_marking_definitions": dictionary_of(marking, _any_key),
        "signatures": list_of(signature),
    },
    ("type", "spec_version", "id", "name", "created_by", "created", "modified", "workflow_start",
     "workflow"),
)  # fmt: skip


def validate(playbook: dict[str, Any], problems: Problems) -> None:
    """Note everything that is wrong with `playbook`."""
    PLAYBOOK(problems, (), playbook)
    _times(problems, playbook)
    dialect = Dialect.of(playbook)
    agents = _definitions(problems, playbook, "agent_definitions", vocabulary.AGENT_TYPES)
    targets = _definitions(problems, playbook, "target_definitions", vocabulary.AGENT_TYPES)
    logins = _definitions(
        problems, playbook, "authentication_info_definitions", vocabulary.AUTHENTICATION_TYPES
    )
    markings = _definitions(
        problems, playbook, "data_marking_definitions", vocabulary.MARKING_TYPES
    )
    extensions = _objects(playbook, "extension_definitions")
    for path, key, defined in _named_by_steps(playbook, agents, targets):
        problems.error(path, f"'{key}' is not defined in {defined}")
    for name in ("agent_definitions", "target_definitions"):
        for key, each in _objects(playbook, name).items():
            login = each.get("authentication_info")
            if isinstance(login, str) and login not in logins:
                at = (name, key, "authentication_info")
                problems.error(at, f"'{login}' is not in authentication_info_definitions")
    for index, key in enumerate(_list(playbook.get("markings"))):
        if isinstance(key, str) and key not in markings:
            problems.error(("markings", index), f"'{key}' is not in data_marking_definitions")
    for path, key in _extensions_used((), playbook):
        if key not in extensions:
            problems.warning(path, f"the extension '{key}' is not in extension_definitions")
    _workflow(problems, playbook, dialect)
    _variables(problems, playbook)
    _summary(problems, playbook)
    dialect.forgive(problems)


def _objects(playbook: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    found = playbook.get(name)
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, dict)}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _times(problems: Problems, playbook: dict[str, Any]) -> None:
    created, modified = (values.instant(playbook.get(name)) for name in ("created", "modified"))
    if created and modified and modified < created:
        problems.error(("modified",), "'modified' is before 'created'")
    if playbook.get("revoked") is not True:
        after(problems, (), playbook, "valid_from", "valid_until")
    for name in ("created", "modified"):
        text = playbook.get(name)
        if isinstance(text, str) and values.instant(text) and not values.is_milliseconds(text):
            problems.warning((name,), f"'{name}' is given to the millisecond: three digits")


def _definitions(
    problems: Problems, playbook: dict[str, Any], name: str, known: tuple[str, ...]
) -> set[str]:
    """The keys of definitions, checked: an identifier that names the type of what it defines."""
    for key, value in _objects(playbook, name).items():
        path, kind = (name, key), value.get("type")
        if wrong := values.identifier(key):
            problems.error(path, wrong)
            continue
        named = values.prefix(key)
        if isinstance(kind, str) and named != kind:
            message = f"this is of type '{kind}', its id says '{named}'"
            # Types of one's own are open: what their ids say is theirs.
            note = problems.error if {kind, named} & {*known} else problems.warning
            note(path, message)
    return set(_objects(playbook, name))


def _named_by_steps(
    playbook: dict[str, Any], agents: set[str], targets: set[str]
) -> Iterator[tuple[Path, str, str]]:
    for key, each in _objects(playbook, "workflow").items():
        worker = each.get("agent")
        if isinstance(worker, str) and worker not in agents | targets:
            yield ("workflow", key, "agent"), worker, "agent_definitions"
        for index, target in enumerate(_list(each.get("targets"))):
            if isinstance(target, str) and target not in agents | targets:
                yield ("workflow", key, "targets", index), target, "target_definitions"


def _extensions_used(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name.endswith("_extensions") and isinstance(item, dict):
                yield from (((*path, name, key), key) for key in item)
            elif path or name != "extension_definitions":
                yield from _extensions_used((*path, name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _extensions_used((*path, index), item)


def _workflow(problems: Problems, playbook: dict[str, Any], dialect: Dialect) -> None:
    steps = _objects(playbook, "workflow")
    if not isinstance(playbook.get("workflow"), dict):
        return
    roots: list[str] = []
    start = playbook.get("workflow_start")
    if isinstance(start, str):
        roots.append(start)
        if start not in steps:
            problems.error(("workflow_start",), f"there is no step '{start}'")
        elif steps[start].get("type") != "start" and not dialect.without_start:
            problems.error(("workflow_start",), f"'{start}' is not a start step")
    exception = playbook.get("workflow_exception")
    if isinstance(exception, str):
        roots.append(exception)
        if exception not in steps:
            note = problems.warning if dialect.without_start else problems.error
            note(("workflow_exception",), f"there is no step '{exception}'")
        elif steps[exception].get("type") == "start":
            problems.error(("workflow_exception",), "an exception does not start the workflow")
    own = playbook.get("id")
    for key, each in steps.items():
        if each.get("type") == "playbook-action" and each.get("playbook_id") == own:
            problems.error(("workflow", key, "playbook_id"), "the playbook would call itself")
    check_graph(problems, steps, roots, starts=not dialect.without_start)


def _variables(problems: Problems, playbook: dict[str, Any]) -> None:
    """Note variables that are used where nobody declared them: another system may fill them in."""
    steps = _objects(playbook, "workflow")
    of_all = set(_objects(playbook, "playbook_variables"))
    elsewhere = {name for each in steps.values() for name in _objects(each, "step_variables")}
    for key, each in steps.items():
        declared = of_all | set(_objects(each, "step_variables"))
        for where, text in _texts((), {k: v for k, v in each.items() if k != "step_variables"}):
            named = where[0] in ("in_args", "out_args")
            used = [(text, True)] if named else values.variables_used(text)
            for name, marked in used:
                if marked and (bare := name.removesuffix(":value")) not in declared:
                    what = "belongs to another step" if bare in elsewhere else "is not declared"
                    problems.warning(
                        ("workflow", key, *where), f"the variable '{name[:60]}' {what}"
                    )


def _texts(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts((*path, name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*path, index), item)


def _has(kind: str) -> Callable[[dict[str, Any]], bool]:
    return lambda playbook: any(
        step.get("type") == kind for step in _objects(playbook, "workflow").values()
    )


_FEATURES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "external_playbooks": _has("playbook-action"),
    "parallel_processing": _has("parallel"),
    "if_logic": _has("if-condition"),
    "while_logic": _has("while-condition"),
    "switch_logic": _has("switch-condition"),
    "digital_signatures": lambda playbook: bool(playbook.get("signatures")),
}


def _summary(problems: Problems, playbook: dict[str, Any]) -> None:
    """Note where the summary says something else than the playbook."""
    summary = playbook.get("playbook_processing_summary")
    for name, has in _FEATURES.items():
        said = summary.get(name) if isinstance(summary, dict) else None
        if isinstance(said, bool) and said != has(playbook):
            problems.warning(
                ("playbook_processing_summary", name),
                f"the summary says {str(said).lower()}, the playbook says otherwise",
            )
