"""The errors a user can cause or fix; `pipeline.cli` turns them into exit codes."""


class PipelineError(Exception):
    """An expected failure, reported in one line without a traceback."""

    exit_code = 1


class ConfigError(PipelineError):
    """`config.json` is missing, unreadable or says something impossible."""


class DataError(PipelineError):
    """A client table, or a row of one, cannot be used as it is."""


class RejectedError(DataError):
    """Every new file was rejected; whatever else the run had to do is done."""


class ModelError(PipelineError):
    """A model is missing, damaged, or cannot be trained on what there is."""


class ReleaseError(PipelineError):
    """A release cannot be made, found or gone back to."""


class BackupError(PipelineError):
    """A backup cannot be written there, is none of ours, or its place is not empty."""


class HistoryError(PipelineError):
    """The history database cannot be used, or does not match the files it describes."""


class NotRecordedError(HistoryError):
    """What is asked for was never recorded: no run has been that far."""


class LockHeldError(PipelineError):
    """Another run is at work on the same state."""

    exit_code = 75
