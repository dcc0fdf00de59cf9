"""Publish model, score and record as one release, list the releases, or go back to one.

A release also has a manifest, reference.json (a profile of the training data) and modelcard.md.

A release is a folder below prod_deployment_path/releases that is complete before anybody can see
it. It goes live by one rename of the link `current`, through which trainedmodel.pkl,
latestscore.txt and ingestedfiles.txt of prod_deployment_path are read."""

import argparse
from collections.abc import Sequence

from pipeline import cli
from pipeline.core.config import Config
from pipeline.registry.releases import (
    list_lines,
    list_releases,
    live_id,
    live_release,
    release_to_dict,
)
from pipeline.stages.deployment import (
    deploy,
    promote,
    recover_interrupted,
    rollback,
    trained_and_evaluated,
)
from pipeline.storage.database import History

RANKED_LATER = "it ranks the clients from the next batch on; `python reporting.py` does so at once"


def show_releases(config: Config, args: argparse.Namespace) -> None:
    """List the releases."""
    found = list_releases(config.prod_deployment_path)
    cli.print_result(config, args, found, list_lines(found))


def command(config: Config, history: History, args: argparse.Namespace) -> None:
    """Deploy or roll back, and print what came of it."""
    before = live_id(config.prod_deployment_path)
    recovered = recover_interrupted(config, history)
    if args.promote:
        release = promote(config, history).release
    elif args.rollback is None:
        release = deploy(config, history, *trained_and_evaluated(config, history)).release
    elif args.rollback == "" and recovered == "rollback":
        release = live_release(config.prod_deployment_path)  # what was asked for is done by now
    else:
        release = rollback(config, history, args.rollback or None)
    lines = [f"{config.shown(config.prod_deployment_path)}: {release.id} is live, F1 {release.f1}"]
    if (args.promote or args.rollback is not None) and release.id != before:
        lines.append(RANKED_LATER)
    cli.print_result(config, args, {"path": release.path, **release_to_dict(release)}, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    parser = cli.result_parser(__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--promote", action="store_true", help="put the challenger live that the gate held"
    )
    choice.add_argument("--list", action="store_true", help="show the releases")
    choice.add_argument(
        "--rollback",
        nargs="?",
        const="",
        metavar="ID",
        help="go back to this release, or to the one before the live one",
    )
    args = parser.parse_args(argv)
    if args.list:
        return cli.run(show_releases, args)
    return cli.run_stage("deployment", command, args)


if __name__ == "__main__":
    raise SystemExit(main())
