"""YAML from outside, read strictly: no aliases, no double keys, no objects; errors name file and line."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from service.errors import InvalidInput

MAX_CHARACTERS = 1_000_000
LONGEST_NUMBER = 64
"""Characters. `1:00:00…` is a number to the base of 60, and a long one takes minutes."""


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _StrictLoader(yaml.SafeLoader):
    """A double key would silently drop a threshold; an alias lets a short file unfold to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """PyYAML falls over `!!int ""` and `!!bool maybe` with an error of its own making, each another one."""
        if node.tag in _NUMBERS and len(str(node.value)) > LONGEST_NUMBER:
            raise yaml.MarkedYAMLError(problem="a number of too many digits", problem_mark=node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2]
            problem = f"{shorten(repr(node.value), 80)} is not readable as {kind}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {shorten(repr(key), 80)} stands here twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_mapping(text: str, source: str) -> dict[str, Any]:
    """The top mapping of a YAML text. Raises InvalidInput naming source and line."""
    content = parse_value(text, source)
    if not isinstance(content, dict):
        found = "an empty file" if content is None else shorten(repr(content), 80)
        raise InvalidInput(f"{source}: expected keys with values at the top, found {found}")
    return content


def parse_value(text: str, source: str) -> Any:
    """Whatever a YAML text says. Raises InvalidInput naming source and line."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(f"{source}: {len(text)} characters; expected at most {MAX_CHARACTERS}")
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, made stricter
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidInput(f"{source}{line}: {shorten(str(error.problem), 200)}") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{source}: not readable as YAML: {shorten(str(error), 200)}") from error


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], content: object, source: str) -> Model:
    """`content` as `model`; InvalidInput names the file, the first bad key, its value and what was expected."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ": ".join([source, *([shorten(".".join(map(str, first["loc"])), 120)] if first["loc"] else [])])
        if first["type"] == "extra_forbidden":
            raise InvalidInput(f"{where}: unknown key; known here: {_known_keys(model, first['loc'])}") from error
        says_it = first["type"] == "missing" or isinstance(
            first["input"], dict
        )  # a whole section: the message has the value
        value = "" if says_it else f" (found {shorten(repr(first['input']), 80)})"
        expected = shorten(first["msg"].removeprefix("Value error, "), 300)
        raise InvalidInput(f"{where}: {expected}{value}") from error


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Names of the fields beside the unknown one, as far as the path can be followed through plain models."""
    here: Any = model
    for step in location[:-1]:
        field = getattr(here, "model_fields", {}).get(step)
        candidates = [field.annotation, *get_args(field.annotation)] if field else [here, *get_args(here)]
        here = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), here)
    return ", ".join(sorted(getattr(here, "model_fields", {}))) or "none"


def shorten(text: str, limit: int) -> str:
    """`text` on one line, cut at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
