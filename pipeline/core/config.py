"""A frozen `Config` from `config.json`: keys checked, all problems reported at once."""

import os.path
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.core.connections import (
    AlertRules,
    Engine,
    Query,
    read_alert_rules,
    read_engine,
    read_queries,
)
from pipeline.core.errors import ConfigError
from pipeline.core.json_reader import (
    BOOL,
    TEXT,
    URL,
    ObjectReader,
    keys_of,
    number,
    read_object,
    whole_number,
)
from pipeline.core.policy import POLICY_KEYS, ContactRules, Policy, read_policy
from pipeline.core.schema import Schema
from pipeline.core.schema_reader import SCHEMA_KEYS, read_labels, read_schema

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl

PATH_KEYS = (
    "input_folder_path",
    "output_folder_path",
    "test_data_path",
    "output_model_path",
    "prod_deployment_path",
)
PRACTICE_KEYS = (*PATH_KEYS, "history_path", "api_url", "heartbeat_url")
REPORT_FORMATS = ("html", "pdf")
DEFAULT_API_URL = "http://127.0.0.1:8000"
_SHARE = number(lambda value: 0 <= value <= 1, "a number from 0 to 1")


@dataclass(frozen=True)
class RiskBands:
    """The least probability of leaving that counts as high, and as medium."""

    high: Annotated[float, _SHARE] = 0.6
    medium: Annotated[float, _SHARE] = 0.3

    def band(self, risk: float) -> str:
        """`high`, `medium` or `low`."""
        return "high" if risk >= self.high else "medium" if risk >= self.medium else "low"


class FileIn:
    """A file of this name in a folder of the config."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder, self.name = folder, name

    def __get__(self, config: "Config", _: type["Config"]) -> Path:
        return Path(getattr(config, self.folder), self.name)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What `config.json` says, with every path resolved against the folder it is in."""

    path: Path
    practice: bool
    input_folder_path: Path
    output_folder_path: Path
    test_data_path: Path
    output_model_path: Path
    prod_deployment_path: Path
    history_path: "Path | DatabaseUrl"
    schema: Schema
    report_formats: tuple[str, ...]
    risk_bands: RiskBands
    labels: Mapping[str, str]  # what people call a column
    reasons_from: tuple[str, ...]  # the features that may be reasons
    policy: Policy
    api_url: str | None
    heartbeat_url: str | None
    keep_history_days: Annotated[int, whole_number(1, 36_500)] = 365
    keep_releases: Annotated[int, whole_number(1)] = 5
    subfolders: Annotated[bool, BOOL] = False  # whether client files lie in folders of the input's
    engine: Engine | None = None  # None: one process does all
    queries: tuple[Query, ...] = ()  # what databases are asked for client files
    contact_rules: ContactRules = field(default_factory=ContactRules)
    contacts_path: Path | None = None  # the folder of CSV files that say who was contacted
    alerts: AlertRules = field(default_factory=AlertRules)  # who is told of what

    @property
    def root(self) -> Path:
        """The folder that the config is in, to which its paths are relative."""
        return self.path.parent

    @property
    def finaldata_path(self) -> Path:
        """All unique client rows: a CSV file, or a folder of Parquet files that Spark keeps."""
        return self.output_folder_path / f"finaldata.{'parquet' if self.engine else 'csv'}"

    # the names of the files that they are from; rows set aside, and why
    ingestedfiles_path = FileIn("output_folder_path", "ingestedfiles.txt")
    rejectedrows_path = FileIn("output_folder_path", "rejectedrows.csv")
    # the model trained last, and its F1; clients at risk, and those whose risk changed most
    trainedmodel_path = FileIn("output_model_path", "trainedmodel.pkl")
    latestscore_path = FileIn("output_model_path", "latestscore.txt")
    clientrisk_path = FileIn("output_model_path", "clientrisk.csv")
    movers_path = FileIn("output_model_path", "movers.csv")

    @property
    def lock_path(self) -> "Path | DatabaseUrl":
        """The lock that one run holds at a time: in a folder of its own, or on the server.

        That folder's modification time is the time of the last run: a tick without work changes no
        other file. A history that is a link has the lock of the file it leads to.
        """
        if not isinstance(self.history_path, Path):
            return self.history_path
        history = self.history_path.resolve()
        return history.with_name(history.name + ".run") / "lock"

    def shown(self, path: Path) -> str:
        """A path as messages show it: relative to the config's folder if it is below that."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


OPTIONAL_KEYS = (
    *(*SCHEMA_KEYS, *POLICY_KEYS, *keys_of(ContactRules), *keys_of(AlertRules), *keys_of(Config)),
    *("history_path", "contacts_path", "queries", "engine", "report_formats", "risk_bands"),
    *("api_url", "heartbeat_url", "alerts", "practice"),
)


def load_config(path: Path | str, *, practice: bool = False) -> Config:
    """Read and check a `config.json`.

    Raises `ConfigError`, which names every problem of the file at once.
    """
    path = Path(path).absolute()
    values = read_object(path)
    reader = ObjectReader(values, [], (*PATH_KEYS, *OPTIONAL_KEYS))
    production = _places(reader, path.parent, {"history_path": "history.db"}, DEFAULT_API_URL)
    part = reader.part("practice", PRACTICE_KEYS)
    models = part.values.get("output_model_path", "practicemodels")
    own = {
        "input_folder_path": "practicedata",
        "output_folder_path": f"{models}/ingesteddata",
        "test_data_path": str(production["test_data_path"]),
        "output_model_path": "practicemodels",
        "prod_deployment_path": f"{models}/production_deployment",
        "history_path": f"{models}/history.db",
    }
    trial = _places(part, path.parent, own, None)
    _check_places(reader, production, trial, PRACTICE_KEYS if practice else part.values)
    schema = read_schema(reader)
    labels, reasons_from = read_labels(reader, schema)
    queries, alerts = read_queries(reader), read_alert_rules(reader)
    contacts = _below(path.parent, reader.get("contacts_path", TEXT, ""))
    engine = read_engine(reader)
    for name in sorted({"contacts_path", "contact_capacity", "control_share"} & {*values}):
        if engine:
            reader.problem(name, 'is not there with "engine": one process keeps contacts')
    config: Config = reader.fill(
        Config,
        path=path,
        practice=practice,
        schema=schema,
        report_formats=reader.names("report_formats", REPORT_FORMATS, REPORT_FORMATS),
        risk_bands=_risk_bands(reader),
        labels=labels,
        reasons_from=reasons_from,
        policy=read_policy(reader, schema.numeric),
        engine=engine,
        contact_rules=reader.fill(ContactRules),
        contacts_path=contacts if "contacts_path" in values else None,
        queries=queries,
        alerts=alerts,
        **(trial if practice else production),
    )
    if reader.problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in reader.problems))
    if practice:  # what is about true clients
        return replace(config, queries=(), contacts_path=None, alerts=AlertRules())
    return config


def _places(
    reader: ObjectReader, root: Path, defaults: Mapping[str, str], api_url: str | None
) -> dict[str, Any]:
    """The paths and addresses of production, or of practice."""
    named = {key: reader.get(key, TEXT, defaults.get(key, MISSING)) for key in PATH_KEYS}
    return {
        **{key: _below(root, place) for key, place in named.items()},
        "history_path": _history(reader, root, defaults["history_path"]),
        "api_url": reader.get("api_url", URL, api_url),
        "heartbeat_url": reader.get("heartbeat_url", URL, None),
    }


def _history(reader: ObjectReader, root: Path, default: str) -> "Path | DatabaseUrl":
    """A file, or a database on a server; a message about a URL does not repeat its password."""
    text = reader.get("history_path", TEXT, default)
    if "://" not in text and not text.startswith(("postgresql:", "postgres:")):
        return _below(root, text)
    from pipeline.core.database_url import DatabaseUrl  # an empty tick on SQLite does without

    try:
        return DatabaseUrl(text)
    except ValueError as error:
        reader.problem("history_path", f"must be a path or a database's URL: {error}")
        return _below(root, default)


def _risk_bands(reader: ObjectReader) -> RiskBands:
    bands: RiskBands = reader.part("risk_bands", keys_of(RiskBands)).fill(RiskBands)
    if bands.medium > bands.high:
        reader.problem("risk_bands", f"has medium ({bands.medium}) above high ({bands.high})")
    return bands


def _check_places(
    reader: ObjectReader,
    production: Mapping[str, Any],
    trial: Mapping[str, Any],
    checked: Collection[str],
) -> None:
    """Outputs must not be in folders of input, nor those of practice in those of production.

    `checked` are the keys of practice that count: its defaults matter only to who practises.
    """
    lacking = [key for key in PATH_KEYS if not isinstance(reader.values.get(key), str)]
    known = {key: place for key, place in production.items() if key not in lacking}
    for where, places, keys in (("", known, known), ("practice.", {**known, **trial}, checked)):
        for name, other in _APART:
            if name in keys and places[name] == places.get(other):
                reader.problem(f"{where}{name}", f'is the same folder as "{where}{other}"')
    for name in _MADE:
        for other in ("input_folder_path", *_MADE):
            if name in checked and trial[name] == known.get(other):
                reader.problem(
                    f"practice.{name}", f'is the same as "{other}": it would touch production'
                )


_MADE = ("output_folder_path", "output_model_path", "prod_deployment_path", "history_path")
_APART = (
    *((key, other) for key in _MADE[:3] for other in ("input_folder_path", "test_data_path")),
    *(("prod_deployment_path", other) for other in _MADE[:2]),
)


def _below(root: Path, path: str) -> Path:
    # normpath, not resolve: a folder may be a link, and need not exist yet
    return Path(os.path.normpath(root / path))
