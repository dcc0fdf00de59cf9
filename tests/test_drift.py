from pipeline.drift import Verdict, raw_comparison


def test_a_lower_f1_is_drift() -> None:
    assert raw_comparison(0.5, 0.75) == Verdict(
        "drift", "F1 on the new rows is 0.5000, lower than the deployed 0.7500"
    )


def test_a_higher_f1_is_no_drift() -> None:
    assert raw_comparison(0.8, 0.75) == Verdict(
        "no drift", "F1 on the new rows is 0.8000, not lower than the deployed 0.7500"
    )


def test_the_same_f1_is_no_drift() -> None:
    assert raw_comparison(0.75, 0.75).verdict == "no drift"


def test_the_least_bit_lower_is_drift() -> None:
    assert raw_comparison(0.7499999999, 0.75).verdict == "drift"


def test_an_f1_of_nought_is_drift_not_a_missing_one() -> None:
    assert raw_comparison(0.0, 0.75).verdict == "drift"


def test_no_f1_is_no_evidence() -> None:
    assert raw_comparison(None, 0.75) == Verdict(
        "no evidence", "the new rows have no F1: too few known outcomes"
    )
