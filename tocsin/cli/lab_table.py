"""The lab's tables, for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

#: False alerts that are listed at most.
LISTED = 200


def printed(name: str, judged: Any, *, false: bool) -> str:
    """Scenarios, detectors, habits that must not alarm, and, if wanted, the false alerts."""
    report = judged.report
    lines = [f"\n{name}: {judged.events} events, {judged.findings} findings", ""]
    lines.append(f"{'scenario':26}{'found':>9}{'minutes':>9}{'worst':>9}  missed")
    for each in report.scenarios:
        row = each.row()
        found = f"{row['found']}/{row['attacks']}"
        middle, worst = (_number(row[key]) for key in ("minutes", "minutes_worst"))
        missed = ", ".join(row["missed"])
        lines.append(f"{row['scenario']:26}{found:>9}{middle:>9}{worst:>9}  {missed}")
    lines += ["", f"{'detector':42}{'false/day':>10}{'budget':>8}{'x budget':>10}{'true':>6}"]
    for each in report.detectors:
        row = each.row()
        lines.append(
            f"{row['detector']:42}{row['false_a_day']:>10}{row['budget']:>8}"
            f"{_number(row['of_budget']):>10}{row['true']:>6}  {_kept(row)}".rstrip()
        )
    judgeable = [each for each in report.detectors if each.asked]
    lines.append(
        f"{sum(each.within for each in judgeable)} of {len(judgeable)} spend 0.5 to 2 times their "
        "budget (certain ones: at most 2)"
    )
    if judged.habits:
        lines += ["", "false alerts on habits that must not alarm:"]
        lines += [f"  {habit:40}{count:>5}" for habit, count in judged.habits.items()]
    if false:
        lines += ["", "false alerts:"]
        for told in report.false[:LISTED]:
            when = datetime.fromtimestamp(told.at / 1000, UTC).strftime("%m-%d %H:%M")
            lines.append(f"  {when}  {told.detector}: {', '.join(sorted(told.entities))}")
    return "\n".join(lines)


def _kept(row: dict[str, Any]) -> str:
    """What stands behind a detector: certain, never asked, or beside its budget."""
    if not row["asked"]:
        return "never asked"
    kind = "certain" if row["certain"] else ""
    return kind if row["within"] else f"{kind} outside".strip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
