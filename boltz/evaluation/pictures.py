"""The pictures of a run: samples, filters, learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, outside
from boltz.models.helmholtz import HelmholtzMachine
from boltz.plotting import curves, images
from boltz.sampling.ancestral import sample, visible_means
from boltz.storage import run_folder
from boltz.storage.run_folder import image_of
from boltz.training.train import Run

CHAINS, SWEEPS, REACH = 100, 200, 3.0


def draw(run: Run) -> None:
    """Write samples.png, filters.png and curves.png into the folder of a run."""
    folder = run.path
    assert folder is not None
    run = replace(run, model=run.model.to("cpu"))
    image = image_of(run_folder.read_settings(folder))
    means, title = _samples(run)
    images.save(images.sample_grid(means, image, title), folder / "samples.png")
    images.save(images.filter_grid(filters(run.model), image), folder / "filters.png")
    images.save(curves.learning_curves(run.history), folder / "curves.png")


def layer_means(model: Model, layer: str, state: Mapping[str, Any]) -> tuple[Any, str]:
    """What to draw of a layer in sampled states, (chains, units), and what it is: means given the other layers.

    Hidden layers of a Helmholtz machine are drawn as they were sampled, real numbers from -3 to 3 as grey levels.
    """
    if isinstance(model, BoltzmannMachine):
        return model.unit_type(layer).mean(model.field(layer, state)), "means"
    if layer == model.visible:
        return _grey(model, visible_means(model, state)), "means"
    if model.conditionals[layer].reparameterised:
        return np.clip(0.5 + state[layer] / (2 * REACH), 0, 1), f"states from -{REACH:g} to {REACH:g}"
    return state[layer], "states"


def _grey(model: HelmholtzMachine, means: Any) -> Any:
    """Visible means (chains, units) as grey levels: as they are, or by their spreads where data leave [0, 1]."""
    units = model.scaling
    if units is None or (units.location.min() >= 0 and (units.location + units.spread).max() <= 1):
        return outside(model, means)
    return np.clip(0.5 + means / (2 * REACH), 0, 1)


def filters(model: Model) -> Any:
    """Weights (visible, units) at the visible layer: the edge of a Boltzmann machine, else the last generative ones.

    Of Gaussian visible units they are those of the means.
    """
    if isinstance(model, BoltzmannMachine):
        return model.params[model.graph.edges[0].key]
    last = model.structure.generative[model.visible].depth - 1
    return model.params[f"generative/{model.visible}/{last}/weight"][:, : model.units[model.visible]].T


def _samples(run: Run) -> tuple[Any, str]:
    """Visible means (chains, units) of fantasies, and a title."""
    model, seed = run.model, run.settings.seed
    if isinstance(model, HelmholtzMachine):
        means = _grey(model, visible_means(model, sample(model, CHAINS, seed=seed)))
        return means, f"visible means of {CHAINS} samples"
    start = _particles(run, model)
    state = sample(model, len(start[model.visible]), SWEEPS, seed, start)
    means, _ = layer_means(model, model.visible, state)
    return means, f"visible means of {len(means)} chains {SWEEPS} sweeps after training"


def _particles(run: Run, model: BoltzmannMachine) -> dict[str, Any]:
    """The fantasy particles of a run, or chains started from biases where the rule keeps none."""
    assert run.path is not None
    tensors = run_folder.load_checkpoint(run.path)[0]
    found = {layer: tensors.get(f"rule/chain/{layer}") for layer in model.graph.units}
    particles = {layer: x[:CHAINS] for layer, x in found.items() if x is not None}
    if len(particles) == len(found):
        return particles
    return dict(sample(model, CHAINS, 0, run.settings.seed))
