"""Rows of a bucket as the lines of `finaldata.csv` that they were."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.buckets import EXACT, stored
from pipeline.schema import Schema, canonical_number, csv_line

_TEXT = pa.large_string()


def canonical_lines(table: pa.Table, schema: Schema) -> pa.Array:
    """The canonical line of each row, without its line end: large texts, shape (rows,).

    The table has the schema's columns and `EXACT`.
    """
    cells = []
    for column in schema.columns:
        values = table[stored(column)].combine_chunks()
        if column in schema.numeric:
            cells.append(_numbers(values))
        elif column == schema.outcome:
            cells.append(values.cast(_TEXT).fill_null(""))
        else:
            cells.append(_quoted(values))
    if len(cells) == 1:
        lines = cells[0]
    else:
        lines = pc.binary_join_element_wise(*cells, pa.scalar(",", _TEXT))
    return pc.coalesce(table[EXACT].combine_chunks(), lines)


def _numbers(values: pa.Array) -> pa.Array:
    """Numbers as `canonical_number` has them; each text is made once for all rows."""
    encoded = values.dictionary_encode()
    texts = [canonical_number(repr(value)) for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, _TEXT).take(encoded.indices).fill_null("")


def _quoted(texts: pa.Array) -> pa.Array:
    """Texts as cells: in quotes where they have to be."""
    texts = texts.fill_null("")
    marked = pc.match_substring_regex(texts, '[",]').to_numpy(zero_copy_only=False)
    if not marked.any():
        return texts
    cells = [csv_line((text,)) for text in texts.filter(pa.array(marked)).to_pylist()]
    return pc.replace_with_mask(texts, pa.array(marked), pa.array(cells, _TEXT))
