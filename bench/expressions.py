"""How long 200 triggers take on one alert: `python -m bench.expressions`.

The triggers are those of the library, each made distinct, on an alert with ten pieces of
evidence. CPU time of this process, so that what else the machine does counts little.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING, Any

from playbooks.loading import load_playbooks
from responders.catalog import known_actions
from tocsin.expressions import Shared, compile

if TYPE_CHECKING:
    from tocsin.expressions import Expression

ALERTS = ("alert",)
TRIGGERS = 200
ROUNDS = 9
#: What `make bench` holds the figure against, ms.
BAR = 3.0

EVIDENCE = {
    "event_id": "e" * 32,
    "at": 1_767_225_600_000,
    "origin": "events/0/1",
    "original": "Nov 22 08:05:00 web-01 sshd[1]: Failed password for root from 203.0.113.9 port 4",
}
ALERT: dict[str, Any] = {
    "@timestamp": "2026-01-01T00:00:00.000Z",
    "message": "12 failed logins from 203.0.113.9",
    "rule": {
        "id": "r-1",
        "name": "SSH Brute Force",
        "tags": ["attack.credential-access", "attack.t1110", "attack.t1110.001"],
    },
    "event": {"severity": 73, "kind": "alert"},
    "source": {"ip": "203.0.113.9"},
    "user": {"name": "root"},
    "host": {"name": "web-01"},
    "related": {"ip": ["203.0.113.9"], "user": ["root", "admin"]},
    "tocsin": {
        "alert": {"id": "a" * 32, "revision": 12, "window_start": "2026-01-01T00:00:00.000Z"},
        "evidence": [EVIDENCE] * 10,
    },
}


def triggers() -> list[Expression]:
    """Distinct conditions made of the library's."""
    texts = [playbook.when.text for playbook in load_playbooks([], actions=known_actions())]
    return [
        compile(f"({texts[number % len(texts)]}) && alert.event.severity != {number + 200}", ALERTS)
        for number in range(TRIGGERS)
    ]


def measure(conditions: list[Expression]) -> float:
    """CPU milliseconds for all conditions on one alert."""
    started = time.process_time()
    seen = Shared({"alert": ALERT})
    true = sum(condition.test(seen) for condition in conditions)
    taken = (time.process_time() - started) * 1000
    if not true:
        raise RuntimeError("no trigger was true: this measures nothing")
    return taken


def run() -> list[dict[str, Any]]:
    """One row."""
    conditions = triggers()
    median = statistics.median(measure(conditions) for _ in range(ROUNDS))
    return [
        {"bench": "expressions", "triggers": TRIGGERS, "cpu_ms": round(median, 2), "bar_ms": BAR}
    ]


if __name__ == "__main__":
    print(json.dumps(run()[0]))
