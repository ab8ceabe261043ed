"""What a benchmark is made of: scenes, blur models, budgets and seeds; a row is one of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from sharpfield.errors import InputError
from sharpfield.files import JSON, to_json
from sharpfield.progress import OnProgress, ignore
from sharpfield.scene.photoreal import PhotorealSettings, make_photoreal_scene
from sharpfield.scene.toy import ToySettings, make_toy_scene

_Item = TypeVar("_Item", "BenchScene", "Contender", "Budget")


@dataclass(frozen=True)
class BenchScene:
    """A scene under its name in the tables: a synthetic one, or a folder of real photos."""

    name: str
    description: str
    source: ToySettings | PhotorealSettings | Path

    def prepare(self, made: Path, real: Path, progress: OnProgress = ignore) -> Path:
        """The scene's folder, made below ``made`` if need be; real scenes lie below ``real``.

        Raises ``InputError`` when a real scene is missing, or another version made the folder.
        """
        if isinstance(self.source, Path):
            if not os.path.isdir(real / self.source):
                raise InputError(
                    f"{real / self.source}: no such scene; say with --data where it is"
                )
            return real / self.source
        root = made / self.name
        if isinstance(self.source, ToySettings):
            make_toy_scene(root, self.source, progress)
        else:
            make_photoreal_scene(root, self.source, progress)
        return root

    def recipe(self) -> JSON:
        """What the scene is made of: what differs from the defaults, or the folder's name."""
        source = self.source
        if isinstance(source, Path):
            return str(source)
        defaults = asdict(type(source)())
        return to_json({k: v for k, v in asdict(source).items() if v != defaults[k]})


@dataclass(frozen=True)
class Contender:
    """A blur model with its settings under its name in the tables; how many seeds it gets."""

    name: str
    settings: tuple[str, ...]
    seeds: int = 1


@dataclass(frozen=True)
class Budget:
    """How long everybody may train: ``settings`` that say so, and what goes with that length."""

    name: str
    settings: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class RowKey:
    """One training run of a benchmark, by names."""

    suite: str
    scene: str
    budget: str
    contender: str
    seed: int

    def __str__(self) -> str:
        return f"{self.scene}, {self.contender}, {self.budget}, seed {self.seed}"

    @property
    def path(self) -> Path:
        """Where the row's numbers are kept, below the folder of all rows."""
        return Path(self.suite, self.scene, f"{self.contender}-{self.budget}-seed{self.seed}.json")


@dataclass(frozen=True)
class Suite:
    """Everything in a benchmark shares the preset, ``settings``, and the ``protocol`` of scores."""

    name: str
    title: str
    description: str
    preset: str
    settings: tuple[str, ...]
    scenes: tuple[BenchScene, ...]
    contenders: tuple[Contender, ...]
    budgets: tuple[Budget, ...]
    protocol: str = "standard"

    def scene(self, name: str) -> BenchScene:
        """The scene called ``name``; ``InputError`` names the ones there are."""
        return _named("scene", name, self.scenes)

    def contender(self, name: str) -> Contender:
        """The blur model called ``name``; ``InputError`` names the ones there are."""
        return _named("model", name, self.contenders)

    def budget(self, name: str) -> Budget:
        """The budget called ``name``; ``InputError`` names the ones there are."""
        return _named("budget", name, self.budgets)

    def assignments(self, key: RowKey) -> list[str]:
        """All settings of a row, on top of the preset."""
        return [
            *self.settings,
            *self.budget(key.budget).settings,
            *self.contender(key.contender).settings,
            f"train.seed={key.seed}",
        ]

    def recipe(self, key: RowKey) -> dict[str, JSON]:
        """What a row was made of: a row of another recipe is not this row.

        By which protocol it was scored is no part of it: tables keep protocols apart.
        """
        return {
            "preset": self.preset,
            "settings": to_json(self.assignments(key)),
            "scene": self.scene(key.scene).recipe(),
        }

    def select(
        self,
        scenes: Sequence[str] = (),
        contenders: Sequence[str] = (),
        budgets: Sequence[str] = (),
        seeds: Sequence[int] = (),
    ) -> list[RowKey]:
        """The rows of a selection; an empty list selects all, and for seeds each model's own.

        Rows that are compared, of one scene, budget and seed, stand beside each other, as
        `train_in_turns` needs them. Raises ``InputError`` for an unknown name.
        """
        keys = []
        chosen = [self.contender(name) for name in contenders] or self.contenders
        for budget in [self.budget(name) for name in budgets] or self.budgets:
            most = max(contender.seeds for contender in chosen)
            for seed in seeds or range(most):
                for scene in [self.scene(name) for name in scenes] or self.scenes:
                    keys += [
                        RowKey(self.name, scene.name, budget.name, contender.name, seed)
                        for contender in chosen
                        if seeds or seed < contender.seeds
                    ]
        return list(dict.fromkeys(keys))  # a name may have been given twice


def _named(kind: str, name: str, items: Sequence[_Item]) -> _Item:
    for item in items:
        if item.name == name:
            return item
    known = ", ".join(item.name for item in items)
    raise InputError(f"--{kind} {name}: not in this suite; it has {known}")
