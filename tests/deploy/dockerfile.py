"""As much of a Dockerfile as deploy/Dockerfile needs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stage:
    """source: an image or an earlier stage. steps: (instruction, rest of the line), in order."""

    name: str
    source: str
    steps: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        return [rest for found, rest in self.steps if found == instruction]


def stages(file: Path) -> dict[str, Stage]:
    """{name: stage} of a file in which every stage has a name."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE))
    found: dict[str, Stage] = {}
    for block in re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]:
        first, *lines = [line for line in block.splitlines() if line.strip()]
        _, source, _, name = first.split()
        steps = tuple((line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip()) for line in lines)
        found[name] = Stage(name, source, steps)
    return found


def lineage(known: dict[str, Stage], name: str) -> list[Stage]:
    """The stage and what it is made from, the first one first."""
    stage = known[name]
    return [*(lineage(known, stage.source) if stage.source in known else []), stage]


def exec_form(rest: str) -> list[str]:
    """The words of CMD, ENTRYPOINT or a health check; fails for the form that a shell would read."""
    words = json.loads(rest[rest.index("[") :])
    assert isinstance(words, list)
    return [str(word) for word in words]
