"""What a part may be called. The one place that says so: ids end up in URLs, file names and query parameters."""

from __future__ import annotations

import re

PATTERN = r"[A-Za-z0-9][A-Za-z0-9._~:@-]{0,127}"
_VALID = re.compile(PATTERN)


def valid_part_id(text: str) -> bool:
    """Whether text may name a part: 1 to 128 characters of PATTERN, without ".."."""
    return _VALID.fullmatch(text) is not None and ".." not in text
