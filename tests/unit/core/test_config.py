import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.config import OPTIONAL_KEYS, PRACTICE_KEYS, Config, RiskBands, load_config
from pipeline.core.connections import AlertRules, Engine, Query, Target
from pipeline.core.errors import ConfigError
from pipeline.core.policy import Policy, Worth
from pipeline.core.schema import DEFAULT_LABELS, DEFAULT_SCHEMA, ClientNames, Schema
from pipeline.ranking.ranking_file import COLUMNS, LOSS_COLUMNS

FIVE = {
    "input_folder_path": "sourcedata",
    "output_folder_path": "ingesteddata",
    "test_data_path": "testdata",
    "output_model_path": "models",
    "prod_deployment_path": "production_deployment",
}


def written(folder: Path, **keys: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**FIVE, **keys}))
    return path


def problems_of(path: Path, *, practice: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, practice=practice)
    return str(caught.value).replace(f"{path}: ", "").split("\n")


def test_five_keys_are_enough(tmp_path: Path) -> None:
    assert load_config(written(tmp_path)) == Config(
        path=tmp_path / "config.json",
        practice=False,
        input_folder_path=tmp_path / "sourcedata",
        output_folder_path=tmp_path / "ingesteddata",
        test_data_path=tmp_path / "testdata",
        output_model_path=tmp_path / "models",
        prod_deployment_path=tmp_path / "production_deployment",
        history_path=tmp_path / "history.db",
        schema=DEFAULT_SCHEMA,
        keep_history_days=365,
        report_formats=("html", "pdf"),
        keep_releases=5,
        risk_bands=RiskBands(high=0.6, medium=0.3),
        labels={
            "lastmonth_activity": "last month's activity",
            "lastyear_activity": "last year's activity",
            "number_of_employees": "number of employees",
        },
        reasons_from=DEFAULT_SCHEMA.features,
        policy=Policy(
            model="auto",
            threshold="f1",
            worth=Worth(client_value=None, contact_cost=None, save_rate=None),
            drift_test="ranking",
            retrain_on="score",
            gate="evidence",
            seed=0,
        ),
        api_url="http://127.0.0.1:8000",
        heartbeat_url=None,
    )


def test_every_optional_key_is_heeded(tmp_path: Path) -> None:
    config = load_config(
        written(
            tmp_path,
            schema={
                "client": " id ",
                "outcome": "left",
                "numeric": ["age "],
                "categorical": ["land"],
            },
            history_path="state/runs.db",
            keep_history_days=30,
            keep_releases=2,
            risk_bands={"high": 0.9, "medium": 0.5},
            api_url="https://example.org/",
            heartbeat_url="http://monitor/x",
        )
    )
    assert config.schema == Schema("id", "left", ("age",), ("land",))
    assert config.history_path == tmp_path / "state/runs.db"
    assert (config.keep_history_days, config.keep_releases) == (30, 2)
    assert config.risk_bands == RiskBands(high=0.9, medium=0.5)
    assert (config.api_url, config.heartbeat_url) == ("https://example.org", "http://monitor/x")


def test_client_names_are_part_of_the_schema(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, client_names="digits"))
    assert config.schema == replace(DEFAULT_SCHEMA, client_names=ClientNames.DIGITS)
    assert config.labels == DEFAULT_LABELS
    schema = {"client": "id", "outcome": "left", "numeric": ["age"]}
    config = load_config(written(tmp_path, client_names="digits", schema=schema))
    assert config.schema == Schema("id", "left", ("age",), client_names=ClientNames.DIGITS)


def test_paths_count_from_the_config_not_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    written(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    config = load_config("../there/config.json")
    assert config.input_folder_path.resolve() == tmp_path / "there/sourcedata"


def test_a_path_is_shown_from_the_configs_folder(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, input_folder_path="/var/spool/clients"))
    shown = [config.shown(p) for p in (config.trainedmodel_path, config.input_folder_path)]
    assert shown == ["models/trainedmodel.pkl", "/var/spool/clients"]


def test_the_files_lie_in_the_folders_named(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, history_path="state/h.db"))
    assert [
        config.shown(path)
        for path in (
            config.finaldata_path,
            config.ingestedfiles_path,
            config.rejectedrows_path,
            config.trainedmodel_path,
            config.latestscore_path,
            config.clientrisk_path,
            config.lock_path,
        )
    ] == [
        "ingesteddata/finaldata.csv",
        "ingesteddata/ingestedfiles.txt",
        "ingesteddata/rejectedrows.csv",
        "models/trainedmodel.pkl",
        "models/latestscore.txt",
        "models/clientrisk.csv",
        "state/h.db.run/lock",
    ]


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(FIVE).encode())
    assert load_config(path).test_data_path == tmp_path / "testdata"


def test_a_missing_config_says_how_to_name_one(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "config.json") == [
        "there is no such file (name one with --config)"
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[1]", "must hold one object in braces"),
        (b"{", "is not JSON: Expecting property name enclosed in double quotes: "),
        (b'{"a": "\xe9"}', "is not UTF-8 (byte 7)"),
        (b'{"a": 1, "b": 2, "a": 3}', 'is not JSON: has the key "a" twice'),
        (b'{"schema": {"c": 1, "c": 1}}', 'is not JSON: has the key "c" twice'),
    ],
)
def test_what_cannot_be_read_is_reported(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    result = problems_of(path)
    assert len(result) == 1
    assert result[0].startswith(problem)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    keys: dict[str, Any] = {
        **FIVE,
        "test_data_path": 7,
        "keep_release": 3,
        "keep_releases": 0,
        "risk_bands": {"high": 2},
        "api_url": "ftp://x",
        "schema": {"client": "a", "outcome": "b", "numeric": "c"},
    }
    path.write_text(json.dumps(keys))
    assert sorted(problems_of(path)) == sorted(
        [
            '"keep_release" is not a known key; did you mean "keep_releases"?',
            '"test_data_path" must be a text in quotes',
            '"api_url" must be an http:// or https:// address or null, not "ftp://x"',
            '"schema.numeric" must be a list of names, not "c"',
            '"schema" names no feature: give "numeric" or "categorical" columns',
            '"keep_releases" must be a whole number of at least 1, not 0',
            '"risk_bands.high" must be a number from 0 to 1, not 2',
        ]
    )


def test_missing_keys_are_all_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    assert problems_of(path) == [f'"{key}" is missing' for key in FIVE]


def test_a_schema_without_its_columns_lacks_just_these(tmp_path: Path) -> None:
    assert problems_of(written(tmp_path, schema={"numeric": ["age"]})) == [
        '"schema.client" is missing',
        '"schema.outcome" is missing',
    ]


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("input_folder", "input_folder_path"),
        ("output_path", "output_model_path"),
        ("histroy_path", "history_path"),
        ("Schema", "schema"),
    ],
)
def test_an_unknown_key_is_reported_with_the_nearest_known_one(
    tmp_path: Path, key: str, nearest: str
) -> None:
    result = problems_of(written(tmp_path, **{key: "x"}))
    assert result == [f'"{key}" is not a known key; did you mean "{nearest}"?']


def test_an_unknown_key_near_to_none_is_reported_with_all(tmp_path: Path) -> None:
    known = ", ".join((*FIVE, *OPTIONAL_KEYS))
    assert problems_of(written(tmp_path, qqq=1)) == [f'"qqq" is not a known key; known are {known}']


def test_an_unknown_key_within_a_part_is_named_with_the_part(tmp_path: Path) -> None:
    known = ", ".join(PRACTICE_KEYS)
    assert problems_of(written(tmp_path, risk_bands={"hihg": 0.5}, practice={"keep": 1})) == [
        f'"practice.keep" is not a known key; known are {known}',
        '"risk_bands.hihg" is not a known key; did you mean "high"?',
    ]


@pytest.mark.parametrize("value", [0, -1, 2.5, "5", True, None])
def test_keep_releases_is_a_whole_number(tmp_path: Path, value: Any) -> None:
    assert problems_of(written(tmp_path, keep_releases=value)) == [
        f'"keep_releases" must be a whole number of at least 1, not {json.dumps(value)}'
    ]


def test_a_long_value_is_cut_in_the_message(tmp_path: Path) -> None:
    (result,) = problems_of(written(tmp_path, keep_releases="x" * 1000))
    assert result == f'"keep_releases" must be a whole number of at least 1, not "{"x" * 59}…'


def test_the_medium_band_lies_below_the_high_one(tmp_path: Path) -> None:
    assert problems_of(written(tmp_path, risk_bands={"high": 0.2})) == [
        '"risk_bands" has medium (0.3) above high (0.2)'
    ]


def test_a_limit_belongs_to_the_band_above_it() -> None:
    bands = RiskBands(high=0.6, medium=0.3)
    assert [bands.band(risk) for risk in (0.0, 0.29, 0.3, 0.59, 0.6, 1.0)] == [
        *("low", "low", "medium", "medium", "high", "high")
    ]


def test_the_columns_of_time_and_what_travels_are_part_of_the_schema(tmp_path: Path) -> None:
    schema = {
        **{"client": "id", "numeric": ["age"], "categorical": ["plan"], "date": "as of"},
        **{"left_on": "until", "carry": ["who", "mail"]},
    }
    keys = {"format": {"date": "%d.%m.%Y"}, "horizon_days": 30}
    lists = {"input": "snapshots", "absent": "left"}
    found = load_config(written(tmp_path, schema=schema, **keys, **lists)).schema
    assert found.columns == ("id", "as of", "age", "plan", "has_left", "until", "who", "mail")
    assert found.report_columns == ("id", "as of", "has_left", "until")
    assert found.optional == ("has_left", "who", "mail")
    assert (found.format.date, found.horizon_days) == ("%d.%m.%Y", 30)
    assert (found.snapshots, found.absent_left, found.derives) == (True, True, True)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            {"horizon_days": 30},
            '"horizon_days" needs the column of a date, "schema.date", or "input": "snapshots"',
        ),
        ({"absent": "left"}, '"absent" is "left" only for full lists: set "input": "snapshots"'),
        (
            {"format": {"date": "TT.MM.JJJJ"}},
            '"format.date" must be a form of a date such as %d.%m.%Y, not "TT.MM.JJJJ"',
        ),
        ({"input": "lists"}, '"input" must be one of "increments", "snapshots", not "lists"'),
    ],
)
def test_what_rows_mean_fits_together(
    tmp_path: Path, keys: dict[str, object], problem: str
) -> None:
    assert problems_of(written(tmp_path, **keys)) == [problem]


def test_a_schema_names_each_column_once(tmp_path: Path) -> None:
    schema = {"client": "a", "outcome": "b", "numeric": ["b", "c"], "categorical": ["c"]}
    assert problems_of(written(tmp_path, schema=schema)) == [
        '"schema" names the column "b" twice',
        '"schema" names the column "c" twice',
    ]


@pytest.mark.parametrize("name", [*COLUMNS, *LOSS_COLUMNS, "horizon_days", "limit", "sort", "q"])
def test_a_column_that_travels_is_called_as_nothing_that_the_ranking_has(
    tmp_path: Path, name: str
) -> None:
    schema = {"client": "a", "outcome": "b", "numeric": ["c"], "carry": ["Rank", name]}
    assert problems_of(written(tmp_path, schema=schema)) == [
        f'"schema.carry" names "{name}", which the ranking has itself'
    ]


def test_a_column_that_travels_has_a_label(tmp_path: Path) -> None:
    schema = {"client": "a", "outcome": "b", "numeric": ["c"], "carry": ["kam", "e_mail"]}
    config = load_config(written(tmp_path, schema=schema, labels={"kam": "account manager"}))
    assert config.labels == {"c": "c", "kam": "account manager", "e_mail": "e mail"}


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        (["c", "aeg"], 'names "aeg"; known are c, age'),
        (["b"], 'names "b"; known are c, age'),
        ([], "names no feature: leave it out to give reasons from all"),
        ("c", 'must be a list of names, not "c"'),
    ],
)
def test_reasons_are_from_some_of_the_features(tmp_path: Path, named: object, problem: str) -> None:
    schema = {"client": "a", "outcome": "b", "numeric": ["c"], "categorical": ["age"]}
    assert load_config(written(tmp_path, schema=schema, reasons_from=["c"])).reasons_from == ("c",)
    assert problems_of(written(tmp_path, schema=schema, reasons_from=named)) == [
        f'"reasons_from" {problem}'
    ]


@pytest.mark.parametrize(("name", "shown"), [("a\x01b", "a\\u0001b"), ("a\u2028b", "a\u2028b")])
def test_a_column_is_one_that_can_be_shown(tmp_path: Path, name: str, shown: str) -> None:
    schema = {"client": "c", "outcome": "o", "numeric": [name, "a\u00a0b\u3000c"]}
    assert problems_of(written(tmp_path, schema=schema)) == [
        f'"schema" names a column that cannot be shown: "{shown}"'
    ]


def test_a_part_is_an_object(tmp_path: Path) -> None:
    assert problems_of(written(tmp_path, practice=["practicedata"])) == [
        '"practice" must be an object in braces, not ["practicedata"]'
    ]


@pytest.mark.parametrize("formats", [[], ["pdf"], ["pdf", "html"]])
def test_forms_of_the_report_are_those_named(tmp_path: Path, formats: list[str]) -> None:
    assert load_config(written(tmp_path, report_formats=formats)).report_formats == tuple(formats)


def test_an_unknown_form_of_the_report_is_reported(tmp_path: Path) -> None:
    assert problems_of(written(tmp_path, report_formats=["html", "docx"])) == [
        '"report_formats" names "docx"; known are html, pdf'
    ]


def test_what_is_kept_beyond_all_dates_is_refused(tmp_path: Path) -> None:
    assert problems_of(written(tmp_path, keep_history_days=36_501)) == [
        '"keep_history_days" must be a whole number from 1 to 36500, not 36501'
    ]


@pytest.mark.parametrize(
    ("engine", "problem"),
    [
        ({"kind": "pool"}, '"engine.kind" must be one of "spark", not "pool"'),
        ({}, '"engine.kind" is missing'),
        (
            {"kind": "spark", "master": "local", "connect": "sc://host"},
            '"engine.connect" is given beside master: keep one of both',
        ),
        (
            {"kind": "spark", "connect": "host:1"},
            '"engine.connect" must be an address sc://HOST:PORT, not "host:1"',
        ),
        (
            {"kind": "spark", "conf": {"spark.cores.max": 4}},
            '"engine.conf" must be an object of texts, not {"spark.cores.max": 4}',
        ),
        (
            {"kind": "spark", "workers": 2},
            '"engine.workers" is not a known key; known are kind, master, connect, conf',
        ),
    ],
)
def test_what_is_wrong_with_an_engine_is_told(
    tmp_path: Path, engine: dict[str, object], problem: str
) -> None:
    assert problems_of(written(tmp_path, engine=engine)) == [problem]


def test_an_engine_keeps_rows_in_a_folder(tmp_path: Path) -> None:
    conf = {"spark.executor.memory": "4g"}
    config = load_config(written(tmp_path, engine={"kind": "spark", "conf": conf}))
    assert config.engine == Engine("local[*]", "", (*conf.items(),))
    assert config.finaldata_path.name == "finaldata.parquet"
    assert load_config(written(tmp_path)).finaldata_path.name == "finaldata.csv"


def test_practice_has_places_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert load_config(path, practice=True) == replace(
        load_config(path),
        practice=True,
        input_folder_path=tmp_path / "practicedata",
        output_folder_path=tmp_path / "practicemodels/ingesteddata",
        output_model_path=tmp_path / "practicemodels",
        prod_deployment_path=tmp_path / "practicemodels/production_deployment",
        history_path=tmp_path / "practicemodels/history.db",
        api_url=None,
    )


def test_practice_paths_can_be_named(tmp_path: Path) -> None:
    places = {
        "input_folder_path": "try/in",
        "output_folder_path": "try/out",
        "test_data_path": "try/test",
        "output_model_path": "try/models",
        "prod_deployment_path": "try/live",
        "history_path": "try/h.db",
    }
    path = written(tmp_path, practice={**places, "api_url": "http://localhost:1/"})
    config = load_config(path, practice=True)
    assert {key: config.shown(getattr(config, key)) for key in places} == places
    assert config.api_url == "http://localhost:1"


def test_practice_follows_the_models_named_for_it(tmp_path: Path) -> None:
    path = written(tmp_path, practice={"output_model_path": "trial"})
    config = load_config(path, practice=True)
    assert config.shown(config.output_folder_path) == "trial/ingesteddata"
    assert config.shown(config.prod_deployment_path) == "trial/production_deployment"
    assert config.shown(config.history_path) == "trial/history.db"


@pytest.mark.parametrize("practice", [True, False])
@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("output_folder_path", "ingesteddata"),
        ("output_model_path", "./models"),
        ("prod_deployment_path", "production_deployment/"),
        ("history_path", "history.db"),
    ],
)
def test_practice_may_not_touch_production(
    tmp_path: Path, key: str, place: str, practice: bool
) -> None:
    result = problems_of(written(tmp_path, practice={key: place}), practice=practice)
    assert result == [f'"practice.{key}" is the same as "{key}": it would touch production']


def test_where_practice_would_go_matters_to_who_practises_only(tmp_path: Path) -> None:
    path = written(tmp_path, input_folder_path="practicedata", output_model_path="practicemodels")

    assert load_config(path).output_model_path == tmp_path / "practicemodels"
    assert problems_of(path, practice=True) == [
        '"practice.output_model_path" is the same as "output_model_path": it would touch production'
    ]


@pytest.mark.parametrize("key", ["output_folder_path", "output_model_path", "prod_deployment_path"])
@pytest.mark.parametrize("source", ["input_folder_path", "test_data_path"])
def test_what_is_made_may_not_lie_where_input_is_read(
    tmp_path: Path, key: str, source: str
) -> None:
    assert f'"{key}" is the same folder as "{source}"' in problems_of(
        written(tmp_path, **{key: "x", source: "./x"})
    )


def test_practice_output_may_not_lie_in_practice_input(tmp_path: Path) -> None:
    practice = {"input_folder_path": "p", "output_folder_path": "p"}
    assert problems_of(written(tmp_path, practice=practice)) == [
        '"practice.output_folder_path" is the same folder as "practice.input_folder_path"'
    ]


# --- queries ---

QUERY = {"name": "crm", "url": "sqlite:///crm.db", "select": "SELECT 1", "every_hours": 24}


def test_queries_are_read_and_practice_has_none(tmp_path: Path) -> None:
    other = {
        **QUERY,
        "name": "b-2",
        "select": " with x as (select 1)\nselect * from x ",
        "seconds": 9,
    }
    path = written(tmp_path, queries=[QUERY, other])
    assert load_config(path).queries == (
        Query("crm", "sqlite:///crm.db", "SELECT 1", 24, 300),
        Query("b-2", "sqlite:///crm.db", "with x as (select 1)\nselect * from x", 24, 9),
    )
    assert load_config(path, practice=True).queries == ()


@pytest.mark.parametrize("wrong", [QUERY, "postgresql://u:secret@h/d", [QUERY, "secret"], None])
def test_queries_are_a_list_of_objects(wrong: Any, tmp_path: Path) -> None:
    assert problems_of(written(tmp_path, queries=wrong)) == [
        '"queries" must be a list of objects in braces'
    ]


def test_all_that_is_wrong_with_queries_is_told_and_no_url(tmp_path: Path) -> None:
    wrong = {"name": "a.csv", "uri": "x://u:secret@h", "select": "DELETE FROM t", "every_hours": 0}
    again = {**QUERY, "name": "CRM", "url": ["secret"], "seconds": 0}
    assert problems_of(written(tmp_path, queries=[QUERY, wrong, again, {"every_hours": "1"}])) == [
        '"queries[1].uri" is not a known key; did you mean "url"?',
        '"queries[1].name" must be of letters, digits, - and _: the file is NAME.csv',
        '"queries[1].url" is missing',
        '"queries[1].select" must be one statement that begins with SELECT or WITH',
        '"queries[1].every_hours" must be a number of hours above 0, not 0',
        '"queries[2].url" must be a text in quotes',
        '"queries[2].seconds" must be a number of seconds, at most 86,400, not 0',
        '"queries[2].name" is "CRM" a second time: each makes a file of its own',
        '"queries[3].name" is missing',
        '"queries[3].url" is missing',
        '"queries[3].select" is missing',
        '"queries[3].every_hours" must be a number of hours above 0, not "1"',
    ]


# --- what decides ---

WORTH = {"contact_cost": 20, "client_value": 1000, "save_rate": 0.25}


def policy(folder: Path, **keys: Any) -> Policy:
    return load_config(written(folder, **keys)).policy


def problems(folder: Path, **keys: Any) -> str:
    return "\n".join(problems_of(written(folder, **keys)))


def test_every_key_of_the_policy_is_heeded(tmp_path: Path) -> None:
    keys = {
        "model": "auto",
        "threshold": "value",
        **WORTH,
        "drift_test": "bootstrap",
        "retrain_on": "input",
        "gate": "better",
        "retrain_after_days": 30,
        "learn_from": "180 days",
        "seed": 7,
    }
    worth = Worth(1000.0, 20.0, 0.25)
    assert policy(tmp_path, **keys) == Policy(
        *("auto", "value", worth, "bootstrap", "input", "better", 30, "180 days", 7)
    )


def test_a_clients_value_may_be_a_column(tmp_path: Path) -> None:
    worth = policy(tmp_path, **{**WORTH, "client_value": "number_of_employees"}).worth
    assert (worth.of_all, worth.column) == (None, "number_of_employees")


@pytest.mark.parametrize(
    ("key", "value", "result"),
    [
        ("model", "forest", 'must be one of "logistic", "boosting", "auto", not "forest"'),
        ("threshold", 1, 'must be a number between 0 and 1, "f1" or "value", not 1'),
        ("threshold", True, 'must be a number between 0 and 1, "f1" or "value", not true'),
        (
            "drift_test",
            "ks",
            'must be one of "raw", "parametric", "nonparametric", "bootstrap", "ranking", not "ks"',
        ),
        ("retrain_on", "drift", 'must be one of "score", "input", "new_data", not "drift"'),
        (
            "gate",
            None,
            'must be one of "not_worse", "better", "always", "evidence", "manual", not null',
        ),
        ("seed", -1, "must be a whole number from 0 to 4294967295, not -1"),
        ("client_value", "exited", 'names no number column of the schema: "exited"'),
        ("client_value", 0, "must be a number above 0, not 0"),
        ("contact_cost", "20", 'must be a number above 0, not "20"'),
        ("contact_cost", 1e300, "must be a number above 0, not 1e+300"),
        ("save_rate", 1.5, 'must be a number above 0, up to 1, or "measured", not 1.5'),
        ("save_rate", True, 'must be a number above 0, up to 1, or "measured", not true'),
    ],
)
def test_what_cannot_be_is_reported(tmp_path: Path, key: str, value: Any, result: str) -> None:
    assert problems(tmp_path, **{key: value}) == f'"{key}" {result}'


def test_the_threshold_of_value_needs_all_three(tmp_path: Path) -> None:
    assert problems(tmp_path, threshold="value", client_value=5).splitlines() == [
        f'"{key}" is missing: "threshold": "value" needs it'
        for key in ("contact_cost", "save_rate")
    ]


def test_a_measured_save_rate_is_looked_up_later(tmp_path: Path) -> None:
    found = policy(tmp_path, threshold="value", **{**WORTH, "save_rate": "measured"})
    assert found.worth == Worth(1000, 20, None, measured=True)


def test_a_contact_that_never_pays_is_reported(tmp_path: Path) -> None:
    assert problems(tmp_path, threshold="value", **{**WORTH, "contact_cost": 250}) == (
        '"contact_cost" is 250, no less than save_rate * client_value (250):'
        " no client would be worth contacting"
    )


def test_a_column_is_called_by_its_name_unless_a_label_is_given(tmp_path: Path) -> None:
    schema = {"client": "id", "outcome": "left", "numeric": ["Credit_Score", "Age"]}
    path = written(tmp_path, schema=schema, labels={"Age": "years of age"})
    assert load_config(path).labels == {"Credit_Score": "Credit Score", "Age": "years of age"}


def test_a_label_of_no_feature_is_reported(tmp_path: Path) -> None:
    assert problems(tmp_path, labels={"lastmonth_activty": "x"}) == (
        '"labels.lastmonth_activty" is not a known key; did you mean "lastmonth_activity"?'
    )


# --- alerts ---


def test_a_target_is_called_as_its_variable_or_scheme_where_it_has_no_name(tmp_path: Path) -> None:
    addresses = ("$SLACK", "${TEAMS}", "mailto://u:p@example.org", "json://h")
    targets = [{"address": address, "events": ["failed"]} for address in addresses]
    targets[3] |= {"name": "crm", "digest": "daily"}
    path = written(
        tmp_path, alerts=targets, page_url="https://risk.example.org/", expect_files_every_days=7
    )
    rules = load_config(path).alerts

    assert [target.name for target in rules.targets] == ["SLACK", "TEAMS", "mailto", "crm"]
    assert rules.targets[3] == Target("crm", "json://h", ("failed",), "daily")
    assert (rules.page_url, rules.files_days, rules.outcomes_days) == (
        "https://risk.example.org",
        7,
        None,
    )
    assert "u:p" not in repr(rules)
    assert load_config(path, practice=True).alerts == AlertRules()


def test_what_is_wrong_with_alerts_is_told_at_once_without_an_address(tmp_path: Path) -> None:
    alerts = [
        {"address": "hidden words", "events": ["faild"], "digest": "hourly"},
        {"address": "$SLACK", "to": 1},
        {"address": "$SLACK", "events": ["failed"]},
    ]
    said = problems_of(written(tmp_path, alerts=alerts, page_url="risk.example.org"))
    assert said.pop(1).startswith('"alerts[0].events" names "faild"; known are failed, recovered')
    assert said == [
        '"alerts[0].address" must be SCHEME://…, or the name of a variable: $NAME',
        '"alerts[0].digest" must be one of "daily", "weekly", not "hourly"',
        '"alerts[1].to" is not a known key; known are address, events, digest, name',
        '"alerts[1].events" are none, and there is no "digest": name one of both',
        '"alerts[2].name" is "SLACK" a second time: give each target a name of its own',
        '"page_url" must be an http:// or https:// address or null, not "risk.example.org"',
    ]
    assert "hidden" not in str(said)
    assert problems_of(written(tmp_path, alerts="json://hidden")) == [
        '"alerts" must be a list of objects in braces'
    ]
