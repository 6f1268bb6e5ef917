"""Every call of the station's API, as it describes itself, by every role and by nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.station.conftest import Station

ROLES = ("scrape", "inspector", "engineer", "admin")
EXAMPLES = 8


def test_every_call_keeps_its_word(start: Callable[..., Station]) -> None:
    """All of schemathesis' checks, by every role, by a token of another line and by nobody: no fault of ours, the statuses and types that
    are described, bad input refused. Not that good input is accepted: which words are classes and which leases are there, the ledger knows and no schema does."""
    station = start(open_on_loopback=False)
    for number in range(5):
        station.part(f"p-{number}")
    secrets = [None, *(station.token(f"{role}-token", role) for role in ROLES), station.token("else", "admin", "else")]
    schema = schemathesis.openapi.from_url(f"{station.base}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @seed(1)
        @given(operation.as_strategy())
        def kept(case: Any) -> None:
            for secret in secrets:
                case.call_and_validate(
                    headers={"Authorization": f"Bearer {secret}"} if secret else {},
                    timeout=20,
                    excluded_checks=[positive_data_acceptance],
                )

        kept()
