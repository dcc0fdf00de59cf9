import pytest

from pipeline.core.csv_format import escape_formula, unescape_formula


@pytest.mark.parametrize("text", ["=1+1", "+49 30", "-5", "@SUM(A1)", "\tx", "\rx", "'=1", "''=1"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "acme", "a=b", "12", "'quoted'", "O'Neill", " =1"])
def test_other_texts_stay(text: str) -> None:
    assert escape_formula(text) == text


@pytest.mark.parametrize("text", ["=1", "'=1", "''=1", "-", "acme", "'quoted'", "", "'", "''"])
def test_the_text_can_be_told_from_its_cell(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
