"""Models fitted on tables of random numbers and words, for tests that ask them."""

import numpy as np
import pandas as pd

from pipeline.models import CHECKED_ROWS, Model, risk_of
from pipeline.releases import ModelManifest, SelfCheck
from pipeline.schema import DEFAULT_SCHEMA, Schema
from training import train_model

MIXED = Schema("client", "left", ("age", "balance"), ("place", "kind"))
WORDS = Schema("client", "left", (), ("place", "kind"))
SCHEMAS = {"numbers": DEFAULT_SCHEMA, "mixed": MIXED, "words": WORDS}
PLACES, KINDS = ["north", "south", "", "Zürich", "NA"], ["a", "b"]


def random_table(schema: Schema, rows: int = 400) -> pd.DataFrame:
    """Labelled rows in which each column says something of the outcome, some values missing."""
    random = np.random.default_rng(7)
    columns: dict[str, object] = {schema.client: [f"c{i}" for i in range(rows)]}
    odds = random.standard_normal(rows)
    for i, name in enumerate(schema.numeric):
        values = random.gamma(2, 50 * 10**i, rows)
        odds += (1 - i) * (values - values.mean()) / values.std()
        values[random.random(rows) < 0.05] = np.nan
        columns[name] = values
    for name, words in zip(schema.categorical, (PLACES, KINDS), strict=False):
        picked = random.integers(len(words), size=rows)
        odds += picked - picked.mean()
        columns[name] = pd.Series([words[i] for i in picked], dtype="str")
    columns[schema.outcome] = (odds > 0).astype("float64")
    return pd.DataFrame(columns)


def fitted(schema: Schema) -> Model:
    """The model that training makes of such a table."""
    return train_model(random_table(schema), schema)


def manifest_of(model: Model, schema: Schema) -> ModelManifest:
    """What a manifest would tell of a model, as far as asking it goes."""
    known = random_table(schema)[list(schema.features)].head(CHECKED_ROWS)
    rows = [tuple(None if pd.isna(v) else v for v in row) for row in known.itertuples(index=False)]
    check = SelfCheck(tuple(rows), tuple(risk_of(model, known).tolist()))
    return ModelManifest("", "", 400, 1, schema, {}, check)
