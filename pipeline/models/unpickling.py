"""Unpickling that can make nothing but the parts of our own estimators.

A pickle may name any function to be called. The list of what may be named stands here, in code,
never beside the artefact; whatever else a pickle names is refused before anything of it runs.
"""

import io
import pickle
from typing import Any

from pipeline.core.errors import ModelError

ALLOWED = frozenset(
    {
        "builtins.slice",
        "numpy.dtype",
        "numpy.float64",
        "numpy.ndarray",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.calibration.CalibratedClassifierCV",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer.ColumnTransformer",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.isotonic.IsotonicRegression",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.model_selection._classification_threshold.FixedThresholdClassifier",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._encoders.OneHotEncoder",
        "sklearn.preprocessing._encoders.OrdinalEncoder",
    }
)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # a name with dots leads on from what is allowed to what hangs on it
        if "." in name or f"{module}.{name}" not in ALLOWED:
            raise ModelError(f"it names {_told(f'{module}.{name}')}, which no model of ours needs")
        return super().find_class(module, name)


def unpickle(content: bytes) -> Any:
    """What a pickle of ours holds.

    Raises `ModelError` if it names anything that is not allowed, or cannot be read with the
    packages installed here.
    """
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except ModelError:
        raise
    except Exception as error:  # a pickle of other versions may fail in any way
        raise ModelError(
            f"it cannot be unpickled here ({type(error).__name__}: {_told(str(error))})"
        ) from error


def _told(text: str) -> str:
    """What a pickle says, on one line: it may say anything."""
    return repr(text[:200])[1:-1]
