"""The station of its own tests, here attacked."""

from __future__ import annotations

from tests.station.conftest import closed, start, station

__all__ = ["closed", "start", "station"]
