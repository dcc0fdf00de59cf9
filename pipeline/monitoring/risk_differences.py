"""Differences of ROC AUC and log loss: of one model on two samples, of two models on one.

These tell where few clients leave, whatever the threshold. Clients are resampled, as in
`pipeline.monitoring.bootstrap`, which has the sources of the method.

Two samples of one model may differ in their share of leavers, by season, without any fault of the
model. A season shifts the log-odds of all clients by one number. So earlier rows also count
weighted as if that had been so for them: a leaver or stayer by how much more often its like leaves
or stays then. A share may differ by chance, too, so the more lenient of both counts. The log loss
is that of risks shifted so: what remains is how the model ranks and how far it spreads risks.
Sources: importance weighting, Shimodaira, Improving Predictive Inference
under Covariate Shift by Weighting the Log-Likelihood Function, Journal of Statistical Planning and
Inference 90, 2000; shifted log-odds, Saerens, Latinne and Decaestecker, Adjusting the Outputs of a
Classifier to New a Priori Probabilities, Neural Computation 14, 2002.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from pipeline.models.calibration import fitted_calibrator
from pipeline.models.manifest import SIGMOID
from pipeline.monitoring.bootstrap import (
    MIN_RISK,
    Difference,
    difference_within,
    rank_scores,
    resampled_weights,
    sorted_by_risk,
)
from pipeline.monitoring.metrics import Tested

FURTHEST = 40.0  # that log-odds are shifted at most: risks of 0 or 1 to the last digit


@dataclass(frozen=True)
class RiskDifference:
    """A model's ROC AUC and log loss less those of another sample or model, and what they are of.

    Both log losses are parts of that of the share of leavers alone, which is 1 and tells nothing; a
    negative difference of them is the better one. `auc` and `log_loss` are this one's values.
    """

    auc: float
    log_loss: float
    auc_before: float
    log_loss_before: float
    by_auc: Difference
    by_log_loss: Difference

    def numbers(self) -> dict[str, float]:
        """All of it, by name, for the history."""
        found = {
            "auc": self.auc,
            "auc_before": self.auc_before,
            "log_loss": self.log_loss,
            "log_loss_before": self.log_loss_before,
        }
        for name, one in (("auc", self.by_auc), ("log_loss", self.by_log_loss)):
            found |= {f"{name}_low": one.low, f"{name}_high": one.high}
        return found

    def worse(self) -> bool:
        """Whether either interval lies on the bad side of zero."""
        return self.by_auc.high < 0 or self.by_log_loss.low > 0

    def better(self, width: float = 1.0) -> bool:
        """Whether one interval lies on the good side of zero, were it so many times as wide.

        And neither on the bad side.
        """
        auc, loss = self.by_auc, self.by_log_loss
        above = auc.value > width * (auc.value - auc.low) > 0
        below = -loss.value > width * (loss.high - loss.value) > 0
        return (above or below) and not self.worse()

    def no_worse(self) -> bool:
        """Whether both are at least as good."""
        return self.by_auc.value >= 0 and self.by_log_loss.value <= 0


def of_samples(new: Tested, before: Tested, seed: int) -> RiskDifference:
    """How a model does on new rows, less how it did on earlier ones.

    Both must have leavers and stayers.
    """
    share, each = float(new.outcomes.mean()), np.ones(len(before.outcomes))
    now, *were = (
        _scores(
            *(tested, [_losses_at(tested, share, weights)], share),
            np.random.default_rng([seed, tested is before]),
            weights=weights,
        )[:, 0]
        for tested, weights in (
            (new, np.ones(len(new.outcomes))),
            (before, each),
            (before, _as_if(before, share)),
        )
    )
    # a share may differ by chance, too: what counts is the lower AUC, and the higher log loss
    by_auc, by_loss = min(were, key=lambda one: one[0, 0]), max(were, key=lambda one: one[0, 1])
    return _difference(now, np.column_stack([by_auc[:, 0], by_loss[:, 1]]))


def of_models(challenger: Tested, champion: Tested, seed: int) -> RiskDifference:
    """How a challenger does on rows, less how the champion does on the same; with both outcomes."""
    share = float(challenger.outcomes.mean())
    random = np.random.default_rng(seed)
    both = [challenger, champion]
    found = _scores(challenger, [_losses(tested) for tested in both], share, random, both)
    return _difference(found[:, 0], found[:, 1])


def _difference(now: np.ndarray, before: np.ndarray) -> RiskDifference:
    """Of AUC and log loss of shape (1 + resamples, 2), those observed first."""
    both = min(len(now), len(before))  # of very many rows there are fewer resamples
    now, before = now[:both], before[:both]
    whole = ~np.isnan(now[:, 0] + before[:, 0])  # a resample may have one outcome only
    difference = now - before
    by_auc, by_log_loss = (
        difference_within(float(difference[0, i]), difference[1:, i][whole[1:]]) for i in (0, 1)
    )
    return RiskDifference(
        auc=float(now[0, 0]),
        log_loss=float(now[0, 1]),
        auc_before=float(before[0, 0]),
        log_loss_before=float(before[0, 1]),
        by_auc=by_auc,
        by_log_loss=by_log_loss,
    )


def _losses(tested: Tested, shift: float = 0.0) -> np.ndarray:
    """The log loss of each row, its log-odds shifted: shape (rows,)."""
    odds = _odds(tested) + shift
    losses: np.ndarray = np.logaddexp(0, np.where(tested.outcomes == 1, -odds, odds))
    return losses


def _odds(tested: Tested) -> np.ndarray:
    odds: np.ndarray = logit(np.clip(tested.risk, MIN_RISK, 1 - MIN_RISK))
    return odds


def _shift(odds: np.ndarray, weights: np.ndarray, share: float) -> float:
    """By how much log-odds of rows are to be shifted for this share of them to leave."""

    def excess(shift: float) -> float:
        return float(weights @ expit(odds + shift) / weights.sum() - share)

    return float(brentq(excess, -FURTHEST, FURTHEST))


def _as_if(tested: Tested, share: float) -> np.ndarray:
    """What rows count for where this share leaves, by a like shift of all log-odds: (rows,).

    Of calibrated ones: of a model that is too sure of its risks, the shift would be far too large,
    and its errors would weigh a hundred times as much.
    """
    curve = fitted_calibrator(SIGMOID, _odds(tested), tested.outcomes)
    was = np.clip(curve.predict(_odds(tested)), MIN_RISK, 1 - MIN_RISK)
    now = expit(logit(was) + _shift(logit(was), np.ones(len(was)), share))
    weights: np.ndarray = np.where(tested.outcomes == 1, now / was, (1 - now) / (1 - was))
    return weights


def _losses_at(tested: Tested, share: float, weights: np.ndarray) -> np.ndarray:
    """Those of the log-odds that are right on average where this share leaves."""
    left = tested.outcomes == 1
    parts = np.where(left, share / (weights @ left), (1 - share) / (weights @ ~left))
    return _losses(tested, _shift(_odds(tested), weights * parts, share))


def _scores(
    rows: Tested,
    losses: list[np.ndarray],
    share: float,
    random: np.random.Generator,
    models: list[Tested] | None = None,
    weights: np.ndarray | float = 1.0,
) -> np.ndarray:
    """AUC and relative log loss of each model: (1 + resamples, models, 2), of the rows first."""
    ranked = [sorted_by_risk(tested.risk) for tested in models or [rows]]
    outcomes, base = rows.outcomes == 1, -share * np.log(share) - (1 - share) * np.log1p(-share)
    found = []
    for drawn in resampled_weights(rows.clients, random):
        counts = drawn * weights
        of_left, of_stayed = counts * outcomes, counts * ~outcomes
        left, stayed = of_left.sum(), of_stayed.sum()
        if not left or not stayed:
            found.append([(np.nan, np.nan)] * len(ranked))
            continue
        found.append(
            [
                (
                    rank_scores(outcomes[order], counts[order], ends)[0],
                    (share * (loss @ of_left) / left + (1 - share) * (loss @ of_stayed) / stayed)
                    / base,
                )
                for (order, ends), loss in zip(ranked, losses, strict=True)
            ]
        )
    return np.array(found)
