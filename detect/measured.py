"""What of an event a correlation measures: the event itself, values of its fields, or its rule."""

from __future__ import annotations

from itertools import islice, product
from typing import TYPE_CHECKING

import orjson

from detect.conditions import number
from detect.sigma.patterns import number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from detect.model import Correlation

    #: Reads a field of what happened, by its Sigma name: its values as texts.
    Read = Callable[[str], tuple[str, ...]]

#: Most values that one event counts with, for one correlation (fields with several values).
MAX_VALUES = 16


def measured(correlation: Correlation, event_id: str, rule_id: str, read: Read) -> tuple[str, ...]:
    """The values of an event that `rule_id` matched; none if it lacks what is measured.

    Of several fields each combination is a value; of numbers each different one is.
    """
    condition = correlation.condition
    if condition.measure == "events":
        return (event_id,)
    if condition.numeric:
        return _numbers(read(correlation.fields[0]))
    if condition.measure != "values":
        return (rule_id,)
    found = [read(name) for name in correlation.fields]
    if len(found) == 1:
        return found[0][:MAX_VALUES]
    combined = islice(product(*found), MAX_VALUES)
    return tuple(orjson.dumps(values).decode() for values in combined)


def _numbers(texts: tuple[str, ...]) -> tuple[str, ...]:
    numbers = {
        number(text.strip()): text.strip() for text in texts if number_of(None, text) is not None
    }
    return tuple(islice(numbers.values(), MAX_VALUES))
