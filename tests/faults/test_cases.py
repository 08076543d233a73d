"""The sixteen failure cases of playbooks on the embedded log, against a counting target.

What they do is in `tests/faults/cases`; `python -m tests.faults.matrix` prints what came of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.cases.table import holds
from tests.faults.cases.world import SQLITE

if TYPE_CHECKING:
    from pathlib import Path


async def test_case_01_crash_after_the_effect_before_its_record(tmp_path: Path) -> None:
    await holds(1, SQLITE, tmp_path)


async def test_case_02_crash_after_started_before_the_call(tmp_path: Path) -> None:
    await holds(2, SQLITE, tmp_path)


async def test_case_03_crash_between_output_and_commit(tmp_path: Path) -> None:
    await holds(3, SQLITE, tmp_path)


async def test_case_04_the_same_alert_twice_from_two_detectors_at_the_windows_edge(
    tmp_path: Path,
) -> None:
    await holds(4, SQLITE, tmp_path)


async def test_case_05_rebalance_in_a_step_and_a_frozen_worker_that_wakes_up(
    tmp_path: Path,
) -> None:
    await holds(5, SQLITE, tmp_path)


async def test_case_06_poison_playbooks_are_quarantined_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    await holds(6, SQLITE, tmp_path)


async def test_case_07_a_slow_connector_and_a_thousand_alerts_retry_after_honoured(
    tmp_path: Path,
) -> None:
    await holds(7, SQLITE, tmp_path)


async def test_case_08_leases_end_whatever_happens_then(tmp_path: Path) -> None:
    await holds(8, SQLITE, tmp_path)


async def test_case_09_approvals_late_twice_by_the_subject_replayed_changed(tmp_path: Path) -> None:
    await holds(9, SQLITE, tmp_path)


async def test_case_10_guards_against_ranges_and_odd_spellings(tmp_path: Path) -> None:
    await holds(10, SQLITE, tmp_path)


async def test_case_11_clocks_jump_by_an_hour(tmp_path: Path) -> None:
    await holds(11, SQLITE, tmp_path)


async def test_case_12_snapshot_lost_same_state_from_every_prefix(tmp_path: Path) -> None:
    await holds(12, SQLITE, tmp_path)


async def test_case_13_playbook_upgraded_under_open_runs(tmp_path: Path) -> None:
    await holds(13, SQLITE, tmp_path)


async def test_case_14_log_and_store_away(tmp_path: Path) -> None:
    await holds(14, SQLITE, tmp_path)


async def test_case_15_secret_rotated_mid_run_and_never_recorded(tmp_path: Path) -> None:
    await holds(15, SQLITE, tmp_path)


async def test_case_16_a_storm_on_one_rule_is_one_approval(tmp_path: Path) -> None:
    await holds(16, SQLITE, tmp_path)
