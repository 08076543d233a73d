"""Network flows as numbers: the columns of NSL-KDD, and a space in which flows are near.

Numbers are logarithms there, standardised by normal flows, and categories zeros and ones.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Doubles = np.ndarray[Any, np.dtype[np.float64]]
    Halves = np.ndarray[Any, np.dtype[np.float16]]

#: Columns of a row: all but three are numbers; then the label, and one nobody needs.
COLUMNS, LABEL = 41, 41
CATEGORIES = (1, 2, 3)
NUMBERS = tuple(column for column in range(COLUMNS) if column not in CATEGORIES)
NORMAL = "normal"
#: Most rows of a file; most values of a category (one is kept for all others).
MAX_ROWS, MAX_VALUES = 5_000_000, 250
_LONGEST = 4096


class Rows(NamedTuple):
    """Flows: numbers (rows, 38), categories (three texts a row), labels ("" where unknown)."""

    numbers: Doubles
    categories: list[tuple[str, ...]]
    labels: list[str]


def read(path: Path) -> Rows:
    """A CSV without header, gzip or not: 41 columns, then the label if known, then anything.

    Raises ConfigError with the line.
    """
    numbers, categories, labels = [], [], []
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        for count, line in enumerate(file, 1):
            if count > MAX_ROWS:
                raise ConfigError(f"{path}: more than {MAX_ROWS:,} rows")
            parts = line.strip().split(",")
            if len(line) > _LONGEST or len(parts) < COLUMNS:
                raise ConfigError(f"{path}:{count}: a row has {COLUMNS} columns and a label")
            try:
                numbers.append([float(parts[column]) for column in NUMBERS])
            except ValueError as error:
                raise ConfigError(f"{path}:{count}: {error}") from None
            categories.append(tuple(parts[column] for column in CATEGORIES))
            labels.append(parts[LABEL].strip(" .") if len(parts) > LABEL else "")
    table = np.array(numbers, np.float64).reshape(-1, len(NUMBERS))
    if not np.isfinite(table).all():
        raise ConfigError(f"{path}: a value that is no number")
    return Rows(table, categories, labels)


@dataclass(frozen=True)
class Scales:
    """What is known of normal flows' columns, and how rows are laid out with it.

    `counts` says which numbers are taken as logarithms; `mean` and `deviation` are of those;
    `vocabulary` are the values of each category, the most frequent first, and `shares` how often
    each is.
    """

    counts: Doubles
    mean: Doubles
    deviation: Doubles
    vocabulary: tuple[tuple[str, ...], ...]
    shares: tuple[Doubles, ...]

    @classmethod
    def of_normal(cls, rows: Rows) -> Scales:
        """Of normal flows."""
        counts = rows.numbers.max(axis=0) > 1.01
        logged = np.where(counts, np.log1p(np.maximum(rows.numbers, 0)), rows.numbers)
        deviation = logged.std(axis=0)
        vocabulary, shares = [], []
        for column in range(len(CATEGORIES)):
            values, found = np.unique([row[column] for row in rows.categories], return_counts=True)
            order = np.lexsort((values, -found))[:MAX_VALUES]
            vocabulary.append(tuple(values[order].tolist()))
            shares.append(found[order] / len(rows.categories))
        return cls(
            counts.astype(np.float64),
            logged.mean(axis=0),
            np.where(deviation > 0, deviation, 1.0),
            tuple(vocabulary),
            tuple(shares),
        )

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> Scales:
        """What `arrays` made; raises ValueError where they do not fit together."""
        size = len(NUMBERS)
        shares = tuple(arrays[f"shares.{n}"] for n in range(len(CATEGORIES)))
        joined = arrays["vocabulary"].tobytes().decode("utf-8").split("\n")
        vocabulary = tuple(tuple(line.split("\t")) for line in joined)
        rows = tuple(arrays[name] for name in ("counts", "mean", "deviation"))
        fits = [len(words) for words in vocabulary] == [len(share) for share in shares]
        if not fits or any(row.shape != (size,) for row in rows):
            raise ValueError("the scales do not fit together")
        counts, mean, deviation = rows
        return cls(counts, mean, deviation, vocabulary, shares)

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """The scales as they go into a model file; texts as bytes of UTF-8."""
        text = "\n".join("\t".join(words) for words in self.vocabulary)
        return {
            "counts": self.counts,
            "mean": self.mean,
            "deviation": self.deviation,
            "vocabulary": np.frombuffer(text.encode("utf-8"), np.uint8),
            **{f"shares.{number}": share for number, share in enumerate(self.shares)},
        }

    def logarithms(self, numbers: Doubles) -> Halves:
        """Standardised logarithms, within what a half float holds."""
        logged = np.where(self.counts > 0, np.log1p(np.maximum(numbers, 0)), numbers)
        return np.clip((logged - self.mean) / self.deviation, -1e4, 1e4).astype(np.float16)

    def codes(self, categories: list[tuple[str, ...]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The categories' numbers in the vocabulary; its length for a value it does not have."""
        known = [{word: code for code, word in enumerate(words)} for words in self.vocabulary]
        coded = [
            [words.get(value, len(words)) for words, value in zip(known, row, strict=True)]
            for row in categories
        ]
        return np.array(coded, np.uint8).reshape(-1, len(CATEGORIES))

    def one_hot(self, codes: Any, column: int) -> Any:
        """A category as columns of zeros and ones, each standardised: what is rare is far."""
        share = self.shares[column]
        table = (codes[:, column, None] == np.arange(len(share))).astype(np.float32)
        spread = np.sqrt(share * (1 - share))
        return ((table - share) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
