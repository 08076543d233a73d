"""Who in a group reads which partition. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

P = TypeVar("P", bound="Hashable")
M = TypeVar("M", bound="Hashable")


def balance(partitions: Sequence[P], members: Sequence[M], owners: Mapping[P, M]) -> dict[P, M]:
    """Owner of each partition: shares differ by at most one, and as few as possible move.

    `members` in the order they joined decides ties; without members nobody owns anything.
    """
    if not members:
        return {}
    held: dict[M, list[P]] = {member: [] for member in members}
    for partition in partitions:
        if (owner := owners.get(partition)) in held:
            held[owner].append(partition)
    share, extra = divmod(len(partitions), len(members))
    # The larger shares go to those who hold most: nothing moves only to even out the odd one.
    most_first = sorted(members, key=lambda member: -len(held[member]))
    room = {member: share + (rank < extra) for rank, member in enumerate(most_first)}
    target = {p: member for member in members for p in held[member][: room[member]]}
    for partition in target:
        room[target[partition]] -= 1
    takers = iter([member for member in members for _ in range(room[member])])
    for partition in partitions:
        if partition not in target:
            target[partition] = next(takers)
    return target
