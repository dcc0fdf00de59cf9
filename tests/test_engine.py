"""The engine with real workers: processes of this machine, and a real cluster on loopback."""

from conftest import Sandbox
from engines import needs_engine

from pipeline.engine import open_engine


def doubled(number: int) -> int:
    return 2 * number


@needs_engine
def test_a_function_is_mapped_over_parts_in_their_order(
    dask_address: str, sandbox: Sandbox
) -> None:
    sandbox.configure(engine={"kind": "dask", "address": dask_address})
    with open_engine(sandbox.config) as engine:
        assert engine.map(doubled, [3, 1, 2]) == [6, 2, 4]
