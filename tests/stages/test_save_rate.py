"""The save rate that decisions go by, as long as none is measured."""

import logging

import pytest
from sandbox import Sandbox
from stagecalls import rows_of

from pipeline.stages.training import with_save_rate
from pipeline.storage.contacts import Assignment, Contact, add_contacts, record_assignments
from pipeline.storage.history import open_history

SAID = {
    0: "no campaign has begun",
    8: "too few have left to tell",
    60: "the one measured may be none (at least -",
}


@pytest.mark.parametrize("proposed", SAID)
def test_one_is_assumed_as_long_as_none_is_measured(
    deployed: Sandbox, caplog: pytest.LogCaptureFixture, proposed: int
) -> None:
    deployed.configure(save_rate="measured")
    day, names = "2020-01-01", [f"client{i:05d}" for i in range(2 * proposed)]
    config = deployed.config
    with open_history(config.history_path) as history:
        with history.transaction():
            found = ((name, i % 2 == 1) for i, name in enumerate(names))
            record_assignments(
                history, [Assignment(name, day, day, c, 0.5, "high", 0.5) for name, c in found]
            )
            add_contacts(history, [Contact(name, day, "page") for name in names[::2]])
        with caplog.at_level(logging.INFO):
            settled = with_save_rate(config, history, rows_of(config, history))
            assert with_save_rate(settled, history, rows_of(config, history)) is settled
    assert (settled.policy.worth.save_rate, settled.policy.worth.measured) == (0.1, True)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"save rate: 10.0 % is assumed, as {SAID[proposed]}")
