"""What a server keeps between requests, for the routes that answer them."""

from dataclasses import dataclass, field

from flask import current_app

from pipeline.action.current_ranking import CurrentRanking, file_stamp, history_stamp
from pipeline.action.effect import Effect
from pipeline.core.cache import KeyedCache
from pipeline.core.config import Config
from pipeline.monitoring.scores import Scores
from pipeline.registry.live_model import LiveModel
from pipeline.reporting.overview import read_effect
from pipeline.storage.database import History
from pipeline.web.request_rows import ClientFiles

KEY = "clientrisk"  # among the extensions of the application


@dataclass(frozen=True)
class Summary:
    """Statistics of one number column; None where there are too few numbers."""

    mean: float | None
    median: float | None
    std: float | None


@dataclass(frozen=True)
class ServerState:
    """The config, the live model, the current ranking, and what was computed from them last."""

    config: Config
    live: LiveModel
    ranking: CurrentRanking
    files: ClientFiles  # that a request may name
    scores: KeyedCache[Scores] = field(default_factory=KeyedCache)
    summary: KeyedCache[dict[str, Summary]] = field(default_factory=KeyedCache)
    model: KeyedCache[str] = field(default_factory=KeyedCache)  # the sections of that page
    operations: KeyedCache[str] = field(default_factory=KeyedCache)  # likewise
    report_pdf: KeyedCache[bytes | None] = field(default_factory=KeyedCache)
    effect: KeyedCache[Effect] = field(default_factory=KeyedCache)

    def current_effect(self, history: History) -> Effect:
        """What contacts have changed; raises what `open_rows` does."""
        config = self.config
        stamp = history_stamp(config.history_path), file_stamp(config.finaldata_path)
        return self.effect.get(stamp, lambda: read_effect(config, history))


def new_state(config: Config) -> ServerState:
    """The state of a server that has answered nothing yet."""
    return ServerState(
        config,
        LiveModel(config.prod_deployment_path, config.schema),
        CurrentRanking(
            *(config.clientrisk_path, config.history_path, config.schema.carry),
            config.contact_rules,
            on_spark=config.engine is not None,
        ),
        ClientFiles((config.test_data_path, config.input_folder_path), config.root),
    )


def get_state() -> ServerState:
    """The state of the server that answers the current request."""
    state: ServerState = current_app.extensions[KEY]
    return state
