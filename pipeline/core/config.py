"""A frozen `Config` from `config.json`: keys checked, all problems reported at once."""

import os.path
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.alert_targets import ALERT_KEYS, AlertRules, read_alert_rules
from pipeline.core.config_reader import (
    URL,
    Kind,
    ObjectReader,
    as_json,
    member,
    number,
    one_of,
    optional,
    read_object,
    whole_number,
)
from pipeline.core.contact_rules import CONTACT_KEYS, ContactRules, read_contact_rules
from pipeline.core.engine import Engine, read_engine
from pipeline.core.errors import ConfigError
from pipeline.core.policy import POLICY_KEYS, Policy, read_policy
from pipeline.core.queries import Query, read_queries
from pipeline.core.schema import (
    DEFAULT_LABELS,
    DEFAULT_SCHEMA,
    UNTELLABLE,
    ClientNames,
    Format,
    Rule,
    Schema,
)

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl

PATH_KEYS = (
    "input_folder_path",
    "output_folder_path",
    "test_data_path",
    "output_model_path",
    "prod_deployment_path",
)
OPTIONAL_KEYS = (
    "schema",
    "client_names",
    "format",
    "outcomes",
    "subfolders",
    "queries",
    "horizon_days",
    "input",
    "absent",
    "labels",
    "reasons_from",
    *POLICY_KEYS,
    *CONTACT_KEYS,
    "contacts_path",
    "history_path",
    "keep_history_days",
    "report_formats",
    "keep_releases",
    "risk_bands",
    "api_url",
    "heartbeat_url",
    *ALERT_KEYS,
    "engine",
    "practice",
)
REPORT_FORMATS = ("html", "pdf")
SHARE = number(lambda value: 0 <= value <= 1, "a number from 0 to 1")
PRACTICE_KEYS = (*PATH_KEYS, "history_path", "api_url", "heartbeat_url")
UNNAMED_OUTCOME = "has_left"  # the column of the outcome where the config names none
# what no column may be called that travels to the ranking, the API and the page: they have it
RANKING_NAMES = (
    *("rank", "client", "risk", "band", "release", "contact", "reasons"),
    *("expected_loss", "loss_rank", "horizon_days", "contact_status", "contacted_on"),
    *("limit", "offset", "sort", "format", "q", "page"),
)
DEFAULT_API_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class RiskBands:
    """The least probability of leaving that counts as high, and as medium."""

    high: float = 0.6
    medium: float = 0.3

    def band(self, risk: float) -> str:
        """`high`, `medium` or `low`."""
        return "high" if risk >= self.high else "medium" if risk >= self.medium else "low"


class FileIn:
    """A file of this name in a folder of the config."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder, self.name = folder, name

    def __get__(self, config: "Config", _: type["Config"]) -> Path:
        return Path(getattr(config, self.folder), self.name)


@dataclass(frozen=True)
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
    keep_history_days: int
    report_formats: tuple[str, ...]
    keep_releases: int
    risk_bands: RiskBands
    labels: Mapping[str, str]  # what people call a column
    reasons_from: tuple[str, ...]  # the features that may be reasons
    policy: Policy
    api_url: str | None
    heartbeat_url: str | None
    subfolders: bool = False  # whether client files lie in folders of the input folder, too
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
        other file.
        """
        if not isinstance(self.history_path, Path):
            return self.history_path
        return self.history_path.with_name(self.history_path.name + ".run") / "lock"

    def shown(self, path: Path) -> str:
        """A path as messages show it: relative to the config's folder if it is below that."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def load_config(path: Path | str, *, practice: bool = False) -> Config:
    """Read and check a `config.json`.

    Raises `ConfigError`, which names every problem of the file at once.
    """
    path = Path(path).absolute()
    values = read_object(path)
    reader = ObjectReader(values, [])
    reader.check_keys((*PATH_KEYS, *OPTIONAL_KEYS))
    production = _paths(reader, path.parent)
    part = reader.part("practice", PRACTICE_KEYS)
    trial = _practice(part, path.parent)
    schema = _schema(reader)
    queries = read_queries(reader)
    alerts = read_alert_rules(reader)
    named = "contacts_path" in reader.values
    contacts = _below(path.parent, reader.text("contacts_path")) if named else None
    config = Config(
        path=path,
        practice=practice,
        schema=schema,
        keep_history_days=reader.get("keep_history_days", 365, whole_number(1, 36_500)),
        report_formats=_report_formats(reader),
        keep_releases=reader.get("keep_releases", 5, whole_number(1)),
        risk_bands=_risk_bands(reader),
        labels=_labels(reader, schema),
        reasons_from=_reasons_from(reader, schema),
        policy=read_policy(reader, schema.numeric),
        subfolders=reader.get("subfolders", False, _BOOL),
        engine=read_engine(reader),
        queries=() if practice else queries,  # which are about true clients
        contact_rules=read_contact_rules(reader),
        contacts_path=None if practice else contacts,  # as these
        alerts=AlertRules() if practice else alerts,
        **{**production, **trial} if practice else production,
    )
    if config.engine:
        for key in sorted({"contacts_path", "contact_capacity", "control_share"} & {*values}):
            reader.problem(key, 'is not there with "engine": one process keeps contacts')
    _check_places(reader, production, trial, PRACTICE_KEYS if practice else part.values)
    if reader.problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in reader.problems))
    return config


def _paths(reader: ObjectReader, root: Path) -> dict[str, Any]:
    paths: dict[str, Any] = {key: _below(root, reader.text(key)) for key in PATH_KEYS}
    paths["history_path"] = _history(reader, root, "history.db")
    paths["api_url"] = _url(reader, "api_url", DEFAULT_API_URL)
    paths["heartbeat_url"] = _url(reader, "heartbeat_url", None)
    return paths


def _practice(part: ObjectReader, root: Path) -> dict[str, Any]:
    """The overrides for `--practice`; those not given are below the folder of practice models."""
    models = part.text("output_model_path", "practicemodels")
    defaults = {
        "input_folder_path": "practicedata",
        "output_folder_path": f"{models}/ingesteddata",
        "output_model_path": models,
        "prod_deployment_path": f"{models}/production_deployment",
    }
    paths: dict[str, Any] = {k: _below(root, part.text(k, v)) for k, v in defaults.items()}
    paths["history_path"] = _history(part, root, f"{models}/history.db")
    paths["api_url"] = _url(part, "api_url", None)
    paths["heartbeat_url"] = _url(part, "heartbeat_url", None)
    if "test_data_path" in part.values:
        paths["test_data_path"] = _below(root, part.text("test_data_path"))
    return paths


def _history(reader: ObjectReader, root: Path, default: str) -> "Path | DatabaseUrl":
    """A file, or a database on a server; a message about a URL does not repeat its password."""
    text = reader.text("history_path", default)
    if "://" not in text and not text.startswith(("postgresql:", "postgres:")):
        return _below(root, text)
    from pipeline.core.database_url import DatabaseUrl  # an empty tick on SQLite does without

    try:
        return DatabaseUrl(text)
    except ValueError as error:
        reader.problem("history_path", f"must be a path or a database's URL: {error}")
        return _below(root, default)


def _url(reader: ObjectReader, key: str, default: str | None) -> str | None:
    value: str | None = reader.get(key, default, URL)
    return value.rstrip("/") if value else None


def _schema(reader: ObjectReader) -> Schema:
    names = reader.get("client_names", ClientNames.EXACT, member(ClientNames))
    meaning = _meaning(reader)
    if "schema" not in reader.values:
        schema = replace(DEFAULT_SCHEMA, client_names=names, **meaning)
        _check_meaning(reader, schema)
        return schema
    part = reader.part("schema", _SCHEMA_KEYS)
    without = "left_on" in part.values or meaning["absent_left"]  # an outcome they do
    schema = Schema(
        client=part.text("client").strip(),
        outcome=part.text("outcome", *([UNNAMED_OUTCOME] if without else [])).strip(),
        numeric=part.names("numeric", ()),
        categorical=part.names("categorical", ()),
        client_names=names,
        date=part.text("date").strip() if "date" in part.values else "",
        left_on=part.text("left_on").strip() if "left_on" in part.values else "",
        carry=part.names("carry", ()),
        has_outcome="outcome" in part.values,
        **meaning,
    )
    schema = replace(schema, rules=_rules(part, schema))
    named = [column for column in schema.columns if column]  # a missing one is noted already
    for column in sorted({c for c in named if named.count(c) > 1}):
        reader.problem("schema", f'names the column "{column}" twice')
    for column in named:
        if UNTELLABLE.search(column):
            reader.problem("schema", f"names a column that cannot be shown: {as_json(column)}")
    for column in sorted({*schema.carry} & {*RANKING_NAMES}):
        reader.problem("schema.carry", f'names "{column}", which the ranking has itself')
    if not schema.features:
        reader.problem("schema", 'names no feature: give "numeric" or "categorical" columns')
    _check_meaning(reader, schema)
    return schema


def _meaning(reader: ObjectReader) -> dict[str, Any]:
    """What the rows of a table mean, beside its columns."""
    days = "horizon_days" in reader.values
    return {
        "format": _format(reader.part("format", _FORMAT_KEYS)),
        "outcomes": _outcomes(reader),
        "horizon_days": reader.get("horizon_days", 0, whole_number(1, 3_660)) if days else 0,
        "snapshots": reader.get("input", "increments", _INPUTS) == "snapshots",
        "absent_left": reader.get("absent", "unknown", _ABSENT) == "left",
    }


def _format(part: ObjectReader) -> Format:
    """How files are written; what is left out is found out of each."""
    found = Format(
        encoding=part.get("encoding", "", _ENCODING),
        delimiter=part.get("delimiter", "", _DELIMITER),
        decimal=part.get("decimal", "", one_of("", ".", ",")),
        thousands=part.get("thousands", "", one_of("", ".", ",", " ", "'")),
        date=part.get("date", "", _DATE_FORMAT),
        missing=tuple(word.lower() for word in part.names("missing", ())),
    )
    if found.decimal and found.decimal == found.thousands:
        part.problem("thousands", f'is the same as "{part.within}decimal": "{found.decimal}"')
    return found


def _outcomes(reader: ObjectReader) -> tuple[tuple[str, str], ...]:
    """Words for outcomes, in small letters, and 1, 0 or nothing for each."""
    given = reader.get("outcomes", {}, _OUTCOMES)
    if len({word.strip().lower() for word in given}) < len(given):
        reader.problem("outcomes", "has a word twice, for its case does not matter")
    return tuple(
        (word.strip().lower(), "" if value is None else str(value)) for word, value in given.items()
    )


def _rules(part: ObjectReader, schema: Schema) -> tuple[Rule, ...]:
    """What values of columns may be."""
    rules, found = part.part("rules", schema.features), []
    words: tuple[str, ...] = ()
    for column in (name for name in schema.features if name in rules.values):
        rule = rules.part(column, ("min", "max", "one_of"))
        least, most = (rule.get(key, None, _LIMIT) for key in ("min", "max"))
        try:
            words = tuple(schema.canonical(column)(str(w)) for w in rule.get("one_of", [], _WORDS))
        except ValueError:
            rule.problem("one_of", "names what is no number, as the column is")
        if (least, most) != (None, None) and column not in schema.numeric:
            rules.problem(column, 'has "min" or "max" and is no number: give "one_of"')
        if least is not None and most is not None and least > most:
            rules.problem(column, f"has min ({least:g}) above max ({most:g})")
        found.append(Rule(column, least, most, words))
    return tuple(sorted(found, key=lambda rule: rule.column))


def _check_meaning(reader: ObjectReader, schema: Schema) -> None:
    if schema.horizon_days and not (schema.date or schema.snapshots):
        reader.problem(
            "horizon_days", 'needs the column of a date, "schema.date", or "input": "snapshots"'
        )
    if schema.absent_left and not schema.snapshots:
        reader.problem("absent", 'is "left" only for full lists: set "input": "snapshots"')


def _is_encoding(name: str) -> bool:
    """Whether it names an encoding of texts."""
    try:
        return isinstance("".encode(name), bytes)
    except (LookupError, ValueError):
        return False


def _is_date_format(value: Any) -> bool:
    """Whether it is a text by which `strptime` reads a day back that `strftime` wrote."""
    try:
        day = datetime(1999, 12, 31)
        return isinstance(value, str) and datetime.strptime(day.strftime(value), value) == day
    except (ValueError, re.error):  # of a directive that occurs twice
        return False


_DATE_FORMAT = Kind(
    lambda value: value == "" or _is_date_format(value), "a form of a date such as %d.%m.%Y"
)
_FORMAT_KEYS = ("encoding", "delimiter", "decimal", "thousands", "date", "missing")
_ENCODING = Kind(
    lambda value: value == "" or (isinstance(value, str) and _is_encoding(value)),
    "the name of an encoding such as utf-8, cp1252 or utf-16",
)
_DELIMITER = Kind(
    lambda value: isinstance(value, str) and len(value) < 2 and value not in ('"', "\n", "\r"),
    "one character",
)
_OUTCOMES = Kind(
    lambda value: (
        isinstance(value, dict)
        and all(each is None or (type(each) is int and each in (0, 1)) for each in value.values())
    ),
    "an object of words, each with 1 (left), 0 (stayed) or null (not known)",
)
_WORDS = Kind(
    lambda value: (
        isinstance(value, list) and all(type(each) in (str, int, float) for each in value)
    ),
    "a list of values",
)
_BOOL = Kind(lambda value: isinstance(value, bool), "true or false")
_LIMIT = optional(number(lambda value: value == value, "a number"))
_INPUTS = one_of("increments", "snapshots")
_ABSENT = one_of("unknown", "left")
_SCHEMA_KEYS = ("client", "outcome", "numeric", "categorical", "date", "left_on", "carry", "rules")


def _labels(reader: ObjectReader, schema: Schema) -> dict[str, str]:
    """What people call each feature and each carried column: the label, or its name with spaces."""
    known = (*schema.features, *schema.carry)
    part = reader.part("labels", known)
    given = {column: part.text(column) for column in part.values if column in known}
    labels = {column: column.replace("_", " ") for column in known}
    return labels | (DEFAULT_LABELS if schema.features == DEFAULT_SCHEMA.features else {}) | given


def _reasons_from(reader: ObjectReader, schema: Schema) -> tuple[str, ...]:
    """The features that may be reasons; all of them by default."""
    named = reader.names("reasons_from", schema.features)
    for unknown in sorted({*named} - {*schema.features}):
        known = ", ".join(schema.features)
        reader.problem("reasons_from", f'names "{unknown}", which is no feature; known are {known}')
    if not named and schema.features:  # a schema without features is noted already
        reader.problem("reasons_from", "names no feature: leave it out to give reasons from all")
    return named


def _risk_bands(reader: ObjectReader) -> RiskBands:
    part = reader.part("risk_bands", ("high", "medium"))
    default = RiskBands()
    bands = RiskBands(
        part.get("high", default.high, SHARE), part.get("medium", default.medium, SHARE)
    )
    if bands.medium > bands.high:
        reader.problem("risk_bands", f"has medium ({bands.medium}) above high ({bands.high})")
    return bands


def _report_formats(reader: ObjectReader) -> tuple[str, ...]:
    formats = reader.names("report_formats", REPORT_FORMATS)
    for unknown in sorted({*formats} - {*REPORT_FORMATS}):
        reader.problem(
            "report_formats", f'names "{unknown}"; known are {", ".join(REPORT_FORMATS)}'
        )
    return formats


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
    practice = {**known, **trial}
    for where, places, keys in (("", known, known), ("practice.", practice, checked)):
        for key, other in _APART:
            if key in keys and places[key] == places.get(other):
                reader.problems.append(f'"{where}{key}" is the same folder as "{where}{other}"')
    for key in _MADE:
        for other in ("input_folder_path", *_MADE):
            if key in checked and trial[key] == known.get(other):
                reader.problems.append(
                    f'"practice.{key}" is the same as "{other}": it would touch production'
                )


_MADE = ("output_folder_path", "output_model_path", "prod_deployment_path", "history_path")
_APART = (
    *((key, other) for key in _MADE[:3] for other in ("input_folder_path", "test_data_path")),
    *(("prod_deployment_path", other) for other in _MADE[:2]),
)


def _below(root: Path, path: str) -> Path:
    # normpath, not resolve: a folder may be a link, and need not exist yet
    return Path(os.path.normpath(root / path))
