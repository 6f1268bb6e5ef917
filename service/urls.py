"""URLs as they may be shown. Cameras, releases and stores are named by one, and some carry a password."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlencode

_SECRET = re.compile(r"pass|pwd|secret|token|key|auth", re.IGNORECASE)
_NAMES_A_FILE = re.compile(r"file$", re.IGNORECASE)


def redacted(url: SplitResult) -> str:
    """The URL without passwords, whether before the host or in an option: fit for logs and errors."""
    netloc = url.netloc
    if "@" in netloc:
        login, _, host = netloc.rpartition("@")
        netloc = f"{login.partition(':')[0]}:***@{host}"
    query = url.query
    pairs = parse_qsl(query, keep_blank_values=True)
    if any(hides(name) for name, _ in pairs):
        query = urlencode([(name, "***" if hides(name) else value) for name, value in pairs], safe="*/:")
    return f"{url.scheme}://{netloc}{url.path}{'?' if query else ''}{query}"


def hides(name: str) -> bool:
    """Whether an option of this name carries a secret, rather than the name of a file that does."""
    return _SECRET.search(name) is not None and _NAMES_A_FILE.search(name) is None
