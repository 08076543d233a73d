"""A test of a playbook from what a real run did: its alert, the answers it got, how it ended. Pure.

Read from run events: what products answered to each attempt, what people said and when, which
step ended how. What stands in there is what was recorded: answers that were too large are cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Events that are the answer to an attempt, and the status that a test writes for it.
_ANSWERS = {
    "succeeded": "ok", "failed": "failed", "retry_scheduled": "failed", "refused": "refused",
    "dry_run": "dry_run", "unknown": "unknown",
}  # fmt: skip


def rehearsed(
    name: str, alert: Mapping[str, Any], runs: Mapping[str, Iterable[Mapping[str, Any]]]
) -> dict[str, Any]:
    """A case for `NAME.test.yml`, plain JSON.

    `runs` are the events of the run under "" and of what it called under the path of the calling
    step (`sub/`), each in order.
    """
    answers: dict[str, list[Any]] = {}
    decisions: dict[str, list[Any]] = {}
    expect: dict[str, Any] = {}
    steps: dict[str, str] = {}
    targets: dict[str, str] = {}
    mode = "enforce"
    for prefix, events in runs.items():
        asked_at: dict[str, int] = {}
        for event in events:
            kind, data = event["kind"], event.get("data", {})
            path = prefix + event.get("step", "")
            if kind == "started" and not prefix:
                mode = data.get("mode", mode)
            elif kind in ("requested", "attempted", "approval_requested"):
                asked_at[path] = event["at"]
                if data.get("target"):
                    targets[path] = data["target"]
            elif kind in _ANSWERS and data.get("effect") and not data.get("late"):
                after = event["at"] - asked_at.get(path, event["at"])
                answers.setdefault(path, []).append(_answer(kind, data, after))
            elif kind == "answered":
                after = event["at"] - asked_at.get(path, event["at"])
                decisions.setdefault(path, []).append(_said(data, after))
            elif kind == "finished":
                steps |= {prefix + step: str(status) for step, status in data["steps"].items()}
                if not prefix:
                    expect = {"outcome": data["outcome"]}
                    expect |= {"reason": data["reason"]} if data["reason"] else {}
    case: dict[str, Any] = {"name": name, "alert": dict(alert)}
    case |= {"mode": mode} if mode != "enforce" else {}
    case |= {"answers": {p: each[0] if len(each) == 1 else each for p, each in answers.items()}}
    case |= {"decisions": decisions} if decisions else {}
    known = {path: target for path, target in targets.items() if path in steps}
    case["expect"] = {**expect, "steps": steps, **({"targets": known} if known else {})}
    return case


def children(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The step and run of each sub-playbook that a run called."""
    for event in events:
        if event["kind"] == "called":
            yield event["step"], event["data"]["run"]


def _answer(kind: str, data: Mapping[str, Any], after: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": _ANSWERS[kind], "after": f"{max(after, 1)}ms"}
    for key in ("output", "failure", "verdicts"):
        if data.get(key):
            answer[key] = data[key]
    return answer


def _said(data: Mapping[str, Any], after: int) -> dict[str, Any]:
    said = {"approve": data["decision"] == "approved", "by": data["by"]}
    said |= {"after": f"{max(after, 1)}ms"}
    # One that did not count is told apart by belonging to no group that is asked.
    return said if data.get("applied") else {**said, "groups": []}
