"""Whether engine, workers, versions and shared folders fit together, in words."""

from collections.abc import Sequence

from pipeline import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check from the command line."""
    raise NotImplementedError(cli, argv)
