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


@dataclass(frozen=True)
class Live:
    """A release with its model, loaded."""

    release: Release
    model: Model
    scorer: Scorer


def load_release(release: Release, schema: Schema) -> Live:
    """Verify a release file by file and load its model.

    Raises `ReleaseError` or `ModelError` if it is damaged or of another schema.
    """
    for name in sorted({MODEL, SCORE, RECORD, *release.files}):
        file = release.path / name
        try:
            whole = file.is_file() and sha256_of(file) == release.files.get(name)
        except OSError as error:
            why = f"{name}: {error.strerror}"
            raise ReleaseError(f"release {release.id} cannot be read: {why}") from None
        if not whole:
            raise ReleaseError(f"release {release.id} is damaged: {name} is not what was deployed")
    model = load_model(release.path / MODEL, release.model, schema)
    return Live(release, model, Scorer(model, release.model.schema))


def load_live(production: Path, schema: Schema) -> Live:
    """The release that is live, verified, with its model; raises as `load_release`."""
    return load_release(live_release(production), schema)


class LiveModel:
    """The live release's model, loaded again whenever another release goes live."""

    def __init__(self, production: Path, schema: Schema) -> None:
        self._production, self._schema = production, schema
        self._lock = Lock()
        self._live: Live | None = None
        self._refused: str | None = None  # what was logged: a release, or that there is no link

    def get(self) -> Live:
        """The live release and its model; raises `ReleaseError` if there is none to serve.

        A release that does not verify, or a `current` that is no link, is logged; the one loaded
        before is still served then, and if nothing is live any more.
        """
        live = self._live
        try:
            now = live_id(self._production)
        except ReleaseError as error:
            with self._lock:
                return self._go_on("of no name", error)
        if live and now == live.release.id:
            self._refused = None
            return live
        with self._lock:  # another thread may have been first
            if self._live and now in (self._live.release.id, self._refused, None):
                return self._live
            if not now:
                raise ReleaseError("nothing is deployed yet")
            try:
                self._live = load_release(read_release(self._production, now), self._schema)
            except PipelineError as error:
                return self._go_on(now, error)
            return self._live

    def _go_on(self, refused: str, error: PipelineError) -> Live:
        """The release that was loaded before; raises the error if there is none."""
        if not self._live:
            raise error
        if self._refused != refused:
            live = self._live.release.id
            log.error("release %s is refused, %s goes on: %s", refused, live, error)
        self._refused = refused
        return self._live
