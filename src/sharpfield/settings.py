"""The machinery of a configuration tree: nested frozen dataclasses as files, options and help.

A configuration class documents each field with a string under it. Fields are ``bool``, ``int``,
``float``, ``str``, ``Path``, ``Literal``, ``tuple`` of those, ``| None`` of those, or another
such dataclass; ``Annotated`` with a ``Range``, numbers keep to it. Errors of the user are
``InputError``; another field type is a ``TypeError``.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from sharpfield.errors import InputError
from sharpfield.files import JSON, to_json

ConfigT = TypeVar("ConfigT")


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that a field may have, as in ``Annotated[int, Range(at_least=1)]``."""

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.at_least <= value <= self.at_most and self.above < value < self.below

    def __str__(self) -> str:
        bounds = dataclasses.asdict(self).items()
        known = [f"{name} {bound:g}" for name, bound in bounds if math.isfinite(bound)]
        return " and ".join(known).replace("_", " ")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One leaf of a configuration tree.

    ``type`` reads as in the source (``int``, ``float | None``, ``fast | default``); ``default``
    is ``dataclasses.MISSING`` for a field that has none.
    """

    key: str
    type: str
    default: object
    doc: str


def to_dict(config: object) -> dict[str, JSON]:
    """The tree as nested dictionaries of plain types, as ``config.yaml`` holds it."""
    fields = dataclasses.fields(typing.cast(Any, config))
    values = {field.name: getattr(config, field.name) for field in fields}
    return {
        name: to_dict(value) if dataclasses.is_dataclass(value) else to_json(value)
        for name, value in values.items()
    }


def from_dict(cls: type[ConfigT], data: Mapping[str, object], prefix: str = "") -> ConfigT:
    """The tree that ``to_dict`` wrote; absent keys take their defaults.

    Integers are accepted for floats, and lists for tuples. Raises ``InputError`` for an unknown
    key, naming the nearest one, for a missing key without default, and for a value of the wrong
    type.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    for name in data:
        if name not in fields:
            raise _unknown(f"{prefix}{name}", [f"{prefix}{known}" for known in fields])
    values = {name: _convert(hints[name], value, f"{prefix}{name}") for name, value in data.items()}
    for name, field in fields.items():
        if name not in values and _default(field) is dataclasses.MISSING:
            spelled = _spell(hints[name])
            raise InputError(f"setting {prefix}{name}: missing; give a value of type {spelled}")
    return cls(**values)


def with_overrides(config: ConfigT, assignments: Sequence[str]) -> ConfigT:
    """A copy with values replaced by assignments such as ``blur.motions=16``, left to right.

    Values are read by the type of their field: ``true``/``false``, numbers (``1e-3``), plain
    text, ``none`` where allowed, and commas between the items of a tuple. Raises ``InputError``
    as ``from_dict`` does.
    """
    cls = type(config)
    hints = dict(_leaves(cls))
    tree = to_dict(config)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals:
            raise InputError(f"--set {assignment}: no value; write it as KEY=VALUE")
        if key not in hints:
            raise _unknown(key, list(hints))
        branch: dict[str, Any] = tree
        *parents, name = key.split(".")
        for parent in parents:
            if branch[parent] is None:
                branch[parent] = {}
            branch = branch[parent]
        branch[name] = to_json(_parse(hints[key], text.strip(), key))
    return from_dict(cls, tree)


def describe(cls: type) -> tuple[Setting, ...]:
    """Every leaf of the tree in the order of the source, with the text under each field."""
    return tuple(_describe(cls, "", None))


def _describe(cls: type, prefix: str, instance: object) -> Iterator[Setting]:
    hints, docs = typing.get_type_hints(cls, include_extras=True), _docs(cls)
    for field in dataclasses.fields(cls):
        default = getattr(instance, field.name) if instance is not None else _default(field)
        inner = _section(hints[field.name])
        if inner is None:
            spelled = _spell(hints[field.name])
            yield Setting(f"{prefix}{field.name}", spelled, default, docs.get(field.name, ""))
        else:
            known = default if dataclasses.is_dataclass(default) else None
            yield from _describe(inner, f"{prefix}{field.name}.", known)


def _docs(cls: type) -> dict[str, str]:
    """The string literals under the fields, joined to one line each; base classes included."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, body.body[1:], strict=False):
            match statement, following:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    docs[name] = " ".join(text.split())
    return docs


def _leaves(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        inner = _section(hint)
        if inner is None:
            yield f"{prefix}{name}", hint
        else:
            yield from _leaves(inner, f"{prefix}{name}.")


def _convert(hint: Any, value: object, key: str) -> Any:
    """``value`` of a file as the type of its field, or ``InputError``."""
    if typing.get_origin(hint) is Annotated:
        kind, *ranges = typing.get_args(hint)
        number = _convert(kind, value, key)
        for allowed in ranges:
            if number not in allowed:
                raise InputError(f"setting {key}: {number} is out of range; give {allowed}")
        return number
    if _is_optional(hint):
        return None if value is None else _convert(_without_none(hint), value, key)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return from_dict(typing.cast(type, hint), value, f"{key}.")
        raise InputError(f"setting {key}: {value!r} is not a group of settings")
    if typing.get_origin(hint) is tuple:
        if isinstance(value, list | tuple):
            items = _item_hints(hint, len(value))
            if items is not None:
                pairs = zip(items, value, strict=True)
                return tuple(_convert(item, part, key) for item, part in pairs)
    elif typing.get_origin(hint) is Literal:
        if any(value == choice and type(value) is type(choice) for choice in hint.__args__):
            return value
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif hint is Path:
        if isinstance(value, str):
            return Path(value)
    elif hint in (bool, int, str):
        if type(value) is hint:
            return value
    else:
        raise TypeError(f"setting {key}: a field cannot have the type {hint}")
    raise InputError(f"setting {key}: {value!r} is not {_spell(hint)}; give a value of that type")


def _parse(hint: Any, text: str, key: str) -> Any:
    """``text`` of the command line as the type of its field, or ``InputError``."""
    if _is_optional(hint):
        return None if text.lower() == "none" else _parse(_without_none(hint), text, key)
    if typing.get_origin(hint) is Annotated:
        return _convert(hint, _parse(typing.get_args(hint)[0], text, key), key)
    value: object = text
    if typing.get_origin(hint) is tuple:
        parts = [part.strip() for part in text.strip("[]()").split(",") if part.strip()]
        items = _item_hints(hint, len(parts))
        if items is not None:
            pairs = zip(items, parts, strict=True)
            return tuple(_parse(item, part, key) for item, part in pairs)
    elif typing.get_origin(hint) is Literal:
        value = next((choice for choice in hint.__args__ if str(choice) == text), text)
    elif hint is bool:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif hint in (int, float):
        value = _number(hint, text)
    return _convert(hint, value, key)


def _number(kind: type[int] | type[float], text: str) -> object:
    """``text`` itself where it is no number of this kind, or not finite: files cannot hold it."""
    try:
        number = kind(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _unknown(key: str, known: list[str]) -> InputError:
    """Also finds ``blur.motions`` for a bare ``motions``."""
    by_name = {name.rpartition(".")[2]: name for name in reversed(known)}
    last = key.rpartition(".")[2]
    inside = [name for name in known if name.startswith(f"{key}.")]
    if inside:
        return InputError(f"setting {key}: a group of settings; set one of them, as in {inside[0]}")
    near = (
        difflib.get_close_matches(key, known, n=1, cutoff=0.75)
        or [by_name[name] for name in difflib.get_close_matches(last, by_name, n=1, cutoff=0.75)]
        or difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    )
    return InputError(f"setting {key}: no such setting; the nearest is {near[0]}")


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _section(hint: Any) -> type | None:
    """The dataclass of a nested group, None for a leaf."""
    inner = _without_none(hint) if _is_optional(hint) else hint
    return inner if dataclasses.is_dataclass(inner) and isinstance(inner, type) else None


def _is_optional(hint: Any) -> bool:
    is_union = typing.get_origin(hint) in (Union, types.UnionType)
    return is_union and type(None) in typing.get_args(hint)


def _without_none(hint: Any) -> Any:
    rest = [part for part in typing.get_args(hint) if part is not type(None)]
    return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007


def _item_hints(hint: Any, count: int) -> tuple[Any, ...] | None:
    """The type of each of ``count`` tuple items; None when the tuple has another length."""
    args = typing.get_args(hint)
    if len(args) == 2 and args[1] is Ellipsis:
        return (args[0],) * count
    return args if len(args) == count else None


def _spell(hint: Any) -> str:
    if _is_optional(hint):
        return f"{_spell(_without_none(hint))} | None"
    if typing.get_origin(hint) is Literal:
        return " | ".join(str(choice) for choice in hint.__args__)
    if typing.get_origin(hint) is tuple:
        items = ("..." if item is Ellipsis else _spell(item) for item in hint.__args__)
        return f"tuple[{', '.join(items)}]"
    if typing.get_origin(hint) is Annotated:
        kind, *ranges = typing.get_args(hint)
        return ", ".join([_spell(kind), *map(str, ranges)])
    return str(getattr(hint, "__name__", hint))
