"""How many clients left and stayed at each risk: what curves are made of, small and mergeable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

BINS = 1 << 16  # of equal width; and the most different risks that are told apart


@dataclass(frozen=True, eq=False)
class RiskTable:
    """Different risks in ascending order, each with its rows of either outcome: shape (risks,).

    Exact while there are no more than `BINS` different ones. Beyond that risks fall into as many
    bins of equal width, each at its middle, and the rows of a bin count as of equal risk.
    """

    risk: np.ndarray  # float64 from 0 to 1
    left: np.ndarray  # int64
    stayed: np.ndarray  # int64
    binned: bool = False

    @classmethod
    def of(cls, outcomes: np.ndarray, risk: np.ndarray) -> Self:
        """The table of rows: outcomes 0 or 1 and risk in [0, 1], each of the shape (rows,)."""
        return cls._summed(risk, outcomes == 1, outcomes == 0, binned=False)

    @classmethod
    def merged(cls, tables: Sequence[Self]) -> Self:
        """The table of all rows of some tables, whatever their order."""
        joined = (
            np.concatenate([np.empty(0), *(getattr(table, name) for table in tables)])
            for name in ("risk", "left", "stayed")
        )
        return cls._summed(*joined, binned=any(table.binned for table in tables))

    @classmethod
    def _summed(
        cls, risk: np.ndarray, left: np.ndarray, stayed: np.ndarray, *, binned: bool
    ) -> Self:
        values, places = np.unique(_middles(risk) if binned else risk, return_inverse=True)
        if len(values) > BINS:
            return cls._summed(risk, left, stayed, binned=True)
        # as doubles, which are exact up to 2**53 rows
        found_left, found_stayed = (
            np.bincount(places, rows, len(values)).astype("int64") for rows in (left, stayed)
        )
        return cls(values, found_left, found_stayed, binned)

    def roc_auc(self) -> float | None:
        """The share of pairs, one who left and one who stayed, that are told the right way round.

        Pairs of equal risk count half. None unless there are both. Exact in whole numbers until
        the division. Source: Hanley and McNeil, The Meaning and Use of the Area under a ROC Curve,
        Radiology 143(1), 1982.
        """
        if not (pairs := self._pairs()):
            return None
        twice = below = 0
        for left, stayed in zip(self.left.tolist(), self.stayed.tolist(), strict=True):
            twice += left * (2 * below + stayed)
            below += stayed
        return float(twice / (2 * pairs))

    def auc_error(self) -> float:
        """By how much `roc_auc` may be wrong at most, up or down: 0 while the table is exact.

        Within a bin nobody knows which of a pair has the higher risk. All pairs of a bin may be
        the right way round or none, and half of them were counted: so half the pairs that share a
        bin, of all pairs.
        """
        if not self.binned or not (pairs := self._pairs()):
            return 0.0
        shared = sum(a * b for a, b in zip(self.left.tolist(), self.stayed.tolist(), strict=True))
        return float(shared / (2 * pairs))

    def average_precision(self) -> float | None:
        """The precision at each risk, from the highest down, weighted by who left at it.

        None unless there are both outcomes; of a binned table, that of the bins. Source: Manning,
        Raghavan and Schuetze, Introduction to Information Retrieval, 2008, chapter 8.
        """
        if not self._pairs():
            return None
        left, stayed = self.left[::-1], self.stayed[::-1]
        found = np.cumsum(left)
        with_left = left > 0
        precision = found[with_left] / (found + np.cumsum(stayed))[with_left]
        return float(np.sum(left[with_left] * precision) / found[-1])

    def _pairs(self) -> int:
        """How many pairs there are of one who left and one who stayed."""
        return int(self.left.sum()) * int(self.stayed.sum())


def _middles(risk: np.ndarray) -> np.ndarray:
    """The middle of the bin that each risk falls into; a middle stays where it is."""
    middles: np.ndarray = (np.minimum(np.floor(risk * BINS), BINS - 1) + 0.5) / BINS
    return middles
