import pytest

from pipeline.core.names import folded, why_alike


@pytest.mark.parametrize(
    ("name", "other", "why"),
    [
        ("000001", "1", "leading zeros"),
        ("000", "0", "leading zeros"),
        ("00A1", "A1", "leading zeros"),
        ("1.0", "1", ".0"),
        ("1.0", "1.00", ".0"),
        ("Acme 2.0", "Acme 2", ".0"),
        ("ACME", "Acme", "case"),
        ("CAFÉ KÖLN", "Café Köln", "case"),
        ("STRASSE", "Straße", "case"),
        ("J\u030c", "\u01f0", "case"),
        ("0010.0", "10", "leading zeros and .0"),
        ("0.0", "00", "leading zeros and .0"),
        ("00a.0", "A", "leading zeros and .0 and case"),
    ],
)
def test_names_that_are_alike_have_one_folded_text_and_a_difference(
    name: str, other: str, why: str
) -> None:
    assert folded(name) == folded(other)
    assert why_alike(name, other) == why_alike(other, name) == why


@pytest.mark.parametrize(
    ("name", "other"),
    [
        *(("10", "1"), ("1", "1.5"), ("0", "1"), ("1.0", "10"), (".0", "0")),
        *(("Acme Ltd", "Acme-Ltd"), ("Café", "Cafe"), ("a 01", "a 1"), ("1.0.5", "1.5")),
    ],
)
def test_other_names_have_another_folded_text(name: str, other: str) -> None:
    assert folded(name) != folded(other)
