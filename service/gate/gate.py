"""`redrabbit gate`: every check, the verdict, and the passport that the model carries from then on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.errors import InvalidInput
from service.gate import accuracy, behaviour, leaks
from service.gate.case import Case
from service.model.contract import read_bytes
from service.model.passport import Check, Passport, digest, overall, stamped


def checks(case: Case) -> Iterator[Check]:
    """One after the other, as each is found. Raises InvalidInput for pictures that are none."""
    for subject in (accuracy, leaks, behaviour):
        yield from subject.checks(case)


def unusable(model: Path, error: InvalidInput) -> Check:
    """The one check of a file that cannot be run at all."""
    return Check(name="file", value=None, limit=None, verdict="refuse", why=str(error).removeprefix(f"{model}: "))


def stamp(model: Path, data: str, at: float, found: Sequence[Check]) -> Passport:
    """Writes the passport into the file, whole or not at all. data: its digest."""
    content = read_bytes(model)
    issued = Passport(model=digest(content), data=data, at=at, verdict=overall(found), checks=found)
    handle, unfinished = tempfile.mkstemp(dir=model.parent, prefix=f".{model.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(stamped(content, issued))
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).chmod(model.stat().st_mode & 0o777)
        Path(unfinished).replace(model)
    except OSError as error:
        Path(unfinished).unlink(missing_ok=True)
        raise InvalidInput(f"{model}: the passport cannot be written: {error.strerror}") from error
    return issued
