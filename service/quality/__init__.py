"""The heart: how recall is measured and when it pages. Pure functions of what the ledger holds."""

from service.quality.draw import drawn, weights
from service.quality.evidence import Evidence
from service.quality.recall import estimate
from service.records import Estimate

__all__ = ["Estimate", "Evidence", "drawn", "estimate", "weights"]
