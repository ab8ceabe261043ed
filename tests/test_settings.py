from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml

from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.presets import PRESETS, preset
from sharpfield.settings import Range, Setting, describe, from_dict, to_dict, with_overrides


@dataclass(frozen=True)
class Mask:
    width: int = 16
    """Channels of
    the first layer."""
    anneal: tuple[float, float] = (0.1, 0.5)


@dataclass(frozen=True)
class Blur:
    kind: Literal["none", "rigid"] = "none"
    """Which blur model."""
    motions: int = 4
    mask: Mask | None = None


@dataclass(frozen=True)
class Tree:
    name: str
    """What to call it."""
    rate: Annotated[float, Range(above=0.0, at_most=1.0)] = 1e-2
    budget: float | None = None
    levels: tuple[int, ...] = (1, 2)
    fast: bool = False
    cache: Path = Path("cache")
    blur: Blur = field(default_factory=lambda: Blur(motions=7))
    """Not a leaf."""


TREE = Tree("toy", rate=1e-5, budget=2.5, levels=(3,), blur=Blur("rigid", 9, Mask(8, (0.0, 1.0))))


@pytest.mark.parametrize("tree", [TREE, Tree("toy")])
def test_a_file_gives_back_the_tree(tree: Tree) -> None:
    text = yaml.safe_dump(to_dict(tree), sort_keys=False)
    assert from_dict(Tree, yaml.safe_load(text)) == tree


@pytest.mark.parametrize("value", ["0", "-0.5", "1.01"])
def test_numbers_keep_to_their_range(value: str) -> None:
    said = f"setting rate: {float(value)} is out of range; give above 0 and at most 1"
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        with_overrides(TREE, [f"rate={value}"])
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        from_dict(Tree, {"name": "toy", "rate": float(value)})
    assert with_overrides(TREE, ["rate=1"]).rate == 1.0


@pytest.mark.parametrize("name", PRESETS)
def test_all_numbers_of_a_run_have_a_range_and_presets_keep_to_them(name: str) -> None:
    for setting in describe(Config):
        assert setting.type not in ("int", "float"), setting.key
    config = preset(name)
    assert from_dict(Config, to_dict(config)) == config


def test_absent_keys_take_their_defaults() -> None:
    assert from_dict(Tree, {"name": "toy", "blur": {"kind": "rigid"}}) == Tree(
        "toy", blur=Blur("rigid", 4)
    )
    with pytest.raises(InputError, match="setting name: missing"):
        from_dict(Tree, {})


def test_integers_serve_as_floats() -> None:
    rate = from_dict(Tree, {"name": "toy", "rate": 1}).rate
    assert rate == 1.0 and isinstance(rate, float)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"nam": "x"}, "setting nam: no such setting; the nearest is name"),
        ({"blur": {"motion": 3}}, "setting blur.motion: no such setting; .* blur.motions"),
        ({"blur": {"mask": {"widht": 3}}}, "the nearest is blur.mask.width"),
        ({"rate": "fast"}, "setting rate: 'fast' is not float"),
        ({"rate": True}, "setting rate: True is not float"),
        ({"blur": {"motions": 3.0}}, "setting blur.motions: 3.0 is not int"),
        ({"blur": {"motions": True}}, "setting blur.motions: True is not int"),
        ({"blur": {"motions": None}}, "setting blur.motions: None is not int"),
        ({"blur": {"kind": "dsk"}}, "setting blur.kind: 'dsk' is not none | rigid"),
        ({"blur": 3}, "setting blur: 3 is not a group"),
        ({"levels": [1, "x"]}, "setting levels: 'x' is not int"),
        ({"levels": 1}, r"setting levels: 1 is not tuple\[int, ...\]"),
        ({"blur": {"mask": {"anneal": [1.0]}}}, r"anneal: \[1.0\] is not tuple\[float, float\]"),
        ({"fast": 1}, "setting fast: 1 is not bool"),
        ({"cache": 1}, "setting cache: 1 is not Path"),
    ],
)
def test_wrong_keys_and_values_are_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        from_dict(Tree, {"name": "toy"} | data)
    assert "\n" not in str(caught.value)


def test_overrides_are_read_by_the_type_of_their_field() -> None:
    changed = with_overrides(
        Tree("toy"),
        [
            "name=12",
            "rate=1e-3",
            "budget = 90",
            "levels=[4, 5,6]",
            "fast=TRUE",
            "cache=/tmp/a=b",
            "blur.kind=rigid",
            "blur.motions=3",
            "blur.motions=16",
            "blur.mask.anneal=0.25,1",
        ],
    )
    assert changed == Tree(
        "12",
        0.001,
        90.0,
        (4, 5, 6),
        True,
        Path("/tmp/a=b"),
        Blur("rigid", 16, Mask(16, (0.25, 1.0))),
    )
    assert with_overrides(changed, ["budget=none"]).budget is None
    assert with_overrides(TREE, []) == TREE


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("rate", "--set rate: no value; write it as KEY=VALUE"),
        ("motions=3", "the nearest is blur.motions"),
        ("blur=rigid", "setting blur: a group of settings; set one of them, as in blur.kind"),
        ("zzz=1", "setting zzz: no such setting"),
        ("blur.motions=many", "setting blur.motions: 'many' is not int"),
        ("blur.motions=4.5", "setting blur.motions: '4.5' is not int"),
        ("blur.kind=fast", "setting blur.kind: 'fast' is not none | rigid"),
        ("fast=yes", "setting fast: 'yes' is not bool"),
        ("levels=1,x", "setting levels: 'x' is not int"),
        ("rate=inf", "setting rate: 'inf' is not float"),
        ("rate=none", "setting rate: 'none' is not float"),
    ],
)
def test_wrong_overrides_are_named(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_overrides(Tree("toy"), [assignment])


def test_describe_lists_every_leaf_with_its_text() -> None:
    assert describe(Tree) == (
        Setting("name", "str", dataclasses.MISSING, "What to call it."),
        Setting("rate", "float, above 0 and at most 1", 1e-2, ""),
        Setting("budget", "float | None", None, ""),
        Setting("levels", "tuple[int, ...]", (1, 2), ""),
        Setting("fast", "bool", False, ""),
        Setting("cache", "Path", Path("cache"), ""),
        Setting("blur.kind", "none | rigid", "none", "Which blur model."),
        Setting("blur.motions", "int", 7, ""),
        Setting("blur.mask.width", "int", 16, "Channels of the first layer."),
        Setting("blur.mask.anneal", "tuple[float, float]", (0.1, 0.5), ""),
    )
