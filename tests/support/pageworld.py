"""A project with a real history for the page to tell of, hostile names among its clients."""

import json
from pathlib import Path

import pandas as pd
from sandbox import SIMPLE

import fullprocess
from pipeline import sample_data
from pipeline.core.config import Config, load_config

SEED = 11
TAKEN = "document.title='taken'"  # what no text of ours may ever do
ODD = "<b>&\"'/?#%+ é 中文"
APOSTROPHE = "O'Neill's Mills"
SCRIPT = f"<script>{TAKEN}</script> Ltd"
IMAGE = f'"><img src=x onerror="{TAKEN}">'
FORMULA = "=1+2 Works"
HOSTILE = (ODD, APOSTROPHE, SCRIPT, IMAGE, FORMULA)
LEFT = "Gone Paper SA"  # its latest row says that it left
LABEL = "use of <i>last</i> month"
BAD_FILE = f"<img src=x onerror={TAKEN}>.csv"
BAD_CELL = f"<script>{TAKEN}</script>"


def hostile_clients(month: int, names: tuple[str, ...] = HOSTILE) -> pd.DataFrame:
    """Clients of odd names, of little use last month and therefore at risk."""
    rows = [(name, month + i, 420 + i, 12 + i, 0) for i, name in enumerate(names)]
    return pd.DataFrame(rows, columns=list(sample_data.COLUMNS))


def batches() -> list[dict[str, pd.DataFrame]]:
    """The files that come in, run by run: usual ones, a new market, broken ones, changes."""
    bad = sample_data.clients(60, SEED, sample_data.STABLE).astype(object)
    bad.loc[3, "lastmonth_activity"] = BAD_CELL
    bad.loc[7, "corporation"] = ""
    named = hostile_clients(3, (*HOSTILE, LEFT))
    return [
        {"a.csv": sample_data.clients(1_500, SEED), "named.csv": named},
        {"drift.csv": sample_data.drifted(500, SEED), "left.csv": named[5:].assign(exited=1)},
        {"bad rows.csv": bad, BAD_FILE: pd.DataFrame({"who": ["x"], "what": [1]})},
        {"again.csv": sample_data.clients(300, SEED + 1), "named2.csv": hostile_clients(1)},
    ]


def made_world(root: Path) -> Config:
    """The project, after a run of the whole chain for each batch; the last writes the reports."""
    result = {
        "input_folder_path": "sourcedata",
        "output_folder_path": "ingesteddata",
        "test_data_path": "testdata",
        "output_model_path": "models",
        "prod_deployment_path": "production_deployment",
        "client_value": "lastyear_activity",
        "labels": {"lastmonth_activity": LABEL},
        "api_url": None,
        **SIMPLE,
    }
    config = root / "config.json"
    (root / "sourcedata").mkdir()
    sample_data.write(root / "testdata/testdata.csv", [sample_data.clients(600, SEED, 10_000)])
    every = batches()
    for batch in every:
        formats = ["html", "pdf"] if batch is every[-1] else []
        config.write_text(json.dumps({**result, "report_formats": formats}))
        for name, table in batch.items():
            table.to_csv(root / "sourcedata" / name, index=False)
        code = fullprocess.main(["--config", str(config)])
        assert code == 0, f"the run on {sorted(batch)} ended with {code}"
    return load_config(config)
