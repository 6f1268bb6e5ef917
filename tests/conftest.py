"""Fixtures that several folders of tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.postgres import Postgres, running
from tests.servers import Stack, program, stack


@pytest.fixture
def prometheus_stack(tmp_path: Path) -> Iterator[Callable[[Mapping[str, Sequence[str]]], Stack]]:
    """Starts Prometheus, Alertmanager and a receiver over the given targets ({job: [HOST:PORT]}); ends them with the test."""
    with ExitStack() as opened:
        yield lambda targets: opened.enter_context(stack(tmp_path / "servers", targets))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; each test takes a database of its own."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, which asks nobody for anything by itself."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def person(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Somebody with a browser of his own: `person(base_url=…, viewport={"width": …, "height": …})`."""
    with ExitStack() as opened:

        def starting(**options: Any) -> BrowserContext:
            context = chromium.new_context(**options)
            opened.callback(context.close)
            return context

        yield starting
