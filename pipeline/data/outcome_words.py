"""Guesses at what words for outcomes mean: shown to people, never acted upon."""

import re
from collections.abc import Iterable

# what words and names of columns are about, and what turns them
_LEAVING = re.compile(
    r"churn|\bleft\b|\bleav|lost|cancel|\bclos|gone|exit|attrit|terminat|gek(?:u|ue|\xfc)ndigt|delet"
    r"|suspend|laps|r[e\xe9]sili|\bbaja|\bina[ck]tiv|\bformer|\bpast\b|ended|expired|\bex-"
)
_STAYING = re.compile(
    r"\bstay|retain|retention|remain|renew|\ba[ck]tiv|\bactif|current|\bopen|member|bleib|present"
    r"|still|survived|\bcustomer\b|\bclient\b"
)
_NOT = re.compile(r"\b(?:not?|non|never|nicht|kein|no longer|un)(?:\b|(?=renew))")


def probably_left(text: str) -> bool | None:
    """Whether a word for an outcome, or the name of its column, is of leaving; None: unclear."""
    text = text.replace("_", " ").lower()
    left, stayed = bool(_LEAVING.search(text)), bool(_STAYING.search(text))
    if not (left or stayed):
        return None
    return left != bool(_NOT.search(text))


def probable_outcomes(words: Iterable[str]) -> dict[str, int | None]:
    """What words for outcomes probably mean: 1, 0, or None where that is not clear."""
    meant = {word: probably_left(word) for word in words}
    if len(meant) == 2 and None in meant.values() and set(meant.values()) != {None}:
        known = next(each for each in meant.values() if each is not None)
        meant = {word: not known if each is None else each for word, each in meant.items()}
    if len({each for each in meant.values() if each is not None}) < 2:
        return dict.fromkeys(meant)  # as of words that all mean the same
    return {word: None if each is None else int(each) for word, each in meant.items()}
