"""When Python looks for garbage in a process that lives long and keeps much."""

from __future__ import annotations

import gc

#: New objects between two looks for garbage, and looks between two that go deeper.
THRESHOLDS = (50_000, 20, 100)


def keep_what_is_loaded() -> None:
    """What is in memory now stays, and is not looked through again; the rest less often.

    Going through rules, windows and profiles at every 700 new objects cost observe and behavior
    40 % of their time. The benches call this as `tocsin run` does.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
