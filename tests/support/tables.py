"""Client tables row by row, as tests look at them."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.data.csv_reader import BadRow, Table


@dataclass(frozen=True)
class GoodRow:
    """A row that passed: where it starts, and its canonical line, without the line end."""

    line: int
    text: str


class RowTable(Table):
    """A table whose blocks of good rows are taken apart."""

    def __iter__(self) -> Iterator[GoodRow | BadRow]:
        for block in self.blocks():
            if isinstance(block, BadRow):
                yield block
            else:
                # not splitlines: a name may hold other characters that Python takes for line ends
                for i, text in enumerate(block.text.split("\n")[:-1]):
                    yield GoodRow(block.line + i, text)
