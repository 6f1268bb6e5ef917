"""What the release gate said of a model, sealed behind the model's own bytes.

The passport is one more metadata entry at the very end of the file, where protobuf allows it: the bytes before it are the model,
untouched, and their digest stands in the passport. A changed byte, before or in it, breaks it. It proves that nothing was changed by
accident or carelessness, not who issued it: whoever can write the file can run the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final, Literal

import onnx
from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidInput

KEY: Final = "redrabbit.passport"
Verdict = Literal["pass", "refuse", "undecided"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Check(BaseModel):
    """One question of the gate. value and limit in the unit that `why` names; None where there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    value: float | None
    limit: float | None
    verdict: Verdict
    why: str


class Passport(BaseModel):
    """model, data: SHA-256 of the model's bytes and of the labelled pictures. at: seconds UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    model: Digest
    data: Digest
    at: float
    verdict: Verdict
    checks: Sequence[Check]


def held(name: str, value: float, limit: float, good: bool, why: str, otherwise: Verdict | None = None) -> Check:
    """A check that passes or refuses; `otherwise` in place of both."""
    verdict: Verdict = otherwise or ("pass" if good else "refuse")
    return Check(name=name, value=value, limit=limit, verdict=verdict, why=why)


def overall(checks: Sequence[Check]) -> Verdict:
    """One refusal refuses; else one that is undecided leaves it so."""
    found = {check.verdict for check in checks}
    return "refuse" if "refuse" in found else "undecided" if "undecided" in found else "pass"


def stamped(content: bytes, passport: Passport) -> bytes:
    """The model's file with this passport in place of any it had."""
    return bare(content) + _entry(passport.model_dump_json())


def bare(content: bytes) -> bytes:
    """The model's own bytes, without a passport."""
    found = _found(content)
    return content if found is None else content[: -len(_entry(found))]


def digest(content: bytes) -> str:
    """SHA-256 of the model's own bytes: the same before and after the gate."""
    return sha256(bare(content)).hexdigest()


def passport(content: bytes, where: str) -> Passport | None:
    """The passport of a file's bytes; None where it has none. Raises InvalidInput where one is there and broken."""
    said = _found(content)
    if said is None:
        if KEY.encode() in content[-(1 << 20) :]:
            raise InvalidInput(f"{where}: its passport is broken; expected the file as `redrabbit gate` wrote it")
        return None
    try:
        body, seal = said.rsplit("\n", 1)
        found = Passport.model_validate_json(body)
    except (ValueError, ValidationError) as error:
        raise InvalidInput(
            f"{where}: its passport is broken; expected the file as `redrabbit gate` wrote it"
        ) from error
    if found.model != digest(content) or seal != _seal(body):
        raise InvalidInput(f"{where}: was changed after the gate looked at it; run `redrabbit gate` again")
    return found


def refusal(content: bytes) -> str | None:
    """Why a model may not judge parts, by its file's bytes; None where it may."""
    try:
        found = passport(content, "")
    except InvalidInput as error:
        return str(error).removeprefix(": ")
    if found is None:
        return "has not passed the gate; expected `redrabbit gate` to have said so"
    if found.verdict != "pass":
        first = next((check for check in found.checks if check.verdict == found.verdict), None)
        said = "the gate refused it" if found.verdict == "refuse" else "the gate could not decide"
        return f"{said}: {first.name}: {first.why}" if first else said
    return None


def _seal(body: str) -> str:
    return sha256(body.encode()).hexdigest()


def _entry(said: str) -> bytes:
    """A ModelProto of nothing but the passport: bytes that may stand behind any other."""
    body = said if "\n" in said else f"{said}\n{_seal(said)}"
    entry = onnx.StringStringEntryProto(key=KEY, value=body)
    content: bytes = onnx.ModelProto(metadata_props=[entry]).SerializeToString()
    return content


def _found(content: bytes) -> str | None:
    """What the passport at the end of the file says, with its seal."""
    at = content.rfind(KEY.encode())
    if at < 0:
        return None
    for before in range(2, 16):  # tags and lengths of the entry and of its key
        tail = content[at - before :] if at >= before else b""
        try:
            model = onnx.ModelProto.FromString(tail)
        except DecodeError:
            continue
        said = model.metadata_props[0].value if len(model.metadata_props) == 1 else None
        if isinstance(said, str) and _entry(said) == tail:  # bytes, where they are no text
            return said
    return None
