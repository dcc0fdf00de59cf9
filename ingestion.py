"""Take in new client files: merge, check, keep each observation of a client once.

Every table of input_folder_path (CSV of any kind, workbooks, packed ones) that is new, by name or
content, is read into finaldata.csv. Rows that fail a check are set aside in rejectedrows.csv; a
file that cannot be read as a client table, or of which more than a tenth is bad, is rejected whole.
The files themselves stay where they are. Nothing that was taken in is taken back, unless
--withdraw, --rebuild or --erase is given, which forgets a client. --accept lets a file count that
is held back. --check looks at files before any of that, and --split makes test data of one."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline import cli
from pipeline.core.config import Config
from pipeline.stages.ingestion import (
    accept,
    check_accepted,
    ingest,
    ingestion_lines,
    ingestion_to_dict,
    withdraw,
    withdrawal_lines,
)
from pipeline.storage.database import History

ACCEPTED_NEXT = "the next run of fullprocess.py judges it, and ranks by it"


def command(config: Config, history: History, args: argparse.Namespace) -> None:
    """Ingest, withdraw, accept or erase, and print what came of it.

    Raises `RejectedError` if every new file is rejected, `DataError` for names of no client.
    """
    if args.accept is not None:
        accept(history, args.accept)
        result = {"name": args.accept}
        cli.print_result(config, args, result, [f"{args.accept}: accepted; {ACCEPTED_NEXT}"])
        return
    if args.withdraw is not None:
        done = withdraw(config, history, args.withdraw, yes=args.yes)
        cli.print_result(config, args, done, withdrawal_lines(config, done))
        return
    if args.erase or args.erase_file:
        from pipeline.stages import erasure  # with pandas

        names = erasure.read_names(args.erase_file) if args.erase_file else args.erase
        erased = erasure.erase(config, history, names, keep_out=args.keep_out)
        cli.print_result(config, args, erased, erasure.erasure_lines(config, erased))
        erasure.check_known(erased)
        return
    ingestion = ingest(config, history, rebuild=args.rebuild, yes=args.yes)
    result, lines = ingestion_to_dict(config, ingestion), ingestion_lines(config, ingestion)
    cli.print_result(config, args, result, lines)
    check_accepted(config, ingestion)


def check(config: Config, args: argparse.Namespace) -> None:
    """Print what files look like, without the run lock: nothing is changed."""
    from pipeline.data.table_check import check_files, check_lines, checks_to_dict

    found = [*check_files(args.check, config.schema, subfolders=config.subfolders)]
    cli.print_result(config, args, checks_to_dict(found), check_lines(found))


def split(config: Config, args: argparse.Namespace) -> None:
    """Divide a file into test data and others, and print how many rows each has."""
    from pipeline.data.table_check import split_file

    folders = config.test_data_path, config.input_folder_path
    counts = split_file(args.split, config.schema, *folders)
    result = {"test_rows": counts[0], "rows": counts[1]}
    pairs = zip(folders, counts, strict=True)
    lines = [f"{config.shown(folder)}: {count:,} rows" for folder, count in pairs]
    cli.print_result(config, args, result, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    parser = cli.result_parser(__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--rebuild", action="store_true", help="make finaldata.csv again from all the files"
    )
    how.add_argument(
        "--withdraw",
        metavar="FILE",
        help="take back what only former contents of this file brought, or all that only it"
        " brought if it is gone or held back",
    )
    how.add_argument(
        "--accept",
        metavar="FILE",
        help="take this file as it is, though it is held back: it counts from the next run on",
    )
    how.add_argument(
        "--erase",
        action="append",
        metavar="CLIENT",
        help="forget this client: rows, risks, contacts, reports, backups; may be given again",
    )
    how.add_argument(
        "--erase-file",
        type=Path,
        metavar="FILE",
        help="forget the clients in a file, a name a line",
    )
    how.add_argument(
        "--check",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="look at files or folders and take nothing in: how they read, a schema for them",
    )
    how.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="put the rows of a fifth of its clients into the test data, those of the others into"
        " the input folder",
    )
    parser.add_argument("--yes", action="store_true", help="do so although rows are lost by it")
    parser.add_argument(
        "--keep-out",
        action="store_true",
        help="with --erase or --erase-file: take nothing in of these clients any more",
    )
    args = parser.parse_args(argv)
    if args.keep_out and not (args.erase or args.erase_file):
        parser.error("--keep-out needs --erase or --erase-file")
    alone = check if args.check else split if args.split else None
    return cli.run(alone, args) if alone else cli.run_stage("ingestion", command, args)


if __name__ == "__main__":
    raise SystemExit(main())
