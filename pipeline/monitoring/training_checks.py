"""What a training warns of: leaks, a threshold that names nobody, test data that tell little.

None of it keeps a model from being made: that is for people to decide who know the table.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from pipeline.core.formatting import pluralize
from pipeline.core.policy import enough_rows
from pipeline.core.schema import Schema, canonical_date
from pipeline.models.cross_validation import TrainingData, first_times
from pipeline.models.estimators import Model, risk_of
from pipeline.models.training import Fitted

MAX_AUC = 0.98  # of a feature alone; what is known before a client leaves hardly tells so well
MIN_TESTED_LEAVERS = 30
MIN_DATES = 0.9  # the share of a column's different categories that are dates
MAX_LOOKED_AT = 1000  # of these
DATE_FORMATS = ("", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d")  # first ISO's


def training_warnings(
    data: TrainingData, fitted: Fitted, test: pd.DataFrame | None = None
) -> tuple[str, ...]:
    """A sentence for each.

    `data`, all with their clients, were learned from; `test` has the schema's columns. Without test
    data, the threshold is held against the risks that came with the model.
    """
    rows = data.sample[first_times(data.sample)]
    found = [*_leaks(rows, data.schema), *_dates(rows, data.schema)]
    if test is not None:
        found += _of_test_data(data.frame, test, data.schema)
    return (*found, *_names_nobody(fitted, test))


def _leaks(rows: pd.DataFrame, schema: Schema) -> Iterator[str]:
    """Features that alone separate who left from who stayed; none told of few rows, by chance."""
    left = (rows[schema.outcome] == 1).to_numpy()
    if not enough_rows(len(left), int(left.sum())):
        return
    learned = pd.util.hash_array(rows[schema.client].to_numpy(dtype=object)) % 2 == 0
    for column in schema.features:
        if column in schema.numeric:
            auc = _auc(left, rows[column].rank(na_option="top").to_numpy())
            auc = max(auc, 1 - auc)
        else:
            auc = _auc_of_categories(left, rows[column], learned)
        if auc > MAX_AUC:
            yield (
                f"{column} alone tells who left (AUC {auc:.3f}): likely a leak, that is, known only"
                " once a client has left; if so, take it out of the features"
            )


def _auc_of_categories(left: np.ndarray, categories: pd.Series, learned: np.ndarray) -> float:
    """The AUC of the share that left of each category, learned on other clients' rows.

    `left` and `learned` are masks of shape (rows,).
    """
    if not learned.any():
        return 0.5
    shares = pd.Series(left[learned]).groupby(categories[learned].to_numpy()).mean()
    scores = categories[~learned].map(shares).fillna(left[learned].mean())
    return _auc(left[~learned], scores.to_numpy("float64"))


def _auc(left: np.ndarray, scores: np.ndarray) -> float:
    """The AUC; 0.5 where all left or stayed."""
    return float(roc_auc_score(left, scores)) if 0 < left.sum() < len(left) else 0.5


def _dates(rows: pd.DataFrame, schema: Schema) -> Iterator[str]:
    for column in schema.categorical:
        names = [name for name in rows[column].unique() if name][:MAX_LOOKED_AT]
        for date_format in DATE_FORMATS if names else ():
            if np.mean([_is_date(name, date_format) for name in names]) >= MIN_DATES:
                yield (
                    f"{column} is among the categories and holds dates: each is a category of its"
                    " own, which tells nothing of later ones; name it as `date`, or leave it out"
                )
                break


def _is_date(text: str, date_format: str) -> bool:
    try:
        canonical_date(text.split(" ")[0] if date_format else text, date_format)
    except ValueError:
        return False
    return True


def _of_test_data(learned: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> Iterator[str]:
    left = int((test[schema.outcome] == 1).sum())
    if left < MIN_TESTED_LEAVERS:
        yield (
            f"the test data hold {pluralize(left, 'row')} of clients who left: scores on fewer than"
            f" {MIN_TESTED_LEAVERS} are largely chance"
        )
    clients = test[schema.client].drop_duplicates()
    both = int(clients.isin(learned[schema.client]).sum())
    if both:
        yield (
            f"{both:,} of the {pluralize(len(clients), 'client')} in the test data are in the"
            " training data too: scores on them are better than on others"
        )


def _names_nobody(fitted: Fitted, test: pd.DataFrame | None) -> Iterator[str]:
    model: Model = fitted.model
    highest = float((fitted.risk if test is None else risk_of(model, test)).max(initial=0))
    if highest < fitted.recipe.threshold:
        where = "training" if test is None else "test"
        yield (
            f"the threshold {fitted.recipe.threshold:.6g} names nobody: the highest risk in the"
            f" {where} data is {highest:.6g}"
        )
