"""The sixteen failure cases of playbooks on real Kafka, all on one broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dev.servers import kafka
from tests.faults.cases.table import holds
from tests.faults.cases.world import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def on_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield Backend.of(server)


async def test_case_01_crash_after_the_effect_before_its_record(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(1, on_kafka, tmp_path)


async def test_case_02_crash_after_started_before_the_call(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(2, on_kafka, tmp_path)


async def test_case_03_crash_between_output_and_commit(on_kafka: Backend, tmp_path: Path) -> None:
    await holds(3, on_kafka, tmp_path)


async def test_case_04_the_same_alert_twice_from_two_detectors_at_the_windows_edge(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(4, on_kafka, tmp_path)


async def test_case_05_rebalance_in_a_step_and_a_frozen_worker_that_wakes_up(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(5, on_kafka, tmp_path)


async def test_case_06_poison_playbooks_are_quarantined_and_the_others_go_on(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(6, on_kafka, tmp_path)


async def test_case_07_a_slow_connector_and_a_thousand_alerts_retry_after_honoured(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(7, on_kafka, tmp_path)


async def test_case_08_leases_end_whatever_happens_then(on_kafka: Backend, tmp_path: Path) -> None:
    await holds(8, on_kafka, tmp_path)


async def test_case_09_approvals_late_twice_by_the_subject_replayed_changed(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(9, on_kafka, tmp_path)


async def test_case_10_guards_against_ranges_and_odd_spellings(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(10, on_kafka, tmp_path)


async def test_case_11_clocks_jump_by_an_hour(on_kafka: Backend, tmp_path: Path) -> None:
    await holds(11, on_kafka, tmp_path)


async def test_case_12_snapshot_lost_same_state_from_every_prefix(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(12, on_kafka, tmp_path)


async def test_case_13_playbook_upgraded_under_open_runs(on_kafka: Backend, tmp_path: Path) -> None:
    await holds(13, on_kafka, tmp_path)


async def test_case_14_log_and_store_away(on_kafka: Backend, tmp_path: Path) -> None:
    await holds(14, on_kafka, tmp_path)


async def test_case_15_secret_rotated_mid_run_and_never_recorded(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(15, on_kafka, tmp_path)


async def test_case_16_a_storm_on_one_rule_is_one_approval(
    on_kafka: Backend, tmp_path: Path
) -> None:
    await holds(16, on_kafka, tmp_path)
