"""A Tocsin playbook as CACAO 2.0: for people and other engines to read, and to import again.

One that was imported and whose steps are unchanged goes out as it came. Any other becomes manual
steps that say what is to be done, in order; what only Tocsin can say (conditions in CEL, guards,
holds, retries) travels along in an extension and is in the report of losses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from playbooks.cacao.importing import import_cacao
from playbooks.cacao.native import AUTHOR, EXTENSION, definition, identifier
from playbooks.cacao.problems import Problems
from playbooks.model import PlaybookDocument

if TYPE_CHECKING:
    from playbooks.cacao.problems import Path

_SLUG = re.compile(r"[^a-z0-9_]+")
_AGENT = "tocsin"
#: What of an action another engine does not know.
_OWN = ("hold", "guard", "retry", "optional", "verify", "timeout", "on_error")
_ACTIVITIES = (
    ("firewall.", "restrict-access"), ("identity.", "restrict-access"),
    ("host.", "disconnect-system"), ("case.", "deliver-content"), ("notify.", "deliver-content"),
)  # fmt: skip


def export_cacao(document: dict[str, Any], problems: Problems, *, at: str) -> dict[str, Any]:
    """The CACAO playbook of a valid Tocsin playbook (plain JSON); losses are noted.

    `at` is the time of the export (RFC 3339, milliseconds).
    """
    source = document.get("cacao")
    if isinstance(source, dict):
        again = import_cacao(source, Problems(), keep_secrets=True)
        if _flow(again) == _flow(document):
            _trigger_lost(document, problems)
            return source
        problems.loss(
            ("cacao",), "the steps were changed after the import, so the export is made from them"
        )
    return _Exporter(document, problems, at).playbook(source if isinstance(source, dict) else {})


def _flow(document: dict[str, Any]) -> tuple[Any, Any]:
    """What of a playbook CACAO can say: canonical, so that spelling does not count."""
    canonical = PlaybookDocument.parse(document).canonical()
    return canonical["steps"], canonical.get("vars", {})


def _trigger_lost(document: dict[str, Any], problems: Problems) -> None:
    if document["trigger"] != {"when": "false"}:
        problems.loss(("trigger",), "CACAO cannot say which alerts start a playbook")
    if document.get("limits"):
        problems.loss(("limits",), "CACAO has no limits of a whole run")


class _Exporter:
    def __init__(self, document: dict[str, Any], problems: Problems, at: str) -> None:
        self._document = document
        self._problems = problems
        self._at = at
        self._id = str(document["metadata"]["id"])
        self._workflow: dict[str, dict[str, Any]] = {}
        self._variables: dict[str, dict[str, Any]] = {}
        self._activities: list[str] = []
        self._agent = identifier("organization", _AGENT)

    def playbook(self, source: dict[str, Any]) -> dict[str, Any]:
        metadata = self._document["metadata"]
        _trigger_lost(self._document, self._problems)
        for name, text in self._document.get("vars", {}).items():
            self._variable(name, str(text), ("vars", name))
        self._flow_of(self._document["steps"])
        made: dict[str, Any] = {
            "type": "playbook",
            "spec_version": "cacao-2.0",
            "id": identifier("playbook", self._id),
            "name": metadata.get("title") or self._id,
            "description": metadata.get("description", ""),
            "playbook_types": ["mitigation"],
            "playbook_activities": list(dict.fromkeys(self._activities)) or ["step-sequence"],
            "created_by": source.get("created_by", AUTHOR),
            "created": self._at,
            "modified": self._at,
            "external_references": self._references(metadata),
            "labels": [f"attack.{technique.lower()}" for technique in metadata.get("attack", ())],
            "derived_from": [source["id"]] if source else [],
            "playbook_variables": self._variables,
            "workflow_start": identifier("start", self._id),
            "workflow": self._workflow,
            "agent_definitions": {
                self._agent: {
                    "type": "organization",
                    "name": metadata.get("owner") or "Security operations",
                }
            },
            "playbook_extensions": {EXTENSION: {"playbook": _plain(self._document)}},
            "extension_definitions": {EXTENSION: definition()},
        }
        return {name: value for name, value in made.items() if value not in ("", [], {})}

    def _references(self, metadata: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"name": url, "url": url} for url in metadata.get("references", ())]

    # the flow

    def _flow_of(self, steps: list[dict[str, Any]]) -> None:
        """start → each step → end; steps that always run come last."""
        order = sorted(enumerate(steps), key=lambda pair: bool(pair[1].get("always")))
        entries = [self._entry(step) for _, step in order] + [identifier("end", self._id)]
        self._workflow[identifier("start", self._id)] = {
            "type": "start", "on_completion": entries[0],
        }  # fmt: skip
        for (index, step), following in zip(order, entries[1:], strict=True):
            self._step(step, ("steps", index), following)
        self._workflow[entries[-1]] = {"type": "end"}

    def _entry(self, step: dict[str, Any]) -> str:
        kind = "if-condition" if "if" in step else self._kind(step)
        return identifier(kind, self._id, step["id"])

    def _kind(self, step: dict[str, Any]) -> str:
        if "stop" in step:
            return "if-condition"
        if "run" in step:
            return "playbook-action"
        return "parallel" if "parallel" in step else "action"

    def _step(self, step: dict[str, Any], path: Path, following: str) -> None:
        if step.get("always"):
            self._problems.loss((*path, "always"), "runs last, but not after a failure")
        if "if" not in step and "stop" not in step:
            self._body(step, path, identifier(self._kind(step), self._id, step["id"]), following)
            return
        condition = str(step.get("if", "true"))
        name = self._variable(f"{step['id']}_if", condition, (*path, "if"))
        own_end = identifier("end", self._id, step["id"])
        self._workflow[own_end] = {"type": "end"}
        if "stop" in step:
            body = own_end
            self._problems.loss((*path, "stop"), "the run ends here; CACAO can only end a branch")
        else:
            body = identifier(self._kind(step), self._id, step["id"], "body")
            self._body(step, path, body, own_end)
        self._workflow[identifier("if-condition", self._id, step["id"])] = {
            "type": "if-condition",
            "name": f"Whether {step['id']} is needed",
            "condition": f"{name}:value == 'true'",
            "on_true": body,
            "on_completion": following,
        }

    def _body(self, step: dict[str, Any], path: Path, key: str, following: str) -> None:
        if "parallel" in step:
            branches = step["parallel"]["branches"]
            named = [self._branch(step["id"], b, (*path, "parallel", "branches", i))
                     for i, b in enumerate(branches)]  # fmt: skip
            if len(named) < 2:
                self._problems.loss((*path, "parallel"), "one branch is no parallel step in CACAO")
                self._workflow.pop(named[0])
                self._action(branches[0], path, key.replace("parallel--", "action--"), following)
                return
            if step["parallel"].get("join"):
                self._problems.loss((*path, "parallel", "join"), "CACAO waits for all branches")
            self._workflow[key] = {
                "type": "parallel", "name": step["id"], "next_steps": named,
                "on_completion": following,
            }  # fmt: skip
        elif "run" in step:
            self._workflow[key] = {
                "type": "playbook-action", "name": step["id"],
                "playbook_id": identifier("playbook", str(step["run"])), "on_completion": following,
            }  # fmt: skip
        else:
            self._action(step, path, key, following)

    def _branch(self, parent: str, branch: dict[str, Any], path: Path) -> str:
        key = identifier("action", self._id, parent, branch["id"])
        end = identifier("end", self._id, parent, branch["id"])
        self._workflow[end] = {"type": "end"}
        if "if" in branch:
            self._problems.loss((*path, "if"), "a branch of a parallel step has no condition")
        self._action(branch, path, key, end)
        return key

    def _action(self, step: dict[str, Any], path: Path, key: str, following: str) -> None:
        for name in _OWN:
            if name in step:
                self._problems.loss((*path, name), f"'{name}' is carried along; others ignore it")
        self._problems.loss(path, "becomes an instruction to a person")
        activity = next(
            (word for start, word in _ACTIVITIES if str(step.get("action", "")).startswith(start)),
            "analyze-collected-data",
        )
        self._activities.append(activity)
        made: dict[str, Any] = {
            "type": "action",
            "name": step["id"],
            "commands": [
                {"type": "manual", "command": instruction(step), "playbook_activity": activity}
            ],
            "agent": self._agent,
            "on_completion": following,
        }
        self._workflow[key] = made

    def _variable(self, name: str, cel: str, path: Path) -> str:
        """A variable whose value an analyst, or Tocsin, fills in; its CEL is its description."""
        made = f"__{_SLUG.sub('_', name.lower())}__"
        self._variables[made] = {
            "type": "string" if path[0] == "vars" else "bool",
            "description": f"CEL: {cel}",
            "external": True,
        }
        self._problems.loss(path, "an expression becomes a variable that somebody fills in")
        return made


def instruction(step: dict[str, Any]) -> str:
    """What a step does, as a person is told."""
    if "action" in step:
        inputs = ", ".join(f"{k} = {_told(v)}" for k, v in step.get("with", {}).items())
        text = f"{step['action']}({inputs})"
        hold = step.get("hold")
        return text + (f", undone after {hold['ttl']}" if hold else "")
    for name in ("let", "approval", "wait", "for_each"):
        if name in step:
            return f"{name}: {_told(step[name])}"
    return str(step["id"])


def _told(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"!cel"}:
        return str(value["!cel"])
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "cacao"}
