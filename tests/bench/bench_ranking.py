"""What ranking a million clients costs, beside a plain way to do it in pandas.

Both are whole processes, run in turn. Ours ranks with reasons, puts each client's risk on record in
a new history and writes the ranking; the plain way reads the same table, takes the latest row of
each client that has not left, predicts, sorts and writes the same columns but for the reasons. Run
it from the project's folder:

    python -m tests.bench.bench_ranking [--clients 1000000] [--repeat 5]

It fails where ours takes more than 1.2 times the CPU, or more than 550 MiB.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measuring import costs_of, machine, medians, parser_for, table, world
from tests.support.stagecalls import train

MOST_CPU, MOST_MEMORY = 1.2, 550  # times the plain way's, MiB

OURS = """
import shutil, sys
from dataclasses import replace
from pathlib import Path
from pipeline.core.config import load_config
from pipeline.models.persistence import load_trained
from pipeline.models.scorer import Scorer
from pipeline.observations.master import open_master
from pipeline.registry.live_model import Live
from pipeline.registry.releases import Release
from pipeline.stages.reporting import update_ranking
from pipeline.storage.database import History

config = load_config(sys.argv[1])
new = config.path.with_name("new.db")
shutil.copy(config.history_path, new)
config = replace(config, history_path=new)
trained = load_trained(config.output_model_path, config.schema)
name, model = "000001-20261122T090000Z", trained.manifest
release = Release(
    id=name, path=Path(), deployed_at="", f1=0.7, previous=None, files={}, model=model
)
live = Live(release, trained.model, Scorer(trained.model, config.schema))
with History(new) as history:
    rows = open_master(config.finaldata_path, config.schema, history)
    update_ranking(config, history, live, rows)
"""
PLAIN = """
import pickle, sys
from pathlib import Path
import numpy as np
import pandas as pd

root = Path(sys.argv[1]).parent
rows = pd.read_csv(root / "ingesteddata/finaldata.csv")
rows = rows.drop_duplicates("corporation", keep="last")
rows = rows[rows["exited"] != 1]
with open(root / "models/trainedmodel.pkl", "rb") as file:
    model = pickle.load(file)
features = rows[[*model.feature_names_in_]]
rows["risk"] = model.predict_proba(features)[:, 1].round(6)
rows["contact"] = np.where(model.predict(features) == 1, "yes", "no")
rows["band"] = np.select([rows["risk"] >= 0.6, rows["risk"] >= 0.3], ["high", "medium"], "low")
rows["release"] = "000001-20261122T090000Z"
rows["contact_status"] = np.where(rows["contact"] == "yes", "proposed", "below_threshold")
rows["contacted_on"] = ""
rows = rows.sort_values(["risk", "corporation"], ascending=[False, True])
rows["rank"] = np.arange(1, len(rows) + 1)
columns = ["rank", "corporation", "risk", "band", "release", "contact"]
columns += ["contact_status", "contacted_on"]
rows[columns].to_csv(root / "plain.csv", index=False, float_format="%.6f")
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and say whether the bounds hold."""
    parser = parser_for(__doc__, repeat=5)
    parser.add_argument("--clients", type=int, default=1_000_000, metavar="N")
    args = parser.parse_args(argv)
    with TemporaryDirectory(prefix="ranking-") as folder:
        config = world(Path(folder) / "world", args.clients)
        train(config)
        commands = [["-c", code, str(config.path)] for code in (OURS, PLAIN)]
        ours, plain = map(medians, costs_of(commands, args.repeat))
    times = ours.cpu / plain.cpu
    rows = [
        [name, f"{cost.cpu:.2f}", f"{cost.wall:.2f}", f"{cost.peak:.0f}"]
        for name, cost in (("ranking, with reasons and record", ours), ("plain pandas", plain))
    ]
    print(table([f"{args.clients:,} clients", "CPU s", "s", "MiB"], rows), "", sep="\n")
    print(f"{times:.2f} times the CPU of the plain way", machine(), sep="\n")
    if times > MOST_CPU or ours.peak > MOST_MEMORY:
        print(f"more than {MOST_CPU} times or {MOST_MEMORY} MiB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
