"""The API for a WSGI server: `gunicorn wsgi:app`; RISK_CONFIG may name another config.json."""

import os

from app import create_app
from pipeline import cli
from pipeline.config import load_config
from pipeline.guard import check_address, listening_hosts

for host in listening_hosts():
    check_address(host)
cli.set_up_logging(verbose=False)
app = create_app(load_config(os.environ.get("RISK_CONFIG") or cli.PROJECT / "config.json"))
