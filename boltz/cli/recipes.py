"""Recipes: trainings of published results, as options of `boltz train` by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from boltz.cli.options import converted
from boltz.errors import InputError

FOLDER, ENDING = resources.files("boltz") / "recipes", ".toml"


@dataclass(frozen=True)
class Recipe:
    """A training: the machine, its data, the options of the machine, and the number of stages of 3^i epochs."""

    name: str
    title: str
    model: str
    data: str
    limit: int | None
    stages: int
    options: dict[str, Any]

    def cut(self, stages: int | None) -> Recipe:
        """The recipe with its first stages only; raises InputError."""
        if stages is not None and not 1 <= stages <= self.stages:
            raise InputError(f"--stages must be from 1 to {self.stages} with the recipe {self.name}, got {stages}.")
        count = self.stages if stages is None else stages
        epochs = (3**count - 1) // 2
        return Recipe(
            self.name, self.title, self.model, self.data, self.limit, count, self.options | {"epochs": epochs}
        )


def names() -> list[str]:
    """The recipes that come with boltz."""
    return sorted(entry.name.removesuffix(ENDING) for entry in FOLDER.iterdir() if entry.name.endswith(ENDING))


def load(name: str) -> Recipe:
    """A recipe by name, with all its stages."""
    text = tomllib.loads((FOLDER / f"{name}{ENDING}").read_text(encoding="utf-8"))
    options = {option: converted(option, value) for option, value in text["options"].items()}
    whole = Recipe(name, text["title"], text["model"], text["data"], text.get("limit"), text["stages"], options)
    return whole.cut(None)
