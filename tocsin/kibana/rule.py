"""The bridge to the Security app: one detection rule that promotes Tocsin's alerts.

Imported switched off. Nothing of ours is written into Kibana's own alert indices, whose fields
are internal and versioned.
"""

from __future__ import annotations

from typing import Any

from tocsin.contracts import SEVERITY

RULE_ID = "tocsin-alerts"

#: Kibana's levels; Sigma's informational is shown as low.
_LEVELS = ("low", "medium", "high", "critical")


def detection_rule() -> dict[str, Any]:
    """The rule as `POST /api/detection_engine/rules/_import` takes it.

    Alerts whose severity is not one of the four of SEVERITY (a rule may set its own) are shown
    as medium; their risk score is exact.
    """
    return {
        "rule_id": RULE_ID,
        "name": "Tocsin alert",
        "description": (
            "Shows each alert of Tocsin, and each revision of it, on the Security app's Alerts "
            "page under the name, severity and risk score of the rule that made it."
        ),
        "type": "query",
        "language": "kuery",
        "query": "event.kind: alert and event.dataset: tocsin.alerts",
        "index": ["logs-tocsin.alerts-*"],
        "filters": [],
        "enabled": False,
        "interval": "1m",
        "from": "now-5m",
        "to": "now",
        "max_signals": 1000,
        "rule_name_override": "rule.name",
        "timestamp_override": "event.ingested",
        "timestamp_override_fallback_disabled": True,
        "risk_score": SEVERITY["medium"],
        "risk_score_mapping": [{"field": "event.risk_score", "operator": "equals", "value": ""}],
        "severity": "medium",
        "severity_mapping": [
            {
                "field": "event.severity",
                "operator": "equals",
                "value": str(SEVERITY[level]),
                "severity": level,
            }
            for level in _LEVELS
        ],
        "author": ["Tocsin"],
        "license": "Apache-2.0",
        "tags": ["Tocsin"],
        "references": [],
        "false_positives": [],
        "threat": [],
        "exceptions_list": [],
        "actions": [],
        "immutable": False,
        "version": 1,
    }
