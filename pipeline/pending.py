"""Is there work? The questions that every tick asks: no pandas, numpy or scikit-learn."""

from pipeline.core.config import Config
from pipeline.registry.releases import live_id
from pipeline.storage.database import History
from pipeline.storage.ledger import (
    has_unreported,
    master_size,
    new_in,
    rebuilding,
    unsettled_since,
)
from pipeline.storage.master import check_rows


def has_work(config: Config, history: History) -> bool:
    """Whether there is anything to do; raises `HistoryError` if rows are not as on record."""
    if rebuilding(history):
        return True
    check_rows(config, history)
    if new_in(config.input_folder_path, history) or has_unreported(history):
        return True
    return lacks_release(config, history) or unsettled_since(history) is not None


def lacks_release(config: Config, history: History) -> bool:
    """Whether there are rows to learn from while nothing is live."""
    rows, _ = master_size(history)
    return rows > 0 and live_id(config.prod_deployment_path) is None
