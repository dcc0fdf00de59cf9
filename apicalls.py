"""Call the API (prediction, scoring, summary statistics, diagnostics) and keep its answers.

The answers go, each under a heading, to apireturns.txt in output_model_path.
"""

import argparse
from collections.abc import Sequence
from contextlib import suppress

from pipeline import cli
from pipeline.core.config import DEFAULT_API_URL, Config
from pipeline.web.api_client import (
    SECONDS,
    answers_to_dict,
    call_api,
    check,
    default_file,
    write_answers,
)

LONGEST = 86_400.0  # a wait beyond a day is a mistake, and endless ones sockets refuse


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(text)) <= LONGEST:
            return seconds
    raise argparse.ArgumentTypeError(f"expected seconds, more than 0 and at most {LONGEST:g}")


def command(config: Config, args: argparse.Namespace) -> None:
    """Call, keep the answers, and print where."""
    url = (args.url or config.api_url or DEFAULT_API_URL).rstrip("/")
    file = args.file or default_file(config.test_data_path)
    answers = call_api(url, file, config.prod_deployment_path, args.timeout)
    for answer in answers:
        check(answer)
    path = config.output_model_path / args.output
    write_answers(answers, path)
    lines = [f"{answer.call}: {answer.status}" for answer in answers]
    cli.print_result(config, args, answers_to_dict(path, answers), [*lines, config.shown(path)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client from the command line."""
    parser = cli.result_parser(__doc__)
    parser.add_argument("--url", help="the API's base URL (default: api_url of the config)")
    parser.add_argument("--file", help="the client file to predict (default: of the test data)")
    parser.add_argument(
        "--timeout", type=_seconds, default=SECONDS, help="seconds to wait for an answer (30)"
    )
    parser.add_argument(
        "--output", default="apireturns.txt", help="the file to write (apireturns.txt)"
    )
    return cli.run(command, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
