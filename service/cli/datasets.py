"""`dataset://elpv?…` URLs: what the demo's line produces, read from and written to line.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlencode

from service.cameras.dataset import Dataset
from service.demo.parts import Fault, Production
from service.errors import InvalidInput
from service.ports import Clock, Meter

GOOD, DEFECTIVE = "good", "defective"


@dataclass(frozen=True, slots=True)
class Options:
    """rate: parts a second. prevalence: share of truly defective parts. parts: None is without end.

    uncertain: also those pictures on which the people who labelled the data set did not agree.
    """

    prevalence: float = 0.05
    seed: int = 1
    rate: float = 20.0
    parts: int | None = None
    faults: tuple[str, ...] = ()
    uncertain: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 100_000:
            raise InvalidInput(f"rate {self.rate:g}: expected parts a second, above 0")
        if self.parts is not None and self.parts < 1:
            raise InvalidInput(f"parts {self.parts}: expected at least 1")

    @property
    def url(self) -> str:
        """The camera URL that says the same."""
        rest = {"parts": self.parts} if self.parts is not None else {}
        fixed = {"prevalence": self.prevalence, "seed": self.seed, "rate": self.rate, "uncertain": int(self.uncertain)}
        query = [*fixed.items(), *rest.items(), *(("fault", fault) for fault in self.faults)]
        return f"dataset://elpv?{urlencode(query, safe='@')}"

    def production(self) -> Production:
        """The parts themselves. Raises InvalidInput, also where the data set is not installed."""
        from service.faults import FAULTS, damage
        from service.model.elpv import heldout

        faults = [Fault.parse(fault, FAULTS) for fault in self.faults]
        cells = heldout(certain_only=not self.uncertain)
        return Production(cells, self.seed, self.prevalence, faults, damage, (GOOD, DEFECTIVE))


def parse(url: SplitResult, camera: str) -> Options:
    """Raises InvalidInput, one line that names the camera."""
    kinds: Mapping[str, Callable[[str], object]] = {
        "prevalence": float,
        "seed": int,
        "rate": float,
        "parts": int,
        "uncertain": lambda text: bool(int(text)),
    }
    if url.netloc != "elpv" or url.path not in ("", "/"):
        raise InvalidInput(f"camera {camera}: {url.geturl()}: expected dataset://elpv, the one data set there is")
    given: dict[str, object] = {}
    faults = []
    for key, text in parse_qsl(url.query, keep_blank_values=True):
        if key == "fault":
            faults.append(text)
        elif key not in kinds:
            raise InvalidInput(f"camera {camera}: option {key!r}: expected one of {', '.join(kinds)}, fault")
        else:
            try:
                given[key] = kinds[key](text)
            except ValueError as error:
                raise InvalidInput(f"camera {camera}: option {key}: {text!r} is no number") from error
    return Options(**given, faults=tuple(faults))  # type: ignore[arg-type]


def play(
    url: SplitResult,
    line: str,
    name: str,
    meter: Meter,
    clock: Clock,
    known: Callable[[Sequence[str]], Mapping[str, float]],
) -> Dataset:
    """The camera behind a dataset:// URL."""
    options = parse(url, name)
    return Dataset(options.production(), line, name, meter, clock, known, options.rate, options.parts)
