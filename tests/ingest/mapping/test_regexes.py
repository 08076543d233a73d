"""How long a text each expression may be given, by what it may cost."""

from __future__ import annotations

import pytest

from ingest.mapping.regexes import MAX_TEXT, bounded

#: Longest text of an expression that may run through the text from every place of it.
QUADRATIC = 2_828


@pytest.mark.parametrize(
    "text",
    [
        r"(\d+\.\d+\.\d+\.\d+)",  # of digits alone, from each of them to the end
        r"\(([^)]+)\) via",  # an opening bracket may stand within brackets
        r"(?:\(([^)]+)\)|<([^>]+)>) via",
        r"User\[([^\]]*)\]",
        r"[/@](\S+)$",
    ],
)
def test_what_is_searched_may_run_through_the_text_from_every_place(text: str) -> None:
    assert bounded(text, anywhere=True).longest == QUADRATIC
    assert bounded(text).longest == MAX_TEXT


@pytest.mark.parametrize(
    "text",
    [
        r"\(([^()]+)\) via",  # ends at the next place that could begin
        r'user="([^"]*)"',
        r"^([^:]+):(.*)$",
        r"Reason: (.+)$",  # takes all the rest and is done
        r"(?m)^Name: ([^\n]*)\n",
    ],
)
def test_what_stops_before_the_next_place_costs_nothing(text: str) -> None:
    assert bounded(text, anywhere=True).longest == MAX_TEXT


def test_repetitions_one_after_the_other_run_through_the_text_once() -> None:
    one = bounded(r".*?a[^,]+,x")
    several = bounded(r".*?a[^,]+,[^;]+;[^.]+\.x")
    assert one.longest == several.longest == QUADRATIC


def test_all_steps_of_the_last_repetition_count() -> None:
    assert bounded(r"^(?:\S+: )?client=\S+.*?sasl_method=").longest == QUADRATIC


def test_a_repetition_of_a_repetition_is_refused() -> None:
    with pytest.raises(ValueError, match="for ever"):
        bounded(r"(a+)+b")
