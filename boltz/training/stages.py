"""Plans: which settings a machine has, its stages, and how pretrained pairs enter the whole machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from boltz.errors import InputError
from boltz.models.blueprint import Blueprint
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.graph import Graph
from boltz.models.helmholtz import HelmholtzMachine, Structure
from boltz.training import pretraining
from boltz.training.objectives import check, samples_for
from boltz.training.pretraining import Stage, empty, pair_stage
from boltz.training.settings import AnySettings, BeliefSettings, Common, DirectedSettings, Settings, settings_from
from boltz.training.updown import UpDown, top_machine
from boltz.training.variational import Variational

Array = NDArray[Any]


def kind_of_settings(plan: Blueprint) -> type[Common]:
    """The settings that training of this machine has."""
    if isinstance(plan, Graph):
        return Settings
    return BeliefSettings if plan.prior == "rbm" else DirectedSettings


def settings_of(plan: Blueprint, values: Mapping[str, Any]) -> AnySettings:
    """Settings for a machine; what is not named and has no good common default follows from the layers.

    Binary hidden layers take the objective vimco, others vae, and an objective that weighs samples takes 5; Gaussian
    visible units are not binarised.
    """
    chosen: dict[str, Any] = {}
    if isinstance(plan, Structure) and plan.prior != "rbm":
        binary = any(layer.kind == "bernoulli" for layer in plan.latent)
        chosen["objective"] = "vimco" if binary else "vae"
        chosen["samples"] = samples_for(values.get("objective", chosen["objective"]))
    if plan.layers[0].kind == "gaussian":
        chosen["binarize"] = "none"
    found: AnySettings = settings_from(kind_of_settings(plan), chosen | dict(values))
    return found


def stages(plan: Blueprint, settings: AnySettings) -> list[Stage]:
    """The stages of a run; raises InputError where the settings do not fit the machine."""
    if isinstance(plan, Graph) and isinstance(settings, Settings):
        return pretraining.stages(plan, settings)
    if isinstance(plan, Structure) and isinstance(settings, DirectedSettings):
        check(settings.objective, settings.knobs, plan)
        if plan.layers[0].kind == "gaussian" and settings.binarize != "none":
            raise InputError(f"binarize must be none for Gaussian visible units, got {settings.binarize}.")
        return [Stage("joint", settings, Variational(settings))]
    if isinstance(plan, Structure) and isinstance(settings, BeliefSettings):
        found = []
        if settings.pretrain_epochs > 0:
            sizes = [layer.units for layer in plan.layers]
            graphs = [Graph.chain(sizes[i : i + 2]) for i in range(len(sizes) - 1)]
            found = [pair_stage(i, graph, settings.pretraining(), {}) for i, graph in enumerate(graphs)]
        return [*found, Stage("up-down", settings, UpDown(settings))]
    raise InputError(f"{type(settings).__name__} are not the settings of this machine.")


def start_pair(model: Model, stage: Stage) -> BoltzmannMachine:
    """The RBM of a stage with the weights and biases that the whole machine has there."""
    if isinstance(model, BoltzmannMachine):
        return pretraining.start_pair(model, stage)
    assert stage.pair is not None and stage.graph is not None
    if stage.pair == len(model.structure.latent):
        return BoltzmannMachine(stage.graph, top_machine(model).arena.copy())
    pair, (weights, biases) = empty(stage.graph, model.arena), _pair(model, stage.pair)
    pair.params["edge/v-h1/weight"][...] = weights[1]
    pair.bias("v")[...], pair.bias("h1")[...] = biases
    return pair


def compose(model: Model, pairs: Sequence[BoltzmannMachine]) -> None:
    """Put the trained pairs, from the bottom, into the whole machine, in place."""
    if isinstance(model, BoltzmannMachine):
        pretraining.compose(model, pairs)
        return
    depth = len(model.structure.latent)
    for i, pair in enumerate(pairs[:depth]):
        weights, biases = _pair(model, i)
        weights[0][...] = pair.params["edge/v-h1/weight"].T
        weights[1][...] = pair.params["edge/v-h1/weight"]
        biases[0][...], biases[1][...] = pair.bias("v"), pair.bias("h1")
    for top in pairs[depth:]:
        top_machine(model).arena[...] = top.arena


def _pair(model: HelmholtzMachine, pair: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(generative, recognition) weights and (lower, upper) biases between two neighbouring directed layers."""
    down, up = (f"{side}/{model.layers[pair + i].name}/0" for i, side in enumerate(("generative", "recognition")))
    named = model.params
    return (named[f"{down}/weight"], named[f"{up}/weight"]), (named[f"{down}/bias"], named[f"{up}/bias"])
