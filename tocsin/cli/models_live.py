"""What models make of live events, as `tocsin behavior status` and `tocsin models` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from detect.behavior.models.standing import Standings, alarms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from detect.behavior.behavior import BehaviorStage

MODEL_COLUMNS = (
    *("model", "version", "rows", "drift", "moved most", "alerts a day"),
    *("shadow", "slices", "agrees", "alerts a day: in force / shadow"),
)


def model_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    """A row of `Standings.told` under MODEL_COLUMNS."""
    name, moved = next(iter(row.get("figures", {}).items()), ("", 0.0))
    front = (row["model"], row.get("version", ""), row.get("rows", ""), row.get("verdict", ""))
    watched = (*front, f"{name} {moved:.2f}" if name else "", row.get("alerts_a_day", ""))
    if (seen := row.get("shadow")) is None:
        return (*watched, "", "", "", "")
    rates = f"{seen['alerts_a_day']:g} / {seen['alerts_a_day_of_shadow']:g}"
    return (*watched, seen["shadow"], seen["slices"], f"{100 * seen['agreement']:.1f} %", rates)


def alarmed(
    rows: Iterable[Mapping[str, Any]], budgets: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    """Kind and text of everything that is wrong with models; `budgets` by detector."""
    for row in rows:
        budget = budgets.get(row.get("detector", ""), 1.0)
        yield from ((row["model"], text) for text in alarms(row, budget))


class ModelGauges(Collector):
    """Drift of models and alerts of shadows, of the partitions of this process."""

    def __init__(self, stages: Callable[[], Iterable[BehaviorStage]]) -> None:
        self._stages = stages

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families, as prometheus_client asks for them."""
        psi = GaugeMetricFamily(
            "tocsin_model_drift",
            "population stability index against training; above 0.25 it is another population",
            labels=["model", "figure"],
        )
        drifted = GaugeMetricFamily(
            "tocsin_model_drifted", "1 where a figure of enough rows has drifted", labels=["model"]
        )
        alerts = GaugeMetricFamily(
            "tocsin_model_alerts_a_day",
            "alerts a day: told, and what the model in force and its shadow would have told",
            labels=["model", "of"],
        )
        standings = Standings()
        for stage in self._stages():
            stage.stand(standings)
        for row in standings.told():
            kind = row["model"]
            for name, moved in row.get("figures", {}).items():
                psi.add_metric([kind, name], moved)
            if "verdict" in row:
                drifted.add_metric([kind], float(row["verdict"] == "drifted"))
                alerts.add_metric([kind, "told"], row["alerts_a_day"])
            if (seen := row.get("shadow")) is not None:
                alerts.add_metric([kind, "active"], seen["alerts_a_day"])
                alerts.add_metric([kind, "shadow"], seen["alerts_a_day_of_shadow"])
        yield from (psi, drifted, alerts)
