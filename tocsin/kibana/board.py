"""What Tocsin shows in Kibana: three data views, the alert queue, one overview."""

from __future__ import annotations

from tocsin.kibana import lens
from tocsin.kibana.saved_objects import (
    Control,
    Grid,
    Panel,
    SavedObject,
    dashboard,
    data_view,
    saved_search,
)

EVENTS, ALERTS, ACTIONS = "tocsin-events", "tocsin-alerts", "tocsin-actions"
QUEUE, OVERVIEW = "tocsin-alert-queue", "tocsin-overview"

#: Data view -> index expression, over all namespaces.
INDEX_EXPRESSIONS = {
    EVENTS: "logs-tocsin.*-*,-logs-tocsin.alerts-*,-logs-tocsin.actions-*,"
    "-logs-tocsin.audit-*,-logs-tocsin.dead_letters-*",
    ALERTS: "tocsin-alerts-*",
    ACTIONS: "logs-tocsin.actions-*",
}

#: Columns of the queue, beside the time.
QUEUE_COLUMNS = [
    "event.severity",
    "rule.name",
    "message",
    "source.ip",
    "user.name",
    "host.name",
    "tocsin.alert.count",
    "tocsin.alert.status",
]

#: The bands of the status page.
SEVERITIES = {
    "Critical": "event.severity >= 90",
    "High": "event.severity >= 70 and event.severity < 90",
    "Medium": "event.severity >= 40 and event.severity < 70",
    "Low": "event.severity < 40",
}

OPEN = "tocsin.alert.status: open"

#: Kinds of run events that say how an action ended.
ENDED = "tocsin.run.kind: (succeeded or failed or refused or dry_run or unknown or timed_out)"


def objects() -> list[SavedObject]:
    """Everything, in an order in which each object comes after those it refers to."""
    return [
        data_view(EVENTS, "Tocsin events", INDEX_EXPRESSIONS[EVENTS]),
        data_view(ALERTS, "Tocsin alerts", INDEX_EXPRESSIONS[ALERTS]),
        data_view(ACTIONS, "Tocsin actions", INDEX_EXPRESSIONS[ACTIONS]),
        saved_search(
            QUEUE,
            "Alert queue",
            "Open alerts, newest first: one row an alert, however often it was revised.",
            ALERTS,
            QUEUE_COLUMNS,
            OPEN,
        ),
        dashboard(
            OVERVIEW,
            "Tocsin overview",
            "What was seen, what matters, what was done about it.",
            panels(),
            [
                Control("rule", "Rule", "rule.name", ALERTS),
                Control("source", "Source address", "source.ip", ALERTS),
            ],
            since="now-24h",
        ),
    ]


def panels() -> list[Panel]:
    """The panels of the overview, from top to bottom."""
    return [*_figures(), *_alerts(), *_causes(), *_actions(), _queue()]


def _figures() -> list[Panel]:
    alerts, events = lens.count("Alerts"), lens.distinct("event.id", "Events")
    actions = lens.distinct("event.id", "Actions")
    grave = "event.severity >= 70"
    return [
        lens.panel("open", "Open alerts", ALERTS, Grid(0, 0, 12, 5), lens.number(), [alerts], OPEN),
        lens.panel(
            "grave", "High and critical", ALERTS, Grid(12, 0, 12, 5), lens.number(), [alerts], grave
        ),
        lens.panel(
            "ended", "Actions ended", ACTIONS, Grid(24, 0, 12, 5), lens.number(), [actions], ENDED
        ),
        lens.panel("seen", "Events", EVENTS, Grid(36, 0, 12, 5), lens.number(), [events]),
    ]


def _alerts() -> list[Panel]:
    alerts, events = lens.count("Alerts"), lens.distinct("event.id", "Events")
    time, severity = lens.over_time(), lens.bands("Severity", SEVERITIES)
    dataset = lens.top("event.dataset", "Data set", 8)
    return [
        lens.panel(
            "alerts-over-time",
            "Alerts over time",
            ALERTS,
            Grid(0, 5, 24, 12),
            lens.xy("bar_stacked", time, severity),
            [severity, time, alerts],
        ),
        lens.panel(
            "event-volume",
            "Event volume by data set",
            EVENTS,
            Grid(24, 5, 24, 12),
            lens.xy("bar_stacked", time, dataset),
            [dataset, time, events],
        ),
    ]


def _causes() -> list[Panel]:
    alerts = lens.count("Alerts")
    severity = lens.bands("Severity", SEVERITIES)
    rule = lens.top("rule.name", "Rule", 10)
    source = lens.top("source.ip", "Source address", 10, type="ip")
    technique = lens.top("threat.technique.id", "Technique", 15)
    return [
        lens.panel(
            "by-severity",
            "Alerts by severity",
            ALERTS,
            Grid(0, 17, 10, 12),
            lens.donut(severity),
            [severity, alerts],
        ),
        lens.panel(
            "by-rule",
            "Alerts by rule",
            ALERTS,
            Grid(10, 17, 16, 12),
            lens.table(rule),
            [rule, alerts],
        ),
        lens.panel(
            "by-source",
            "Alerts by source address",
            ALERTS,
            Grid(26, 17, 11, 12),
            lens.table(source),
            [source, alerts],
        ),
        lens.panel(
            "techniques",
            "ATT&CK techniques",
            ALERTS,
            Grid(37, 17, 11, 12),
            lens.xy("bar_horizontal", technique),
            [technique, alerts],
        ),
    ]


def _actions() -> list[Panel]:
    ended = lens.distinct("event.id", "Actions")
    time = lens.over_time()
    kind = lens.top("tocsin.run.kind", "Outcome", 6)
    step = lens.top("tocsin.run.step", "Step", 10)
    outcome = lens.top("tocsin.run.kind", "Outcome", 6, id="outcome")
    return [
        lens.panel(
            "actions-by-outcome",
            "Actions by outcome",
            ACTIONS,
            Grid(0, 29, 24, 12),
            lens.xy("bar_stacked", time, kind),
            [kind, time, ended],
            ENDED,
        ),
        lens.panel(
            "actions-by-step",
            "Steps and how they ended",
            ACTIONS,
            Grid(24, 29, 24, 12),
            lens.table(step, outcome),
            [step, outcome, ended],
            ENDED,
        ),
    ]


def _queue() -> Panel:
    return Panel("queue", "Alert queue", Grid(0, 41, 48, 16), saved_search=QUEUE)
