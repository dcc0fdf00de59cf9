"""The Flask API: predictions, scores, statistics, diagnostics and the ranking of clients.

It answers from the release that is live, and follows a redeploy without a restart. It binds to
127.0.0.1 unless another address is given.
"""

import argparse
from collections.abc import Sequence

from pipeline import cli
from pipeline.core.config import Config
from pipeline.web.app import create_app
from pipeline.web.auth import check_address

__all__ = ["create_app", "main"]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 2**16):
        raise argparse.ArgumentTypeError("expected a port, 0 to 65535")
    return int(text)


def command(config: Config, args: argparse.Namespace) -> None:
    """Serve until interrupted."""
    check_address(args.host)
    app = create_app(config)
    app.run(host=args.host, port=args.port, threaded=True, debug=False, load_dotenv=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server from the command line."""
    parser = cli.stage_parser(__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to bind to")
    parser.add_argument("--port", type=_port, default=8000, help="the port (default 8000)")
    return cli.run(command, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
