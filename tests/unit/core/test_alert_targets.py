"""Targets of alerts in config.json, and that no message about them shows an address."""

import pytest
from sandbox import Sandbox

from pipeline.core.connections import AlertRules, Target
from pipeline.core.errors import ConfigError


def test_a_target_is_called_as_its_variable_or_scheme_where_it_has_no_name(
    sandbox: Sandbox,
) -> None:
    addresses = ("$SLACK", "${TEAMS}", "mailto://u:p@example.org", "json://h")
    targets = [{"address": address, "events": ["failed"]} for address in addresses]
    targets[3] |= {"name": "crm", "digest": "daily"}
    sandbox.configure(
        alerts=targets, page_url="https://risk.example.org/", expect_files_every_days=7
    )

    rules = sandbox.config.alerts

    assert [target.name for target in rules.targets] == ["SLACK", "TEAMS", "mailto", "crm"]
    assert rules.targets[3] == Target("crm", "json://h", ("failed",), "daily")
    assert (rules.page_url, rules.files_days, rules.outcomes_days) == (
        "https://risk.example.org",
        7,
        None,
    )
    assert "u:p" not in repr(rules)
    assert sandbox.practice.alerts == AlertRules()


def test_what_is_wrong_is_told_at_once_without_an_address(sandbox: Sandbox) -> None:
    sandbox.configure(
        alerts=[
            {"address": "hidden words", "events": ["faild"], "digest": "hourly"},
            {"address": "$SLACK", "to": 1},
            {"address": "$SLACK", "events": ["failed"]},
        ],
        page_url="risk.example.org",
    )
    with pytest.raises(ConfigError) as error:
        _ = sandbox.config

    said = [line.split("config.json: ")[1] for line in str(error.value).splitlines()]
    assert said.pop(1).startswith('"alerts[0].events" names "faild"; known are failed, recovered')
    assert said == [
        '"alerts[0].address" must be SCHEME://…, or the name of a variable: $NAME',
        '"alerts[0].digest" must be one of "daily", "weekly", not "hourly"',
        '"alerts[1].to" is not a known key; known are address, events, digest, name',
        '"alerts[1].events" are none, and there is no "digest": name one of both',
        '"alerts[2].name" is "SLACK" a second time: give each target a name of its own',
        '"page_url" must be an http:// or https:// address or null, not "risk.example.org"',
    ]
    assert "hidden" not in str(error.value)

    sandbox.configure(alerts="json://hidden")
    with pytest.raises(ConfigError) as error:
        _ = sandbox.config
    assert '"alerts" must be a list of objects in braces' in str(error.value)
    assert "hidden" not in str(error.value)
