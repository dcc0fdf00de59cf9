"""Take in new client files: merge, check, drop identical rows, append to finaldata.csv.

Every .csv file of input_folder_path that is new, by name or content, is read. Rows that fail a
check are set aside in rejectedrows.csv; a file that cannot be read as a client table, or of which
more than a tenth is bad, is rejected whole. The files themselves stay where they are."""

import argparse
from collections.abc import Sequence

from pipeline import cli
from pipeline.core.config import Config
from pipeline.stages.ingestion import check_accepted, ingest, ingestion_lines, ingestion_to_dict
from pipeline.storage.database import History


def command(config: Config, history: History, args: argparse.Namespace) -> None:
    """Ingest, and print what came of it; raises `RejectedError` if every new file is rejected."""
    ingestion = ingest(config, history, rebuild=args.rebuild)
    result, lines = ingestion_to_dict(config, ingestion), ingestion_lines(config, ingestion)
    cli.print_result(config, args, result, lines)
    check_accepted(config, ingestion)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    parser = cli.result_parser(__doc__)
    parser.add_argument(
        "--rebuild", action="store_true", help="make finaldata.csv again from all the files"
    )
    return cli.run_stage("ingestion", command, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
