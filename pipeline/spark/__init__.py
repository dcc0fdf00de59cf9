"""The same work on a Spark cluster: what is done across clients is Spark's, by its operations."""

import warnings

from pipeline.core.errors import ConfigError

warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
try:
    import pyspark.sql  # noqa: F401
except ImportError as error:
    raise ConfigError(
        f'"engine" needs Spark ({error}): pip install -r pipeline/requirements-spark.txt'
    ) from None
