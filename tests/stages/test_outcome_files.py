"""Files of outcomes alone, columns that travel, and full lists, by the stage scripts."""

import os
import time
from datetime import datetime

import pytest
from sandbox import Sandbox, client_rows

from pipeline.observations.master import Master, open_master
from pipeline.storage.history import open_history

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
DATED = {
    **{"client": "corporation", "outcome": "exited", "numeric": ["activity"]},
    **{"date": "day", "left_on": "until", "carry": ["manager"]},
}
DATED_HEADER = "corporation,day,activity,exited,until,manager\n"
# a noon, so that an hour or two later is the same day
START = datetime.now().replace(hour=12).timestamp() - 90 * 86400


@pytest.fixture
def dated(sandbox: Sandbox) -> Sandbox:
    sandbox.configure(schema=DATED, horizon_days=30)
    return sandbox


def put(world: Sandbox, name: str, text: str, day: float) -> None:
    """Write a file so many days after the first."""
    path = world.write(f"sourcedata/{name}", text)
    os.utime(path, (START + day * 86400,) * 2)


def ingested(world: Sandbox, *args: str) -> str:
    result = world.run("ingestion", *args)
    assert result.code == 0, result.err
    return result.out + result.err


def rows(world: Sandbox) -> list[str]:
    return world.config.finaldata_path.read_text().splitlines()[1:]


def master(world: Sandbox) -> Master:
    with open_history(world.config.history_path) as history:
        return open_master(world.config.finaldata_path, world.config.schema, history)


def ranked(world: Sandbox) -> list[str]:
    frame = master(world).current()
    return sorted(frame["corporation"] + " " + frame.iloc[:, 1].astype(str))


def assert_rebuilt_alike(world: Sandbox) -> None:
    before = rows(world), ranked(world)
    ingested(world, "--rebuild")
    assert (rows(world), ranked(world)) == before


def test_an_outcome_is_reported_of_the_day_that_it_names_else_of_the_latest(dated: Sandbox) -> None:
    put(dated, "b.csv", f"{DATED_HEADER}a,2026-02-01,2,,,Bo\nb,2026-02-01,2,,,Bo\n", 1)
    put(dated, "a.csv", f"{DATED_HEADER}a,2026-01-01,1,,,Ada\nb,2026-01-01,1,,,Ada\n", 2)
    ingested(dated)
    assert ranked(dated) == ["a 2026-02-01", "b 2026-02-01"]  # whatever came last
    put(dated, "said.csv", "corporation,day,exited\na,2026-01-01,1\nb,2026-01-15,1\nz,,1\n", 3)
    said = ingested(dated)
    assert "said.csv: 3 outcomes, 2 outcomes changed, 1 of unknown clients" in said
    assert "outcomes of 1 client, such as z, of whom no row is known" in said
    assert rows(dated) == [
        "a,2026-02-01,2,,,Bo",
        "b,2026-02-01,2,1,,Bo",
        "a,2026-01-01,1,1,,Ada",
        "b,2026-01-01,1,,,Ada",
    ]
    assert ranked(dated) == ["a 2026-02-01"]
    assert_rebuilt_alike(dated)


def test_days_of_leaving_are_reported_and_corrected(dated: Sandbox) -> None:
    put(dated, "a.csv", f"{DATED_HEADER}a,2026-01-01,1,,,Ada\nb,2026-01-01,1,,,Ada\n", 1)
    put(dated, "left.csv", "corporation,until\na,2026-01-20\nb,2026-01-20\n", 2)
    ingested(dated)
    put(dated, "left.csv", "corporation,until,exited\na,2026-01-21,\nb,,0\n", 3)
    assert "2 of those before missing" in ingested(dated)
    assert rows(dated) == ["a,2026-01-01,1,,2026-01-21,Ada", "b,2026-01-01,1,0,,Ada"]
    assert ranked(dated) == ["b 2026-01-01"]


def test_a_file_of_outcomes_that_grows_reports_what_is_new(dated: Sandbox) -> None:
    put(dated, "a.csv", f"{DATED_HEADER}a,2026-01-01,1,,,Ada\nb,2026-01-01,1,,,Ada\n", 1)
    put(dated, "left.csv", "corporation,exited\na,1\n", 2)
    ingested(dated)
    put(dated, "c.csv", f"{DATED_HEADER}a,2026-01-31,1,,,Ada\n", 3)
    ingested(dated)
    assert ranked(dated) == ["a 2026-01-31", "b 2026-01-01"]  # a is back
    put(dated, "left.csv", "corporation,exited\na,1\nb,1\n", 4)
    assert "left.csv: 2 outcomes, 1 outcome changed" in ingested(dated)
    assert ranked(dated) == ["a 2026-01-31"]
    assert_rebuilt_alike(dated)


def test_taking_back_a_file_of_outcomes_takes_back_its_outcomes(dated: Sandbox) -> None:
    put(dated, "a.csv", f"{DATED_HEADER}a,2026-01-01,1,,,Ada\nb,2026-01-01,1,,,Ada\n", 1)
    put(dated, "left.csv", "corporation,exited,until\na,1,\nb,,2026-01-05\n", 2)
    ingested(dated)
    assert ranked(dated) == []
    (dated.root / "sourcedata/left.csv").unlink()
    ingested(dated, "--withdraw", "left.csv")
    assert rows(dated) == ["a,2026-01-01,1,,,Ada", "b,2026-01-01,1,,,Ada"]
    assert ranked(dated) == ["a 2026-01-01", "b 2026-01-01"]


def test_what_travels_is_as_the_latest_sighting_has_it(dated: Sandbox) -> None:
    put(dated, "a.csv", f'{DATED_HEADER}a,2026-01-01,1,,,Ada\nb,2026-01-01,1,0,,"Lind, A."\n', 1)
    ingested(dated)
    put(dated, "a.csv", f"{DATED_HEADER}a,2026-01-01,1,,,Bo\nb,2026-01-01,1,0,,\n", 2)
    said = ingested(dated)
    assert "a.csv: 0 new of 2 rows, 2 of those before missing" in said
    assert rows(dated) == ["a,2026-01-01,1,,,Bo", "b,2026-01-01,1,0,,"]
    # a late outcome is no sighting, and tells nothing of who is responsible now
    put(dated, "late.csv", f"{DATED_HEADER}a,2026-01-01,1,0,,Cy\n", 3)
    ingested(dated)
    assert rows(dated)[0] == "a,2026-01-01,1,0,,Bo"
    assert_rebuilt_alike(dated)


def test_rows_of_bad_days_and_of_days_to_come_are_set_aside(dated: Sandbox) -> None:
    dated.configure(format={"date": "%d.%m.%Y"})
    written = time.strftime("%d.%m.%Y", time.localtime(START + 86400))
    later = time.strftime("%d.%m.%Y", time.localtime(START + 2 * 86400))
    days = [written] * 30 + ["31.02.2026", later]
    lines = "".join(f"c{i},{day},1,,,\n" for i, day in enumerate(days))
    put(dated, "a.csv", DATED_HEADER + lines, 0)
    assert "a.csv: 30 new of 32 rows, 2 set aside" in ingested(dated)
    reasons = dated.config.rejectedrows_path.read_text()
    assert "day '31.02.2026' is not a date; expected one as %d.%m.%Y" in reasons
    assert f"day '{later}' is after the day on which the file was written" in reasons


LIST = "corporation,lastmonth_activity,lastyear_activity,number_of_employees\n"


def clients(*numbers: int) -> str:
    lines = [line.rsplit(",", 1)[0] for i in numbers for line in client_rows(i, 1)]
    return LIST + "".join(f"{line}\n" for line in lines)


def names(world: Sandbox) -> list[int]:
    return sorted(int(name[-5:]) for name in master(world).current()["corporation"])


def taught(world: Sandbox) -> dict[int, float]:
    frame = master(world).learned
    pairs = zip(frame["corporation"], frame["exited"], strict=True)
    return {int(name[-5:]): value for name, value in pairs if value == value}


@pytest.fixture
def listed(sandbox: Sandbox) -> Sandbox:
    sandbox.configure(input="snapshots", absent="left")
    return sandbox


def test_a_nightly_list_of_active_clients_needs_no_outcomes(listed: Sandbox) -> None:
    put(listed, "1.csv", clients(1, 2, 3, 4), 1)
    ingested(listed)
    put(listed, "2.csv", clients(1, 2, 3, 5), 2)
    ingested(listed)
    assert names(listed) == [1, 2, 3, 5]
    assert taught(listed) == {1: 0, 2: 0, 3: 0, 4: 1}  # of the newest list nothing is known yet
    put(listed, "3.csv", clients(1, 2, 4, 5), 3)
    ingested(listed)
    assert names(listed) == [1, 2, 4, 5]  # 4 is back
    assert taught(listed) == {1: 0, 2: 0, 3: 1, 4: 1, 5: 0}
    assert_same_lists(listed)


def test_a_list_written_over_the_last_one_is_the_next(listed: Sandbox) -> None:
    for day, numbers in enumerate([(1, 2, 3, 4), (1, 2, 3, 5), (1,), (1,)], 1):
        put(listed, "clients.csv", clients(*numbers), day)
        ingested(listed)
        assert names(listed) == [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 5], [1]][day - 1]
    assert taught(listed) == {1: 0, 2: 1, 3: 1, 4: 1, 5: 1}


def test_all_files_of_a_day_are_one_list(listed: Sandbox) -> None:
    for day in (1, 2):
        put(listed, f"north{day}.csv", clients(1, 2), day)
        put(listed, f"south{day}.csv", clients(3, 4), day)
    ingested(listed)
    put(listed, "south2.csv", clients(4, 5), 2)  # corrected on the same day
    put(listed, "left.csv", "corporation,exited\nclient00001,1\n", 3)  # no list
    ingested(listed)
    assert names(listed) == [2, 4, 5]


def assert_same_lists(world: Sandbox) -> None:
    before = rows(world), names(world), taught(world)
    ingested(world, "--rebuild")
    assert (rows(world), names(world), taught(world)) == before


def test_a_client_whose_line_could_not_be_read_is_still_on_the_list(listed: Sandbox) -> None:
    put(listed, "1.csv", clients(*range(1, 21)), 1)
    ingested(listed)
    bad = clients(*range(1, 21)).splitlines()
    bad[7] = bad[7].replace(",", ",n.a.", 1)
    put(listed, "2.csv", "\n".join([*bad, ""]), 2)
    assert "1 set aside" in ingested(listed)
    assert names(listed) == list(range(1, 21))
    put(listed, "3a.csv", clients(*range(1, 15)), 3)
    put(listed, "3b.csv", clients(*range(15, 21)).replace(",", ";"), 3)
    ingested(listed)
    assert names(listed) == list(range(1, 21))
    assert taught(listed) == dict.fromkeys(range(1, 21), 0)
    put(listed, "4.csv", clients(*range(1, 20)), 4)
    ingested(listed)
    assert names(listed) == list(range(1, 20))


def test_a_list_that_comes_in_parts_teaches_by_the_whole(listed: Sandbox) -> None:
    for name, day, numbers in [("1.csv", 1, 10), ("2.csv", 2, 6), ("2.csv", 2.1, 10)]:
        put(listed, name, clients(*range(numbers)), day)
        ingested(listed)
    assert taught(listed) == dict.fromkeys(range(10), 0)


def test_outcomes_wait_for_their_clients(listed: Sandbox) -> None:
    listed.configure(input=None, absent=None)
    put(listed, "left.csv", "corporation,exited\nclient00001,1\nclient00002,1\n", 1)
    put(listed, "1.csv", CLIENTS.format(*client_rows(1, 1, outcome="")), 2)
    said = ingested(listed)
    assert "left.csv: 2 outcomes, 1 outcome changed, 1 of unknown clients" in said
    assert names(listed) == []
    put(listed, "2.csv", CLIENTS.format(*client_rows(2, 1, outcome="")), 3)
    assert "left.csv: 2 outcomes, 1 outcome changed\n" in ingested(listed)
    assert names(listed) == []
    assert ingested(listed) == "nothing new in sourcedata\n"
    before = rows(listed)
    ingested(listed, "--rebuild")
    assert (rows(listed), names(listed)) == (before, [])


CLIENTS = f"{LIST.strip()},exited\n{{}}\n"


def test_columns_that_become_others_take_no_rows_away_unasked(listed: Sandbox) -> None:
    listed.configure(input=None, absent=None)
    lines = [CLIENTS.format(row) for row in client_rows(1, 2, outcome="")]
    put(listed, "1.csv", lines[0], 1)
    put(listed, "left.csv", "corporation,exited\nclient00001,1\n", 2)
    put(listed, "2.csv", lines[1], 3)
    ingested(listed)
    schema = {"client": "corporation", "outcome": "exited", "numeric": FEATURES}
    listed.configure(schema={**schema, "carry": ["manager"]})
    said = ingested(listed, "--rebuild")  # what travels may be lacking
    assert "1.csv lacks the column manager, which travels: it is empty" in said
    assert [row.split(",", 4)[4] for row in rows(listed)] == ["1,", ","]
    listed.configure(schema={**schema, "categorical": ["region"]})
    result = listed.run("ingestion", "--rebuild")
    assert (result.code, "2 rows of finaldata.csv" in result.err) == (1, True)
    assert len(rows(listed)) == 2


def test_a_file_whose_features_are_written_otherwise_has_no_outcomes_alone(dated: Sandbox) -> None:
    put(dated, "a.csv", "corporation,day,Act-ivity,exited,until,manager\na,2026-01-01,1,1,,\n", 1)
    result = dated.run("ingestion")
    assert (result.code, "a.csv: rejected: it lacks the column activity" in result.out) == (1, True)
