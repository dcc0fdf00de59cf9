"""The chain that cron runs: take in what is new, check for drift, and only then retrain.

Databases that the config names are asked first. Nothing new: it says so and ends. Otherwise it
ingests, scores the deployed model on the rows no drift check has seen, compares them with the
training data, and, where the config's drift test finds drift, trains a challenger, which goes live
only if the gate lets it pass: as a rule, if it is at least as good on the same rows. Reports follow
each judged batch.
"""

import argparse
import gc
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from pipeline import cli
from pipeline.alerting import heartbeat, noticing, sending, try_targets
from pipeline.core.config import Config
from pipeline.core.errors import PipelineError
from pipeline.pending import contacts_due, has_work, nothing_new
from pipeline.places import hand_over
from pipeline.storage.history import (
    open_existing_history,
    open_history,
    recorded_history,
    run_lock,
)
from pipeline.storage.ledger import master_state


def run(config: Config, args: argparse.Namespace) -> None:
    """One run of the chain.

    Raises `LockHeldError` if another one is at work, `RejectedError` if every new file is rejected.
    """
    print_lines = cli.printer_for(args)
    if config.queries:
        from pipeline.data.queries import ask_due  # before the lock: an answer may take long

        ask_due(config.queries, config.input_folder_path, config.root, config.schema.format)
    with (
        sending(config) as waiting,
        run_lock(config.lock_path),
        heartbeat(config.heartbeat_url),
        open_history(config.history_path) as history,
        noticing(config, history, waiting),
    ):
        if config.contacts_path:
            from pipeline.action.contacts import take_contact_files

            take_contact_files(history, config.contacts_path, config.schema)
        if has_work(config, history):
            # pandas and scikit-learn: only where there is work. They make no garbage, and to look
            # for some among what they are, now and later, would take a quarter of a short run
            gc.disable()
            from pipeline import chain
            from pipeline.stages.ingestion import check_accepted

            gc.enable()
            if not gc.get_freeze_count():
                gc.freeze()
            done = chain.run(config, history, print_lines)
            if args.json:
                cli.print_json(config, done.to_dict(config))
            check_accepted(config, done.ingestion)
        else:
            print_lines([f"nothing new in {config.shown(config.input_folder_path)}"])
            if args.json:
                cli.print_json(config, nothing_new(config, master_state(history).rows))
        if contacts_due(config, history):
            from pipeline.stages.reporting import renew_contacts  # once a day, or by new rules

            if renewed := renew_contacts(config, history):
                print_lines([f"{config.shown(config.clientrisk_path)}: {renewed}"])


def show_status(config: Config, args: argparse.Namespace) -> None:
    """Show what is live, what ran last and what waits."""
    from pipeline.reporting.status import read_status, status_lines, status_to_dict

    with open_existing_history(config.history_path) or nullcontext() as history:
        paths = config.input_folder_path, config.prod_deployment_path, config.lock_path
        now = read_status(*paths, history, config.schema, subfolders=config.subfolders)
    cli.print_result(config, args, status_to_dict(now), status_lines(now))


def back_up(config: Config, args: argparse.Namespace) -> None:
    """Write a backup."""
    from pipeline.stages import backup

    with run_lock(config.lock_path), recorded_history(config.history_path) as history:
        made = backup.back_up(config, history, args.backup)
    cli.print_result(config, args, made, [f"{args.backup}: {backup.summary(made)}"])


def restore(args: argparse.Namespace) -> None:
    """Put a backup back, which brings its own config where there is none."""
    from pipeline.stages import backup

    config, made = backup.restore(args.restore, args.config, practice=args.practice)
    hand_over(config)
    paths = (config.input_folder_path, config.test_data_path, config.contacts_path)
    folders = [config.shown(path) for path in paths if path]
    lines = [
        f"restored from {args.restore}: {backup.summary(made)}",
        f"your own files are in no backup: put those of before back into {', '.join(folders)}",
    ]
    cli.print_result(config, args, made, lines)


def check_engine(config: Config, args: argparse.Namespace) -> None:
    """Tell whether the cluster of the config fits."""
    lines = ['"engine" is not set: one process does all, and needs nothing more']
    if config.engine:
        from pipeline.spark.session import check_engine as found

        lines = found(config)
    cli.print_result(config, args, {"engine": lines}, lines)


def try_alerts(config: Config, args: argparse.Namespace) -> None:
    """Send a message to every target of alerts; raises `PipelineError` if one fails."""
    found = try_targets(config)
    lines = [f"{name}: {why or 'told'}" for name, why in found.items()]
    cli.print_result(config, args, found, lines or ['the config has no "alerts"'])
    if failed := [name for name, why in found.items() if why]:
        raise PipelineError(f"these targets of alerts failed: {', '.join(failed)}")


def show_crontab(config: Config, args: argparse.Namespace) -> None:
    """Show the line for a crontab."""
    words = ["--config", str(config.path)] if config.path != cli.CONFIG else []
    line = cli.crontab_line(cli.CONFIG.parent, words + ["--practice"] * config.practice)
    cli.print_result(config, args, {"crontab": line}, [line])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chain from the command line."""
    parser = cli.result_parser(__doc__)
    parser.set_defaults(command=run)
    instead = parser.add_mutually_exclusive_group()
    for option, command, what in (
        ("--status", show_status, "show what is live, what ran last and what waits"),
        (
            "--check-engine",
            check_engine,
            'tell whether the cluster under "engine" fits: Python, packages, shared folders',
        ),
        ("--test-alerts", try_alerts, "send a message to every target of alerts"),
        ("--crontab", show_crontab, "print the line for cron that runs this in this folder"),
    ):
        instead.add_argument(option, dest="command", action="store_const", const=command, help=what)
    for option, what in (
        ("--backup", "write all that cannot be made again into one archive, a new file"),
        ("--restore", "put what such an archive holds into an empty place"),
    ):
        instead.add_argument(option, type=Path, metavar="FILE", help=what)
    args = parser.parse_args(argv)
    if args.restore:
        return cli.run_without_config(restore, args)
    return cli.run(back_up if args.backup else args.command, args)


if __name__ == "__main__":
    raise SystemExit(main())
