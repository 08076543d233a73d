"""The conformance vectors as Tocsin reads them: rules that are loaded, events with times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import detect
from tests.detect.sigma.support import load, rule
from tocsin.clock import iso, parse_iso

if TYPE_CHECKING:
    from detect.sigma import RuleSet

FOLDER = Path(detect.__path__[0]) / "conformance"
#: Where seconds are counted from; a full hour, so that windows follow each other from here.
BASE = parse_iso("2026-01-05T10:00:00Z")


def _read() -> list[dict[str, Any]]:
    return [
        {**case, "file": file.stem}
        for file in sorted(FOLDER.glob("*.yml"))
        for case in yaml.load(file.read_text("utf-8"), yaml.CSafeLoader)
    ]


CASES = _read()
SINGLE = [case for case in CASES if "correlations" not in case and "refused" not in case]
CORRELATED = [case for case in CASES if "correlations" in case and "refused" not in case]
REFUSED = [case for case in CASES if "refused" in case]


def identify(case: dict[str, Any]) -> str:
    return str(case["id"])


def documents(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules, filters and correlations of a case."""
    if "correlations" not in case:
        given = case.get("rule") or rule(name="rule", detection=case.get("detection"))
        return [given, *case.get("filters", [])]
    made = [_base(number, name) for number, name in enumerate("abcd", 1)]
    for number, definition in enumerate(case["correlations"], 101):
        named = {"title": definition["name"], "name": definition["name"]}
        body = {key: value for key, value in definition.items() if key != "name"}
        made.append({**named, "id": _id(number), "correlation": body})
    return made


def _base(number: int, name: str) -> dict[str, Any]:
    return rule(number, name=name, detection={"s": {"is": name}, "condition": "s"})


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def loaded(directory: Path, case: dict[str, Any], *more: dict[str, Any], **options: Any) -> RuleSet:
    """The rule set of a case, and further documents."""
    return load(
        directory,
        *documents(case),
        *more,
        placeholders=case.get("placeholders"),
        **options,
    )


def events(case: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The events of a correlation's case: time in ms, document."""
    return [
        (
            BASE + int(seconds * 1000),
            {
                **event,
                "@timestamp": iso(BASE + int(seconds * 1000)),
                "event": {"id": f"{number:032x}"},
            },
        )
        for number, (seconds, event) in enumerate(case["events"])
    ]
