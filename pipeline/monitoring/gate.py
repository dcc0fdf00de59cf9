"""The gate: whether the challenger replaces the champion, by both on the same rows.

By F1 these are the test data and the new rows; by evidence the newest rows alone, on which the test
data, which may describe last year's world, only guard.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from pipeline.core.policy import Gate, Worth
from pipeline.core.schema import Schema
from pipeline.models.estimators import Model, predictions_of, risk_of
from pipeline.monitoring import sentences
from pipeline.monitoring.bootstrap import (
    Difference,
    difference_within,
    paired_difference,
    resampled_weights,
)
from pipeline.monitoring.decisions import Action, ChallengeOutcome, Decision
from pipeline.monitoring.metrics import PredictedRows, Tested
from pipeline.monitoring.risk_differences import RiskDifference, of_models
from pipeline.monitoring.score_drift import MIN_RANKED
from pipeline.registry.releases import Challenge, Release

FOLDS = 5
MUCH_WORSE = -0.05  # in ROC AUC on the test data; then new rows must tell twice as much

# a model fitted on all rows except those of some clients; None if there is nothing to learn from
FitWithout = Callable[[Collection[str]], Model | None]


@dataclass(frozen=True)
class Comparison:
    """Both models on the same rows, and the gate's decision.

    Differences are the challenger's less the champion's. Those of risks and of profit, in money a
    row, are of the newest rows where the gate goes by evidence and these are enough; `on_test` is
    that of the ROC AUC on the test data; `old` is whether the champion is due to be replaced.
    """

    gate: Gate
    rows: int
    champion_f1: float
    challenger_f1: float
    difference: Difference
    by_risk: RiskDifference | None = None
    profit: Difference | None = None
    on_test: Difference | None = None
    old: bool = False

    @property
    def deploy(self) -> bool:
        """Whether the challenger goes live."""
        if self.gate == Gate.BETTER:
            return self.difference.low > 0
        if self.gate == Gate.EVIDENCE:
            return self.better or self.renews
        if self.gate == Gate.MANUAL:
            return False
        return self.gate == Gate.ALWAYS or self.challenger_f1 >= self.champion_f1

    @property
    def much_worse_on_test(self) -> bool:
        """Whether it is much worse on the test data, beyond chance."""
        found = self.on_test
        return found is not None and found.value < MUCH_WORSE and found.high < 0

    @property
    def better(self) -> bool:
        """Whether the newest rows speak for the challenger beyond chance."""
        width = 2.0 if self.much_worse_on_test else 1.0
        if self.profit:
            gain = self.profit
            return gain.value > width * (gain.value - gain.low) > 0
        return self.by_risk is not None and self.by_risk.better(width)

    @property
    def renews(self) -> bool:
        """Whether the champion is old, and the challenger no worse."""
        if not self.old or self.by_risk is None or self.much_worse_on_test:
            return False
        return self.profit.value >= 0 if self.profit else self.by_risk.no_worse()

    @property
    def reason(self) -> str:
        """The comparison in words."""
        f1 = self.challenger_f1, self.champion_f1
        if self.gate not in (Gate.EVIDENCE, Gate.MANUAL):
            interval = self.difference.low, self.difference.high
            return sentences.comparison(*f1, self.rows, interval, self.gate)
        if self.by_risk is None:
            return sentences.TOO_FEW_TO_COMPARE.format(needed=MIN_RANKED)
        return sentences.evidence(
            self.by_risk,
            self.profit,
            f1=f1,
            rows=self.rows,
            on_test=self.on_test.value if self.on_test and self.much_worse_on_test else None,
            better=self.better,
            renews=self.renews,
        )

    @property
    def numbers(self) -> dict[str, float]:
        """What the evidence rests on, by name, for the history."""
        found = self.by_risk.numbers() if self.by_risk else {}
        for name, one in (("profit", self.profit), ("test_auc", self.on_test)):
            if one:
                found |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        return found


def compare(
    fit_without: FitWithout,
    *,
    champion: Tested,
    challenger: Tested,
    new: PredictedRows,
    gate: Gate,
    seed: int,
    schema: Schema,
    worth: Worth | None = None,
    old: bool = False,
) -> Comparison:
    """Score both models on the same rows.

    `champion` and `challenger` are the predictions of both for the test data, `new` the champion's
    for the new rows. The challenger was trained on these, too: there it is represented by models
    fitted without the client in question, so that none has seen the rows it is judged on. The
    interval of the difference is the paired bootstrap's (`pipeline.monitoring.bootstrap`). With
    `worth`, the gate's evidence is the profit of contacting whom it pays to contact.
    """
    stand_in = out_of_fold(fit_without, new, schema)
    by_evidence = gate in (Gate.EVIDENCE, Gate.MANUAL)
    on_both = [(new.tested, stand_in)] if by_evidence else [(champion, challenger)]
    if not by_evidence:
        on_both.append((new.tested, stand_in))
    outcomes, clients = (
        np.concatenate([getattr(tested, name) for tested, _ in on_both])
        for name in ("outcomes", "clients")
    )
    by_champion, by_challenger = (
        np.concatenate([pair[i].predicted for pair in on_both]) for i in (0, 1)
    )
    if not len(outcomes):
        nothing = Difference(0.0, 0.0, 0.0)
        return Comparison(gate, 0, champion_f1=0.0, challenger_f1=0.0, difference=nothing, old=old)
    found = Comparison(
        gate=gate,
        rows=sum(tested.rows for tested, _ in on_both),
        champion_f1=_f1(outcomes, by_champion),
        challenger_f1=_f1(outcomes, by_challenger),
        difference=paired_difference(outcomes, by_champion, by_challenger, clients, seed),
        old=old,
    )
    if not by_evidence or not _enough(new.tested):
        return found
    return replace(
        found,
        by_risk=of_models(stand_in, new.tested, seed),
        profit=_profit(stand_in, new, worth, seed) if worth else None,
        on_test=of_models(challenger, champion, seed).by_auc if _enough(champion) else None,
    )


def out_of_fold(fit_without: FitWithout, rows: PredictedRows, schema: Schema) -> Tested:
    """Predict each labelled row by a model that saw no row of its client.

    Source of the method: grouped K-fold cross-validation, as in scikit-learn's `GroupKFold`.
    """
    labelled = rows.labelled
    codes, clients = pd.factorize(labelled[schema.client])
    predicted, risk = np.zeros(len(labelled), dtype="int64"), np.zeros(len(labelled))
    for fold in range(min(FOLDS, len(clients))):
        model = fit_without(clients[fold::FOLDS].tolist())
        if model:  # else nobody is predicted to leave
            held_out = codes % FOLDS == fold
            predicted[held_out] = predictions_of(model, labelled[held_out])
            risk[held_out] = risk_of(model, labelled[held_out])
    return replace(rows.tested, predicted=predicted, risk=risk)


def _enough(tested: Tested) -> bool:
    """Whether there are enough clients of either outcome to compare risks."""
    return all(
        len(set(tested.clients[tested.outcomes == outcome])) >= MIN_RANKED for outcome in (0, 1)
    )


def _profit(challenger: Tested, rows: PredictedRows, worth: Worth, seed: int) -> Difference:
    """What more a contact policy by the challenger's risks earns, in money a row."""
    value = rows.labelled[worth.column].fillna(0).to_numpy() if worth.column else worth.of_all
    saved, cost = (worth.save_rate or 0) * np.asarray(value), worth.contact_cost or 0
    earned = [
        (tested.risk * saved >= cost) * (tested.outcomes * saved - cost)
        for tested in (challenger, rows.tested)
    ]
    more = earned[0] - earned[1]
    weighted = resampled_weights(challenger.clients, np.random.default_rng(seed))
    found = np.array([weights @ more / weights.sum() for weights in weighted])
    return difference_within(float(found[0]), found[1:])


def _f1(outcomes: np.ndarray, predicted: np.ndarray) -> float:
    return float(f1_score(outcomes, predicted, zero_division=0.0))


def challenge(compared: Comparison, champion: Release, why: str) -> Challenge:
    """The comparison and its reason, for the manifest of the release that won it."""
    return Challenge(
        gate=compared.gate,
        champion=champion.id,
        rows=compared.rows,
        champion_f1=compared.champion_f1,
        challenger_f1=compared.challenger_f1,
        low=compared.difference.low,
        high=compared.difference.high,
        reason=f"{why}; {compared.reason}",
        numbers=compared.numbers,
    )


def challenged(
    found: Decision, champion: Release, compared: Comparison, deployed: Release | None, model: str
) -> Decision:
    """The decision on a batch after both models were compared, and the new release, if any.

    `model` is the SHA-256 of the challenger.
    """
    new_release = deployed.id if deployed else None
    held = compared.gate == Gate.MANUAL
    lost = ChallengeOutcome.HELD if held else ChallengeOutcome.LOST
    return replace(
        found,
        action=Action.DEPLOYED if deployed else Action.KEPT,
        reason=sentences.challenged(found.reason, compared.reason, new_release, champion.id, held),
        champion_f1=compared.champion_f1,
        challenger_f1=compared.challenger_f1,
        new_release=new_release,
        gate=compared.gate,
        difference_low=compared.difference.low,
        difference_high=compared.difference.high,
        challenge=ChallengeOutcome.WON if deployed else lost,
        challenger=model,
        compared=json.dumps(compared.numbers),
    )


def same_model(found: Decision, champion: Release) -> Decision:
    """The decision on a batch after retraining gave the live model again."""
    return replace(
        found,
        reason=sentences.SAME_MODEL.format(reason=found.reason, release=champion.id),
        challenge=ChallengeOutcome.SAME_MODEL,
    )
