"""Is there work? What every tick asks: no pandas, numpy or scikit-learn."""

import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.core.config import Config
from pipeline.core.errors import PipelineError
from pipeline.observations.master_files import check_rows
from pipeline.registry.releases import live_id, live_release
from pipeline.storage.database import History
from pipeline.storage.input_checks import list_and_tell, remember
from pipeline.storage.ledger import (
    master_state,
    new_files,
    rebuilding,
    unreported,
    unsettled_since,
)
from pipeline.storage.work_requests import requests_wait


def has_work(config: Config, history: History) -> bool:
    """Whether there is anything to do.

    So it is where nobody can tell: the run then fails for the same reason, and is on record.
    """
    try:
        if config.engine:
            from pipeline.observations.tables import open_tables

            open_tables(config.finaldata_path, master_state(history))
        else:
            check_rows(config.finaldata_path, history)
        found = list_and_tell(history, config.input_folder_path, subfolders=config.subfolders)
        return (
            rebuilding(history)
            or bool(new_files(history, found, config.schema))
            or bool(unreported(history))
            or lacks_release(config, history)
            or unsettled_since(history) is not None
            or requests_wait(history)
            or upgraded(history)
        )
    except PipelineError:
        return True


def upgraded(history: History) -> bool:
    """Whether another scikit-learn is here than when a run of this machine last had work."""
    found = history.tuples("SELECT what FROM told WHERE kind = ?", _here())
    return bool(found) and found != [(_scikit_learn(),)]


def remember_scikit_learn(history: History) -> None:
    """Record that a run has worked with the scikit-learn that is here now."""
    remember(history, _here(), {"scikit-learn": _scikit_learn()})


def _here() -> str:
    return f"packages of {os.uname().nodename}"


def _scikit_learn() -> str:
    """What is installed, by the name of its folder: `importlib.metadata` is slow to import."""
    places = [Path(place) for place in sys.path if Path(place).is_dir()]
    names = {found.name for place in places for found in place.iterdir()}
    return ", ".join(sorted(name for name in names if name.startswith("scikit_learn-")))


def contacts_due(config: Config, history: History) -> bool:
    """Whether contacts may change something in a ranking: on a new day, or by new rules.

    The run that writes a ranking has looked at them.
    """
    ((looked,),) = history.tuples("SELECT contacts_day FROM master")
    rules = config.contact_rules
    return (
        looked != rules.mark(date.today())
        and not config.engine
        and config.clientrisk_path.is_file()
        and bool(
            rules.capacity
            or rules.control_share
            or history.tuples("SELECT 1 FROM contacts LIMIT 1")
            or history.tuples("SELECT 1 FROM assignments LIMIT 1")
        )
    )


def lacks_release(config: Config, history: History) -> bool:
    """Whether there are rows to learn from while nothing is live, or nothing of that meaning."""
    if not master_state(history).rows:
        return False
    # without a meaning of its own a config spares every tick the reading of the release
    return live_id(config.prod_deployment_path) is None or (
        (config.schema.derives or config.schema.date != "") and means_otherwise(config)
    )


def means_otherwise(config: Config) -> bool:
    """Whether the live model was trained when the config meant something else by leaving."""
    live = live_release(config.prod_deployment_path)
    return live.model.schema.meaning != config.schema.meaning


def nothing_new(config: Config, total_rows: int) -> dict[str, Any]:
    """What a run that found nothing to do returns to a program."""
    return {
        "outcome": "nothing new",
        "files": [],
        "added": 0,
        "total_rows": total_rows,
        "path": config.finaldata_path,
        "rejected_rows": None,
        "decision": None,
        "reports": None,
    }
