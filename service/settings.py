"""line.yaml and the environment -> Settings: the only reader of either.

Paths in the file are relative to the file. An environment variable REDRABBIT_<KEY> (upper case, __ between levels, such
as REDRABBIT_STATION__LISTEN) overrides one key; secrets are named by file and never written into either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.errors import InvalidInput
from service.records import FailSafe
from service.thresholds import Seconds
from service.yamltext import parse_mapping, parse_value, validated

PREFIX = "REDRABBIT_"
WHICH_FILE = "REDRABBIT_CONFIG"
"""Names line.yaml itself, for the commands: no key of it."""
_SIZES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$"


def _bytes(value: object) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(kB|MB|GB|TB)", value.strip()) if isinstance(value, str) else None
    size = float(match[1]) * _SIZES[match[2]] if match else -1.0
    if not 0 <= size < 2**63:
        raise ValueError("expected a size with its unit, such as 500MB or 2GB")
    return int(size)


def address(value: object) -> str:
    """HOST:PORT as it stands. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}", value):
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:8080")
    if int(value.rpartition(":")[2]) > 65535:
        raise ValueError("expected a port of at most 65535")
    return value


Bytes = Annotated[int, BeforeValidator(_bytes)]
Address = Annotated[str, BeforeValidator(address)]
Name = Annotated[str, Field(pattern=_NAME)]
RecipeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,30}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Images(_Section):
    """folder: where pictures are kept by digest. ring: how much of the passed parts' pictures is remembered. store: URL of a store that
    machines share; kept pictures go on there, and "" keeps them in the folder."""

    folder: Path = Path("var/images")
    store: str = ""
    ring: Bytes = 2 * 10**9


class Batch(_Section):
    """A batch forms at `size` frames or `wait` after its first, whichever comes first."""

    size: Annotated[int, Field(ge=1, le=1024)] = 16
    wait: Seconds = 0.02


class Station(_Section):
    """open_on_loopback: everybody on this machine may do everything. For trying out only. tls_certificate, tls_key: PEM files, both or
    neither; the certificate with those between it and its root."""

    listen: Address = "127.0.0.1:8080"
    open_on_loopback: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None


class Parts(_Section):
    """Where it stands in line.yaml, a part that nobody judged is a record. wait: from the first sign that its picture is missing until it
    counts as missing. missing: what becomes of it."""

    wait: Annotated[Seconds, Field(gt=0.0, le=60.0)] = 0.5
    missing: FailSafe = FailSafe.REJECT


class Metrics(_Section):
    """Where each process serves its own /metrics; the station's stand on its own port."""

    exporter: Address = "127.0.0.1:9108"
    worker: Address = "127.0.0.1:9109"
    camera: Address = "127.0.0.1:9110"


class Recipe(_Section):
    """What is another for one product; what is left out is the line's own. number: by which the line's controls ask for it. cameras: URLs in
    place of the line's, by name."""

    product: str = ""
    number: Annotated[int, Field(ge=1, le=65535)] | None = None
    model: Path | None = None
    cameras: Mapping[Name, str] = {}


class Settings(_Section):
    """One line on one machine. Several lines share a ledger by naming the same one. recipe: the one to begin with, before anybody has ordered
    another; each is a line of its own in the ledger, LINE:RECIPE, so that all that is known of a line is known of it."""

    line: Name
    model: Path
    cameras: Annotated[Mapping[Name, str], Field(min_length=1)]
    ledger: str = "sqlite:///var/redrabbit.db"
    thresholds: Path = Path("thresholds.yaml")
    audit_key: Path = Path("var/audit.key")
    models: Path = Path("var/models")
    allow_ungated: bool = False
    providers: Annotated[tuple[str, ...], Field(min_length=1)] = ("CPUExecutionProvider",)
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    images: Images = Images()
    publish: str = ""
    batch: Batch = Batch()
    releases: tuple[str, ...] = ()
    parts: Parts | None = None
    station: Station = Station()
    metrics: Metrics = Metrics()
    recipes: Mapping[RecipeName, Recipe] = {}
    recipe: str = ""

    @model_validator(mode="after")
    def _recipes_fit(self) -> Settings:
        if not self.recipes:
            if self.recipe:
                raise ValueError(f"recipe: {self.recipe}: expected recipes, one of that name among them")
            return self
        there = ", ".join(self.recipes)
        if self.recipe not in self.recipes:
            raise ValueError(f"recipe: expected the one to begin with, of {there}; found {self.recipe or 'none'}")
        numbers = [one.number for one in self.recipes.values() if one.number is not None]
        if len(numbers) > len({*numbers}):
            raise ValueError("recipes: two have the same number; expected each once")
        for name, one in self.recipes.items():
            if strange := [*one.cameras.keys() - self.cameras.keys()]:
                raise ValueError(
                    f"recipes: {name}: cameras: no camera {strange[0]}; expected one of {', '.join(self.cameras)}"
                )
            for url in (*self.cameras.values(), *one.cameras.values()):
                if url.partition(":")[0] in ("nats", "tls"):
                    raise ValueError("recipes: frames over NATS carry no recipe; expected cameras of this machine")
            if not re.match(_NAME, f"{self.line}:{name}"):
                raise ValueError(
                    f"recipes: {self.line}:{name} is too long for a line's name; expected at most 63 letters"
                )
        return self

    def under(self, recipe: str) -> Settings:
        """The line as it is under this recipe, as a line of its own without any."""
        one = self.recipes[recipe]
        update = {
            "line": f"{self.line}:{recipe}",
            "model": one.model or self.model,
            "cameras": {**self.cameras, **one.cameras},
            "recipes": {},
            "recipe": "",
        }
        return self.model_copy(update=update)


def load(path: Path, environment: Mapping[str, str]) -> Settings:
    """Reads line.yaml, lays the environment over it, resolves paths. Raises InvalidInput naming file, key and value."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 text") from error
    content = parse_mapping(text, str(path))
    for name in sorted(environment):
        if name.startswith(PREFIX) and name != WHICH_FILE:
            _override(content, name, environment[name])
    return _anchored(validated(Settings, content, str(path)), path.resolve().parent)


def _override(content: dict[str, Any], name: str, text: str) -> None:
    *above, key = name.removeprefix(PREFIX).lower().split("__")
    here = content
    for level in above:
        here = here.setdefault(level, {})
        if not isinstance(here, dict):
            raise InvalidInput(f"environment variable {name}: {level} has no keys below it")
    here[key] = parse_value(text, f"environment variable {name}")


def _anchored(settings: Settings, folder: Path) -> Settings:
    images = settings.images.model_copy(update={"folder": folder / settings.images.folder})
    update: dict[str, Any] = {
        key: folder / getattr(settings, key) for key in ("model", "models", "thresholds", "audit_key")
    }
    files = {key: folder / file for key in ("tls_certificate", "tls_key") if (file := getattr(settings.station, key))}
    update["station"] = settings.station.model_copy(update=files)
    update["recipes"] = {
        name: one.model_copy(update={"model": one.model and folder / one.model})
        for name, one in settings.recipes.items()
    }
    ledger = settings.ledger
    if ledger.startswith("sqlite:///") and not ledger.startswith("sqlite:////"):
        ledger = f"sqlite:///{quote(str(folder / ledger.removeprefix('sqlite:///')))}"
    return settings.model_copy(update={**update, "images": images, "ledger": ledger})
