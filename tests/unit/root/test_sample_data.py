"""The sample data: reproducible, as large as stated, learnable, and failing where it should."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import sample_data
from pipeline.sample_data import NUMBERS, ROOT, SEED, clients, drifted, main, names

SHIPPED = {
    "practicedata/dataset1.csv": 200,
    "practicedata/dataset2.csv": 200,
    "sourcedata/dataset3.csv": 5_000,
    "sourcedata/dataset4.csv": 5_000,
    "testdata/testdata.csv": 2_000,
}
SEEDS = (SEED, 1, 2)


def shipped(*files: str) -> pd.DataFrame:
    return pd.concat([pd.read_csv(ROOT / file) for file in files], ignore_index=True)


def source(seed: int) -> pd.DataFrame:
    return clients(10_000, seed)


def held_out(seed: int) -> pd.DataFrame:
    return clients(2_000, seed, sample_data.TEST)


def fitted(*tables: pd.DataFrame) -> Pipeline:
    table = pd.concat(tables)
    model = Pipeline(
        [
            ("impute", SimpleImputer(strategy="median")),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(C=100, solver="newton-cholesky")),
        ]
    )
    return model.fit(numbers(table), table["exited"])


def numbers(table: pd.DataFrame) -> NDArray[np.float64]:
    return table[list(NUMBERS)].to_numpy(dtype=float, na_value=np.nan)


def f1(model: Pipeline, table: pd.DataFrame) -> float:
    return float(f1_score(table["exited"], model.predict(numbers(table))))


def out_of_fold(known: pd.DataFrame, batch: pd.DataFrame) -> NDArray[np.int64]:
    predicted = np.empty(len(batch), dtype=np.int64)
    for kept, left_out in KFold(5, shuffle=True, random_state=0).split(batch):
        model = fitted(known, batch.iloc[kept])
        predicted[left_out] = model.predict(numbers(batch.iloc[left_out]))
    return predicted


def run(folder: Path, *arguments: str) -> dict[str, bytes]:
    assert main(["--folder", str(folder), *arguments]) == 0
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_committed_files_are_what_the_command_writes(tmp_path: Path) -> None:
    written = run(tmp_path)

    assert list(written) == list(SHIPPED)
    for file, content in written.items():
        assert content == (ROOT / file).read_bytes(), file


def test_it_prints_the_path_and_rows_of_each_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)

    expected = [f"{tmp_path / file}: {rows} rows" for file, rows in SHIPPED.items()]
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize(
    "arguments", [[], ["--drift"], ["--stable"], ["--rows", "500", "--output", "large.csv"]]
)
def test_a_seed_decides_every_byte(tmp_path: Path, arguments: Sequence[str]) -> None:
    one = run(tmp_path / "one", *arguments, "--seed", "7")
    same = run(tmp_path / "same", *arguments, "--seed", "7")
    other = run(tmp_path / "other", *arguments, "--seed", "8")

    assert one == same
    assert one.keys() == other.keys()
    assert all(one[file] != other[file] for file in one)


def test_source_test_practice_and_later_batches_share_no_client() -> None:
    groups = [
        shipped("sourcedata/dataset3.csv", "sourcedata/dataset4.csv"),
        shipped("testdata/testdata.csv"),
        shipped("practicedata/dataset1.csv", "practicedata/dataset2.csv").drop_duplicates(),
        drifted(2_000, SEED),
        clients(1_000, SEED, sample_data.STABLE),
        next(sample_data.bulk(1_000, SEED)),
    ]

    assert [len(group) for group in groups] == [10_000, 2_000, 370, 2_000, 1_000, 1_000]
    assert pd.concat(groups)["corporation"].is_unique


@pytest.mark.parametrize("seed", SEEDS)
def test_about_a_quarter_leave(seed: int) -> None:
    assert 0.22 < source(seed)["exited"].mean() < 0.28


@pytest.mark.parametrize("seed", SEEDS)
def test_a_linear_model_is_good_but_not_perfect(seed: int) -> None:
    model, test = fitted(source(seed)), held_out(seed)

    assert 0.65 <= f1(model, test) <= 0.78
    assert roc_auc_score(test["exited"], model.predict_proba(numbers(test))[:, 1]) <= 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stable_batch_scores_like_the_test_data(seed: int) -> None:
    model = fitted(source(seed))

    stable = clients(1_000, seed, sample_data.STABLE)
    assert f1(model, stable) == pytest.approx(f1(model, held_out(seed)), abs=0.08)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_drift_batch_fails_the_model_and_retraining_repairs_it(seed: int) -> None:
    known, test, batch = source(seed), held_out(seed), drifted(2_000, seed)
    deployed, retrained = fitted(known), fitted(known, batch)

    assert f1(deployed, batch) < 0.1
    assert f1(retrained, test) > f1(deployed, test) - 0.05
    both = pd.concat([test, batch])
    pooled = np.concatenate([retrained.predict(numbers(test)), out_of_fold(known, batch)])
    assert f1_score(both["exited"], pooled) > f1(deployed, both) + 0.4


def test_names_are_distinct_also_past_the_last_without_a_number() -> None:
    around = names(200_000, sample_data.NAMES - 100_000)

    assert len({*around, *names(100_000, 0)}) == 300_000
    assert around[100_000] == f"{names(1, 0)[0]} 2"


def test_fewer_rows_are_the_first_of_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_data, "CHUNK", 1_000)
    few = run(tmp_path, "--rows", "1_700", "--output", "large.csv")["large.csv"]
    many = run(tmp_path, "--rows", "2_500", "--output", "large.csv")["large.csv"]

    assert many.startswith(few)
    assert (few.count(b"\n"), many.count(b"\n")) == (1_701, 2_501)


def test_a_batch_has_its_own_file_and_rows(tmp_path: Path) -> None:
    run(tmp_path, "--drift")
    written = run(tmp_path, "--stable")

    rows = {file: content.count(b"\n") - 1 for file, content in written.items()}
    assert rows == {"sourcedata/dataset5.csv": 2_000, "sourcedata/dataset6.csv": 1_000}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "-1", "--output", "a.csv"], "argument --rows: invalid natural value: '-1'"),
        (["--rows", "many", "--output", "a.csv"], "argument --rows: invalid natural value: 'many'"),
        (["--rows", "10"], "--rows and --output go together"),
        (["--seed", "-1"], "argument --seed: invalid natural value: '-1'"),
        (["--drift", "--output", "a.csv"], "--rows and --output go together"),
        (["--drift", "--rows", "10"], "argument --rows: not allowed with argument --drift"),
        (["--drift", "--stable"], "argument --stable: not allowed with argument --drift"),
    ],
)
def test_bad_arguments_exit_with_2_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--folder", str(tmp_path), *arguments])

    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {message}\n")
    assert list(tmp_path.iterdir()) == []
