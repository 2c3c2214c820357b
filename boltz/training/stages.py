"""Plans: which settings a machine has, its stages, and how pretrained pairs enter the whole machine.

What differs between machines stands in one table, a row for each training, by the kind of machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from boltz.errors import InputError
from boltz.models.blueprint import Blueprint
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.graph import Graph
from boltz.models.growing import start_above
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.structure import Structure
from boltz.training import pathways, pretraining
from boltz.training.adversarial import Adversarial
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.directed_settings import DirectedSettings
from boltz.training.meaning import largest
from boltz.training.objectives import check, samples_for
from boltz.training.pretraining import Stage, empty, pair_stage
from boltz.training.settings import AnySettings, BeliefSettings, Settings, settings_from
from boltz.training.updown import UpDown, top_machine
from boltz.training.variational import Variational

Array = NDArray[Any]
Values = Mapping[str, Any]


def kind_of_settings(plan: Blueprint) -> type[AnySettings]:
    """The settings that training of this machine has."""
    return TRAININGS[plan.kind].settings


def settings_of(plan: Blueprint, values: Values) -> AnySettings:
    """Settings for a machine; what is not named and has no good common default follows from the layers.

    Binary hidden layers take the objective vimco, others vae, and an objective that weighs samples takes 5; Gaussian
    visible units are not binarised.
    """
    training = TRAININGS[plan.kind]
    chosen = training.defaults(plan, values)
    if not plan.layers[0].binary or plan.kind == "multimodal":
        chosen["binarize"] = "none"
    found: AnySettings = settings_from(training.settings, chosen | dict(values))
    return found


def stages(plan: Blueprint, settings: AnySettings) -> list[Stage]:
    """The stages of a run; raises InputError where the settings do not fit the machine."""
    training = TRAININGS[plan.kind]
    if not isinstance(settings, training.settings):
        raise InputError(f"{type(settings).__name__} are not the settings of this machine.")
    return training.stages(plan, settings)


def start_pair(model: Model, stage: Stage) -> BoltzmannMachine:
    """The RBM of a stage with the weights and biases that the whole machine has there."""
    return TRAININGS[model.kind].start_pair(model, stage)


def compose(model: Model, pairs: Sequence[BoltzmannMachine], plan: Sequence[Stage] = ()) -> None:
    """Put the trained pairs of the first stages of a plan into the whole machine, in place.

    Layers above them that have not learnt anything yet start there, if the last stage says so. Only machines of several
    visible layers need a plan.
    """
    TRAININGS[model.kind].compose(model, pairs, plan)
    if plan and plan[-1].starts_above and model.undirected is not None:
        start_above(model.undirected)


def _nothing(plan: Blueprint, values: Values) -> dict[str, Any]:
    return {}


def _objective(plan: Structure, values: Values) -> dict[str, Any]:
    """The objective of the hidden layers, and its samples."""
    binary = any(layer.binary for layer in plan.latent)
    chosen = "vimco" if binary else "vae"
    return {"objective": chosen, "samples": samples_for(values.get("objective", chosen))}


def _one_stage(plan: Structure, settings: DirectedSettings) -> list[Stage]:
    """All of a directed machine at once."""
    check(settings.objective, settings.knobs, plan)
    if settings.dropout > 0 and not any(plan.widths) and plan.residual is None:
        raise InputError(
            f"dropout leaves out units of deterministic layers in the nets of a machine, but this one has none, got "
            f"{settings.dropout:g}: leave it out, or give the machine such layers."
        )
    if not plan.layers[0].binary and settings.binarize != "none":
        raise InputError(f"binarize must be none for Gaussian visible units, got {settings.binarize}.")
    return [Stage("joint", settings, Variational(settings))]


def _game(plan: Structure, settings: AdversarialSettings) -> list[Stage]:
    """All of an adversarial autoencoder at once."""
    if not plan.layers[0].binary and settings.binarize != "none":
        raise InputError(f"binarize must be none for Gaussian visible units, got {settings.binarize}.")
    if settings.patience:
        raise InputError(
            f"patience must be 0 for an adversarial autoencoder, which no likelihood ends, got {settings.patience}."
        )
    if settings.validation:
        raise InputError(
            "validation must be 0 for an adversarial autoencoder, of which no epoch is chosen by it, got "
            f"{settings.validation}: give held_out rows to see figures of others."
        )
    return [Stage("game", settings, Adversarial(settings))]


def _greedy_stages(plan: Structure, settings: BeliefSettings) -> list[Stage]:
    """RBMs from the bottom, if there is pretraining, then the up-down rule."""
    found, sizes = [], [layer.units for layer in plan.layers]
    settings.check_pairs(len(sizes) - 1)
    if largest(settings.pretrain_epochs) > 0:
        graphs = [Graph.chain(sizes[i : i + 2]) for i in range(len(sizes) - 1)]
        found = [pair_stage(i, graph, settings.pretraining(i), {}) for i, graph in enumerate(graphs)]
    return [*found, Stage("up-down", settings, UpDown(settings))]


def _no_pair(model: Model, stage: Stage) -> BoltzmannMachine:
    raise InputError(f"a machine of kind {model.kind} is not trained by pairs of layers.")


def _no_pairs(model: Model, pairs: Sequence[BoltzmannMachine], plan: Sequence[Stage]) -> None:
    """There are none."""


def _start_pair(model: HelmholtzMachine, stage: Stage) -> BoltzmannMachine:
    """The RBM of two neighbouring layers of a deep belief net."""
    assert stage.pair is not None and stage.graph is not None
    if stage.pair == len(model.structure.latent):
        return BoltzmannMachine(stage.graph, top_machine(model).arena.copy())
    pair, (weights, biases) = empty(stage.graph, model.arena), _pair(model, stage.pair)
    pair.params["edge/v-h1/weight"][...] = weights[1]
    pair.bias("v")[...], pair.bias("h1")[...] = biases
    return pair


def _compose(model: HelmholtzMachine, pairs: Sequence[BoltzmannMachine], plan: Sequence[Stage]) -> None:
    """The trained pairs of a deep belief net, the weights of each both ways."""
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


@dataclass(frozen=True)
class Training:
    """How machines are trained: their settings, which of these follow from the plan, the stages, and what is done with
    pairs of layers.
    """

    settings: type[AnySettings]
    defaults: Callable[[Any, Values], dict[str, Any]]
    stages: Callable[[Any, Any], list[Stage]]
    start_pair: Callable[[Any, Stage], BoltzmannMachine]
    compose: Callable[[Any, Sequence[BoltzmannMachine], Sequence[Stage]], None]


BOLTZMANN = Training(Settings, _nothing, pretraining.stages, pretraining.start_pair, pretraining.compose)
PATHWAYS = Training(Settings, _nothing, pathways.stages, pathways.start_pair, pathways.compose)
BELIEF = Training(BeliefSettings, _nothing, _greedy_stages, _start_pair, _compose)
DIRECTED = Training(DirectedSettings, _objective, _one_stage, _no_pair, _no_pairs)
GAME = Training(AdversarialSettings, _nothing, _game, _no_pair, _no_pairs)
TRAININGS = {
    "rbm": BOLTZMANN,
    "dbm": BOLTZMANN,
    "bm": BOLTZMANN,
    "multimodal": PATHWAYS,
    "dbn": BELIEF,
    "sbn": DIRECTED,
    "vae": DIRECTED,
    "vlae": DIRECTED,
    "nade": DIRECTED,
    "made": DIRECTED,
    "pixelcnn": DIRECTED,
    "helmholtz": DIRECTED,
    "aae": GAME,
}  # kind of machine -> its training
