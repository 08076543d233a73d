"""Leases: held while someone holds, undone when nobody does, whatever the order of events."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks import leases
from playbooks.leases import Apply, Change, Due, Release, Todo, UndoFailed, Undone, reduce
from tests.playbooks.effects_on_trial import HOUR, IP, T0
from tocsin.contracts import Failure, Hold, Lease, LeaseState

FAILED = Failure(kind="timeout", message="no answer")


def apply(run: str = "a", at: int = T0, **changes: Any) -> Apply:
    hold = {"ttl": HOUR, "max": 4 * HOUR, **changes}
    native = hold.pop("native_ttl", False)
    return Apply("firewall.block_ip", IP, "fw", run, Hold(**hold), at, native)


def applied(lease: Lease | None, request: Apply) -> Lease:
    """As the worker does: a call that is needed succeeds."""
    change = reduce(lease, request)
    assert change.lease is not None
    if change.todo in (Todo.CALL, Todo.EXTEND):
        return leases.confirmed(change.lease, {"ok": True}, request.at)
    return change.lease


def opened(run: str = "a", at: int = T0, **changes: Any) -> Lease:
    return applied(None, apply(run, at, **changes))


def test_the_first_holder_calls_and_the_second_joins() -> None:
    first = reduce(None, apply("a"))
    assert first.todo is Todo.CALL
    second = reduce(opened("a"), apply("b", T0 + 60_000))
    assert second.todo is Todo.JOIN
    assert second.lease is not None
    assert [holder.run_id for holder in second.lease.holders] == ["a", "b"]
    assert second.lease.expires == T0 + 60_000 + HOUR
    assert second.lease.generation == 1


def test_two_holders_one_leaves() -> None:
    lease = applied(opened("a"), apply("b", T0 + 60_000))
    change = reduce(lease, Release("b", T0 + 120_000))
    assert change.todo is Todo.NOTHING
    assert change.lease is not None
    assert change.lease.state is LeaseState.ACTIVE
    assert change.lease.expires == T0 + HOUR
    last = reduce(change.lease, Release("a", T0 + 180_000))
    assert last.todo is Todo.UNDO
    assert last.lease is not None
    assert last.lease.state is LeaseState.UNDOING


def test_a_stranger_releases_nothing() -> None:
    lease = opened("a")
    assert reduce(lease, Release("b", T0 + 1)) == Change(lease, Todo.NOTHING)


def test_a_person_releases_for_everyone() -> None:
    lease = applied(opened("a"), apply("b"))
    assert reduce(lease, Release(None, T0 + 1)).todo is Todo.UNDO


def test_nothing_is_undone_before_its_time() -> None:
    lease = opened()
    assert reduce(lease, Due(T0 + HOUR - 1)) == Change(lease, Todo.NOTHING)
    assert reduce(lease, Due(T0 + HOUR)).todo is Todo.UNDO


def test_a_repeat_holds_longer_and_never_beyond_max() -> None:
    lease = opened(extend_on_repeat=2.0)
    spans = []
    for number in range(1, 5):
        at = T0 + number * 1000
        lease = applied(lease, apply("a", at, extend_on_repeat=2.0))
        spans.append(lease.expires - at)
    assert spans[:1] == [2 * HOUR]
    assert lease.expires == T0 + 4 * HOUR
    assert lease.repeats == 4


def test_a_shorter_request_shortens_nothing() -> None:
    lease = opened(ttl=3 * HOUR)
    assert applied(lease, apply("a", T0 + 1, ttl=HOUR)).expires == T0 + 3 * HOUR


def test_a_product_with_its_own_time_limit_is_told_of_an_extension() -> None:
    lease = opened(native_ttl=True)
    assert reduce(lease, apply("b", T0 + 1, native_ttl=True)).todo is Todo.EXTEND
    shorter = reduce(lease, apply("b", T0 + 1, ttl=60_000, native_ttl=True))
    assert shorter.todo is Todo.JOIN


def test_what_nobody_confirmed_is_asked_for_again_and_is_no_repeat() -> None:
    change = reduce(None, apply())
    assert change.lease is not None
    doubtful = leases.unconfirmed(change.lease, T0)
    again = reduce(doubtful, apply("a", T0 + 1000, extend_on_repeat=2.0))
    assert again.todo is Todo.CALL
    assert again.lease is not None
    assert again.lease.repeats == 0
    assert reduce(doubtful, Due(T0 + HOUR)).todo is Todo.UNDO


def test_an_undo_that_fails_is_tried_again_and_alarms_once() -> None:
    lease = reduce(opened(), Due(T0 + HOUR)).lease
    at, todos, pauses = T0 + HOUR, [], []
    for _ in range(12):
        change = reduce(lease, UndoFailed(at, FAILED))
        assert change.lease is not None
        lease = change.lease
        todos.append(change.todo)
        due = leases.due(lease)
        assert due is not None
        assert reduce(lease, Due(due - 1)).todo is Todo.NOTHING
        assert reduce(lease, Due(due)).todo is Todo.UNDO
        pauses.append(due - at)
        at = due
    assert todos.count(Todo.ALARM) == 1
    assert todos[leases.UNDO_ALARM - 1] is Todo.ALARM
    assert lease is not None
    assert lease.state is LeaseState.UNDO_FAILED
    assert pauses == sorted(pauses)
    assert max(pauses) == leases.UNDO_BACKOFF_MAX
    assert reduce(lease, Undone(at)).lease.state is LeaseState.RELEASED  # type: ignore[union-attr]


def test_a_containment_wanted_again_while_it_is_undone_is_applied_anew() -> None:
    undoing = reduce(opened("a"), Release("a", T0 + 1)).lease
    again = reduce(undoing, apply("b", T0 + 2))
    assert again.todo is Todo.CALL
    assert again.lease is not None
    assert again.lease.generation == 2
    assert [holder.run_id for holder in again.lease.holders] == ["b"]


def test_a_released_lease_is_left_alone() -> None:
    lease = reduce(reduce(opened("a"), Release("a", T0 + 1)).lease, Undone(T0 + 2)).lease
    for given_ in (Due(T0 + 9 * HOUR), Release(None, T0 + 3), Undone(T0 + 3),
                   UndoFailed(T0 + 3, FAILED)):  # fmt: skip
        assert reduce(lease, given_) == Change(lease, Todo.NOTHING)
    assert lease is not None
    assert leases.due(lease) is None


def in_force(lease: Lease | None) -> bool:
    return lease is not None and lease.state is LeaseState.ACTIVE


def settle(lease: Lease | None, given_: Apply | Due | Release) -> Lease | None:
    """One input and what follows at once: calls and undos succeed."""
    if isinstance(given_, Apply):
        return applied(lease, given_)
    change = reduce(lease, given_)
    if change.todo is Todo.UNDO:
        return reduce(change.lease, Undone(given_.at)).lease
    return change.lease


END = T0 + HOUR


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_expiry_extension_and_release_at_one_instant_in_any_order(order: tuple[int, ...]) -> None:
    given_ = (Due(END), apply("b", END), Release("a", END))
    lease: Lease | None = opened("a")
    for index in order:
        lease = settle(lease, given_[index])
    assert in_force(lease)
    assert lease is not None
    assert [holder.run_id for holder in leases.live(lease.holders, END)] == ["b"]
    assert (lease.generation, lease.opened, lease.expires) == (2, END, END + HOUR)


inputs = st.lists(
    st.tuples(
        st.sampled_from(["apply", "due", "release", "release_all"]),
        st.sampled_from("abc"),
        st.integers(0, 6 * HOUR),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(inputs, st.booleans())
def test_in_force_exactly_while_someone_holds(
    steps: list[tuple[str, str, int]], native: bool
) -> None:
    """Against a model that only knows who holds until when."""
    lease: Lease | None = None
    holds: dict[str, int] = {}
    start = 0
    changed = -1
    for kind, run, offset in sorted(steps, key=lambda step: step[2]):
        at = T0 + offset
        before = {r: e for r, e in holds.items() if e > at}
        if kind == "apply":
            start = start if before else at
            until = min(at + HOUR, start + 4 * HOUR)
            holds = before | {run: max(before.get(run, 0), until)}
            lease = settle(lease, apply(run, at, native_ttl=native))
        elif kind == "due":
            holds = before
            lease = settle(lease, Due(at))
            assert in_force(lease) == bool(holds)
        else:
            holds = {} if kind == "release_all" else {r: e for r, e in before.items() if r != run}
            lease = settle(lease, Release(run if kind == "release" else None, at))
        if holds:
            assert in_force(lease)
            assert lease is not None
            alive = {h.run_id: h.expires for h in leases.live(lease.holders, at)}
            assert alive == holds
            assert lease.expires == max(holds.values())
            assert lease.expires <= lease.opened + 4 * HOUR
        if lease is not None:
            assert lease.changed >= changed
            changed = lease.changed
            assert Lease.decode(lease.encode()) == lease
    assert not in_force(settle(lease, Due(T0 + 99 * HOUR)))
