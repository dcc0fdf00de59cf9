"""What a server keeps between requests, for the routes that answer them."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from flask import current_app

from pipeline.action.current_ranking import (
    CurrentRanking,
    KeyedCache,
    file_stamp,
    history_stamp,
)
from pipeline.action.effect import Effect
from pipeline.core.config import Config
from pipeline.registry.live_model import LiveModel
from pipeline.reporting.overview import read_effect
from pipeline.storage.database import History
from pipeline.storage.history import open_existing_history, recorded_history
from pipeline.web.auth import api_token
from pipeline.web.request_rows import ClientFiles

KEY = "clientrisk"  # among the extensions of the application


@dataclass(frozen=True)
class ServerState:
    """The config, the live model, the current ranking, and what was computed from them last."""

    config: Config
    live: LiveModel
    ranking: CurrentRanking
    files: ClientFiles  # that a request may name
    token: str | None  # that requests must carry
    kept: dict[str, KeyedCache[Any]] = field(default_factory=lambda: defaultdict(KeyedCache))

    def history(self) -> History | None:
        """The history, by the connection of the request, which ends with it; None before a run."""
        return open_existing_history(self.config.history_path)

    def records(self) -> History:
        """The same; raises `NotRecordedError` where there is none."""
        return recorded_history(self.config.history_path)

    def current_effect(self, history: History) -> Effect:
        """What contacts have changed; raises what `open_rows` does."""
        config = self.config
        stamp = history_stamp(config.history_path), file_stamp(config.finaldata_path)
        effect: Effect = self.kept["effect"].get(stamp, lambda: read_effect(config, history))
        return effect


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
        api_token(),
    )


def get_state() -> ServerState:
    """The state of the server that answers the current request."""
    state: ServerState = current_app.extensions[KEY]
    return state
