"""The JSON Schema of playbook files as editors need it: completion, hover, and no false alarm."""

from __future__ import annotations

from typing import Any

from playbooks.model import PlaybookDocument

#: What stands in an editor's hover, by key, where the schema itself says nothing.
_HOVER = {
    "apiVersion": "Always tocsin/v1.",
    "kind": "Always Playbook.",
    "metadata": "Who the playbook is.",
    "trigger": "Which alerts start a run.",
    "limits": "What bounds a run.",
    "vars": "Values, CEL on `alert` and `run`, evaluated once at the start.",
    "steps": "What happens, in order.",
    "id": "A name, unique here; of a step, the name under which expressions see it.",
    "version": "Grows with each change.",
    "title": "What it is for, in a few words.",
    "description": "For people.",
    "owner": "Who answers for it.",
    "attack": "ATT&CK techniques, such as T1110.003.",
    "references": "Where to read on.",
    "when": "CEL on `alert`: true starts a run.",
    "dedup": "One run per key and window; without it one per alert.",
    "key": "CEL on `alert`: alerts with the same key share a run.",
    "window": "How long, such as 1h; windows are aligned.",
    "on_duplicate": "attach: a further alert is noted in the run. drop: it is not. "
    "restart: it calls the run off and starts it again.",
    "concurrency": "So many runs of this playbook with the same key go on at a time.",
    "overflow": "queue: a further run waits for its turn. drop: it ends at once.",
    "inputs": "Values that a playbook which runs this one gives; CEL sees them as `inputs`.",
    "outputs": "CEL: what a playbook that runs this one gets back as `steps.<id>.output`.",
    "default": "The value where none is given.",
    "required": "Whoever runs this playbook must give it.",
    "run": "The id of another playbook: this run waits for its end.",
    "together": "CEL: runs with the same value ask one question at a time, for all that wait.",
    "max_percent": "At most this share of the fleet (or of a list) is held by this verb at a time.",
    "percent": "The share.",
    "of": "The guard list that is the whole; `fleet` is the inventory.",
    "quiet_hours": "When this action is not done by itself.",
    "from": "From this time of day, such as 22:00.",
    "to": "Until this time of day; before `from` it is the next day's.",
    "days": "The days on which the hours begin: mon, tue, wed, thu, fri, sat, sun.",
    "zone": "The time zone, such as Europe/Paris; UTC otherwise.",
    "deadline": "The longest time a run takes, such as 15m.",
    "max_steps": "Most steps, branches counted.",
    "max_fanout": "Most branches of a parallel and items of a for_each.",
    "if": "CEL: false skips the step, and is recorded with the values that made it so. An error "
    "never lets an action through.",
    "action": "A verb, such as firewall.block_ip; the configuration binds it to a product.",
    "with": "Inputs of the verb; `!cel` before a text makes it an expression.",
    "hold": "How long the containment lasts; required for verbs that contain.",
    "ttl": "Undone after this time.",
    "max": "The bound: of a hold with all its extensions, of a rate, of further attempts.",
    "extend_on_repeat": "A repeated request lasts this many times as long.",
    "on_expiry": "undo: it ends by itself. approval: people are asked, and without a yes it stays.",
    "guard": "What may stop the action, besides the site's own guards.",
    "never": "Named lists that the target must not overlap.",
    "rate": "At most `max` effects of this verb in any `per`.",
    "per": "The time that a rate counts over.",
    "exceed": "What happens beyond it: refuse, or approval (people are asked).",
    "retry": "Further attempts after a failure that may pass.",
    "backoff": "Whether the waits grow.",
    "initial": "The first wait.",
    "cap": "The longest wait.",
    "jitter": "Take off up to half of each wait, so that not all try at once.",
    "on": "Kinds of failures that are tried again.",
    "timeout": "The longest time: of one call, of a join, of a question.",
    "verify": "A look-up after the action, until it shows that the action has worked.",
    "until": "CEL on `result`, the look-up's answer.",
    "within": "The longest time until it must be true.",
    "every": "The wait between two look-ups.",
    "on_error": "stop ends the run as failed; continue goes on.",
    "always": "Runs at the end, whatever happened.",
    "let": "Values for later steps: names and CEL.",
    "parallel": "Actions at the same time.",
    "branches": "The actions.",
    "join": "When it is done: all (the default), any, or {min_success, timeout}.",
    "all": "Done when all are done; none may fail.",
    "any": "Done when one has succeeded.",
    "min_success": "Done when so many have succeeded.",
    "for_each": "One action for each item of a list, all at the same time.",
    "in": "CEL: the list.",
    "do": "The action; `item` is the item.",
    "approval": "A question to people; they approve the exact plan of the steps that follow.",
    "message": "What they are asked; {{ }} names values.",
    "channels": "Where the question is put.",
    "approvers": "Who may answer.",
    "group": "The group whose members may answer.",
    "quorum": "So many different people must say yes; one no is a no.",
    "exclude": "CEL: who may not answer; the subject of the alert never may.",
    "on_timeout": "What no answer means.",
    "escalate": "Whom to ask next, and for how long.",
    "wait": "A pause, such as 10m.",
    "stop": "End the run for this reason; {{ }} names values.",
}
_SHORT_JOIN = {"enum": ["all", "any"], "type": "string"}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a playbook file."""
    made = PlaybookDocument.model_json_schema(by_alias=True)
    definitions = made["$defs"]
    kinds = made["properties"]["steps"]["items"]
    # The kinds of steps exclude each other by their keys; oneOf would only make editors vague.
    made["properties"]["steps"]["items"] = {"anyOf": list(kinds["oneOf"])}
    for definition in (made, *definitions.values()):
        properties = definition.get("properties", {})
        for name, each in properties.items():
            each.setdefault("description", _HOVER.get(name, ""))
            each.pop("title", None)
    for name in ("Parallel", "Each"):
        join = definitions[name]["properties"]["join"]
        described = {"description": join["description"], "anyOf": [_SHORT_JOIN]}
        described["anyOf"].append({"$ref": "#/$defs/Join"})
        definitions[name]["properties"]["join"] = described
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "Tocsin playbook",
    }
