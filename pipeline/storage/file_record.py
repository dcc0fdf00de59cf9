"""What is on record of a data file: how long it is, its time of change, and a digest.

The digest is a sum over blocks of one MiB, so that after an append only the last ones are read.
"""

from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20
_MODULUS = 1 << 128


@dataclass(frozen=True)
class FileRecord:
    """A file's bytes that count, its time of change, and the digest of these bytes."""

    size: int
    mtime_ns: int
    digest: str


def file_record(path: Path, before: FileRecord | None = None) -> FileRecord:
    """The record of a file; `before` is that of the file it was until something was appended."""
    size = path.stat().st_size
    total, start = 0, 0
    if before:
        start = before.size // BLOCK * BLOCK
        total = int(before.digest, 16) - _sum(path, start, before.size)
    total = (total + _sum(path, start, size)) % _MODULUS
    return FileRecord(size, path.stat().st_mtime_ns, f"{total:032x}")


def file_fault(path: Path, record: FileRecord, *, longer: bool = False) -> str | None:
    """In what a file differs from its record, or None; `longer`: it may have more bytes.

    It is read only where its size or its time of change differ.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return f"is gone, though {record.size:,} bytes of it are on record"
    if found.st_size < record.size or (found.st_size > record.size and not longer):
        return f"has {found.st_size:,} bytes where {record.size:,} are on record"
    if (found.st_size, found.st_mtime_ns) == (record.size, record.mtime_ns):
        return None
    if _sum(path, 0, record.size) % _MODULUS == int(record.digest, 16):
        return None
    return "has other content than is on record"


def _sum(path: Path, start: int, end: int) -> int:
    """The sum of the digests of the blocks between two bytes of a file; modulo is the caller's."""
    from xxhash import xxh3_128_intdigest  # an empty tick does without, as a rule

    total = 0
    with path.open("rb") as file:
        file.seek(start)
        for number in range(start // BLOCK, -(-end // BLOCK)):
            block = file.read(min(BLOCK, end - number * BLOCK))
            total += xxh3_128_intdigest(block, seed=number)
    return total
