"""Titles and labels of rendered Windows events, as they are compared."""

from __future__ import annotations

import pytest

from ingest.formats.windows import labels


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\ufeffNom du compte\u00a0: ", "nom du compte"),
        ("Type\u202fd\u2019ouverture  de\tsession.", "type d'ouverture de session"),
        ("a" * 200, "a" * 200),
        ("a" * 201, ""),
    ],
)
def test_what_is_compared(text: str, plain: str) -> None:
    assert labels.plain(text) == plain


def test_nothing_stands_for_a_line_that_is_too_long() -> None:
    assert "" not in labels.TITLES
    assert "" not in labels.SECTIONS
    assert labels.data_name("Subject", "", "4624") is None
    assert max(map(len, (*labels.TITLES, *labels.SECTIONS))) < 200
