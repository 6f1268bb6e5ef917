"""Fixtures that several folders of tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import Stack, stack


@pytest.fixture
def prometheus_stack(tmp_path: Path) -> Iterator[Callable[[Mapping[str, Sequence[str]]], Stack]]:
    """Starts Prometheus, Alertmanager and a receiver over the given targets ({job: [HOST:PORT]}); ends them with the test."""
    with ExitStack() as opened:
        yield lambda targets: opened.enter_context(stack(tmp_path / "servers", targets))
