"""Drift tests on scores: pure functions of numbers."""

from dataclasses import dataclass

DRIFT, NO_DRIFT, NO_EVIDENCE = "drift", "no drift", "no evidence"


@dataclass(frozen=True)
class Verdict:
    """What a drift test says, and why."""

    verdict: str
    reason: str


def raw_comparison(new_f1: float | None, deployed_f1: float) -> Verdict:
    """Drift if the F1 on the new rows is lower than the deployed one.

    `new_f1` is None where the new rows leave it undefined: no row with a known outcome, or nobody
    who left and nobody who was predicted to. That is no evidence either way.
    """
    if new_f1 is None:
        return Verdict(NO_EVIDENCE, "the new rows have no F1: too few known outcomes")
    if new_f1 < deployed_f1:
        reason = f"F1 on the new rows is {new_f1:.4f}, lower than the deployed {deployed_f1:.4f}"
        return Verdict(DRIFT, reason)
    reason = f"F1 on the new rows is {new_f1:.4f}, not lower than the deployed {deployed_f1:.4f}"
    return Verdict(NO_DRIFT, reason)
