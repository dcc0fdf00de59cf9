"""The lines of a ranking from sorted runs of its parts, with the places that only all can tell."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.lossplaces import LossPlaces
from pipeline.ranking import highest_first
from pipeline.sortedmerge import batches, merged, text_of


def merged_lines(runs: Sequence[Path], clients: int, valued: bool) -> Iterator[pa.Buffer]:
    """The lines of so many clients, highest risk first, in blocks; `valued`: with losses."""
    places = LossPlaces(_losses(runs, clients)) if valued else None
    ranked = 0
    for table in merged(runs, _highest_first):
        ranks = pa.array(np.arange(ranked + 1, ranked + 1 + len(table)))
        ranked += len(table)
        losses = None if places is None else places.of(table["loss"].to_numpy())
        yield _text(ranks, table["line"], losses)


def _losses(runs: Sequence[Path], clients: int) -> np.ndarray:
    losses, at = np.empty(clients), 0
    for path in runs:
        for table in batches(path, ("loss",)):
            losses[at : at + len(table)] = table["loss"].to_numpy()
            at += len(table)
    return losses


def _highest_first(table: pa.Table) -> np.ndarray:
    risk, decision = table["risk"].to_numpy(), table["decision"].to_numpy()
    return highest_first(
        risk, decision, lambda places: table["client"].take(pa.array(places)).to_pylist()
    )


def _text(ranks: pa.Array, lines: pa.ChunkedArray, losses: np.ndarray | None) -> pa.Buffer:
    """Lines with their places, one after the other in one piece of memory."""
    text = pa.large_string()
    rest: pa.Array | pa.Scalar = pa.scalar("\n", text)
    if losses is not None:
        shown = pc.if_else(pa.array(losses != 0), pa.array(losses).cast(text), pa.scalar("", text))
        rest = pc.binary_join_element_wise(shown, pa.scalar("\n", text), pa.scalar("", text))
    whole = pc.binary_join_element_wise(
        ranks.cast(text), lines.combine_chunks(), rest, pa.scalar("", text)
    )
    return text_of(whole)
