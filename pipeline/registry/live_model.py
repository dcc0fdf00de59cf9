"""Loading a release's model after checking every file, and keeping the live one loaded."""

import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from pipeline.core.errors import PipelineError, ReleaseError
from pipeline.core.files import sha256_of
from pipeline.core.schema import Schema
from pipeline.models.estimators import Model
from pipeline.models.manifest import MODEL, RECORD, SCORE
from pipeline.models.persistence import load_model
from pipeline.models.scorer import Scorer
from pipeline.registry.releases import Release, live_id, live_release, read_release

log = logging.getLogger(__name__)


def load_release(release: Release, schema: Schema) -> Model:
    """Verify a release file by file and load its model.

    Raises `ReleaseError` or `ModelError` if it is damaged or of another schema.
    """
    for name in sorted({MODEL, SCORE, RECORD, *release.files}):
        file = release.path / name
        try:
            whole = file.is_file() and sha256_of(file) == release.files.get(name)
        except OSError as error:
            raise ReleaseError(
                f"release {release.id} cannot be read: {name}: {error.strerror}"
            ) from None
        if not whole:
            raise ReleaseError(f"release {release.id} is damaged: {name} is not what was deployed")
    return load_model(release.path / MODEL, release.model, schema)


@dataclass(frozen=True)
class Live:
    """A release with its model, loaded."""

    release: Release
    model: Model
    scorer: Scorer


def load_live(production: Path, schema: Schema) -> Live:
    """The release that is live, verified, with its model; raises as `load_release`."""
    return load_live_release(live_release(production), schema)


def load_live_release(release: Release, schema: Schema) -> Live:
    """A release, verified, with its model; raises as `load_release`."""
    model = load_release(release, schema)
    return Live(release, model, Scorer(model, release.model.schema))


class LiveModel:
    """The live release's model, loaded again whenever another release goes live."""

    def __init__(self, production: Path, schema: Schema) -> None:
        self._production, self._schema = production, schema
        self._lock = Lock()
        self._live: Live | None = None
        self._refused: str | None = None
        self._link_logged = False  # that it is none

    def get(self) -> Live:
        """The live release and its model; raises `ReleaseError` if there is none to serve.

        A release that does not verify, or a `current` that is no link, is logged; the one loaded
        before is still served then, and if nothing is live any more.
        """
        live = self._live
        try:
            live_now = live_id(self._production)
        except ReleaseError as error:
            return self._without_link(error)
        self._link_logged = False
        if live and live_now in (live.release.id, self._refused, None):
            return live
        with self._lock:
            return self._load(live_now)

    def _without_link(self, error: ReleaseError) -> Live:
        with self._lock:
            if not self._live:
                raise error
            if not self._link_logged:
                log.error("%s; %s goes on", error, self._live.release.id)
                self._link_logged = True
            return self._live

    def _load(self, release_id: str | None) -> Live:
        if not release_id:
            raise ReleaseError("nothing is deployed yet")
        if self._live and release_id in (self._live.release.id, self._refused):
            return self._live  # another thread was first
        try:
            release = read_release(self._production, release_id)
            self._live = load_live_release(release, self._schema)
            self._refused = None
        except PipelineError as error:
            if not self._live:
                raise
            log.error(
                "release %s is refused, %s goes on: %s", release_id, self._live.release.id, error
            )
            self._refused = release_id
        return self._live
