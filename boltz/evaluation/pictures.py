"""The pictures of a run: samples, filters, learning curves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from boltz.evaluation.label_names import with_numbers
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, means_known, outside, states_outside
from boltz.models.structure import Game
from boltz.models.views import of_several
from boltz.plotting import curves, images
from boltz.plotting.adversarial import plot_clusters, plot_codes, plot_embedding, plot_interpolations, plot_styles
from boltz.plotting.machines import CHAINS, SWEEPS, Drawn, greys_of, layer_means, unit_effects, view_effects
from boltz.sampling.inferred import visible_draws
from boltz.sampling.sample import sample
from boltz.storage import run_folder
from boltz.training.description import RunDescription, read_description
from boltz.training.train import Run


def draw(run: Run) -> None:
    """Write samples.png, filters.png and curves.png into the folder of a run; no samples of documents, which have no
    picture, and of several visible layers samples-NAME.png and filters-NAME.png for each. Where visible units hear each
    other there are no filters. Of an adversarial autoencoder codes.png and interpolations.png, too, styles.png where
    its decoder hears labels, clusters.png where it infers them, and embedding.png where it places them.
    """
    folder = run.path
    assert folder is not None
    run = replace(run, model=run.model.to("cpu"))
    description = read_description(folder)
    images.save(curves.learning_curves(run.history), folder / "curves.png")
    if (machine := of_several(run.model)) is not None:
        _draw_views(run, machine, description)
        return
    image = description.image
    if not run.model.layers[0].type.joint:
        drawn, title = _samples(run)
        images.save(images.sample_grid(drawn.values, image, title, drawn.greys), folder / "samples.png")
    if not means_known(run.model):
        return
    effects, what = unit_effects(run.model)
    images.save(images.filter_grid(effects, image, what), folder / "filters.png")
    if run.model.directed is not None and run.model.directed.structure.game is not None:
        for name, figure in _of_game(run, run.model.directed.structure.game, description).items():
            images.save(figure, folder / f"{name}.png")


def _of_game(run: Run, game: Game, description: RunDescription) -> dict[str, Any]:
    """The pictures of an adversarial autoencoder by name: by the data of the run where it can be read again, as it
    brings the labels along, else by the rows that the run has seen.
    """
    named = bool(description.data.get("load"))
    if not named and run.seen is None:
        return {}
    x: Any = description.data_again("data", None, run.model) if named else None
    if x is None:
        assert run.seen is not None
        x = outside(run.model, run.seen[0])
    else:
        x = with_numbers(x, description)
    model, image, seed = run.model, description.image, run.settings.seed
    labelled = game.told != "decoder" or (named and x.labels is not None and x.labels.min() >= 0)
    found = {"codes": plot_codes(model, x, seed=seed)}
    if labelled and len(x.x if named else x) > 1:
        found["interpolations"] = plot_interpolations(model, x, shape=image)
    if game.decoded:
        found["styles"] = plot_styles(model, x, image)
    if game.inferred:
        found["clusters"] = plot_clusters(model, x, image)
    if game.embed and model.units[model.hidden_layers[0].name] > 1:
        found["embedding"] = plot_embedding(model, x)
    return found


def _draw_views(run: Run, model: BoltzmannMachine, description: RunDescription) -> None:
    """The pictures of each visible layer."""
    assert run.path is not None
    start, shapes = _particles(run, model), description.images
    state = sample(model, len(start[model.visible]), SWEEPS, run.settings.seed, start)
    for view in model.graph.views:
        drawn = layer_means(model, view, state)
        title = f"means of {view} in {len(drawn.values)} chains {SWEEPS} sweeps after training"
        picture = images.sample_grid(drawn.values, shapes.get(view), title, drawn.greys)
        images.save(picture, run.path / f"samples-{view}.png")
        effects, what = view_effects(model, view)
        images.save(images.filter_grid(effects, shapes.get(view), f"{view}: {what}"), run.path / f"filters-{view}.png")


def _samples(run: Run) -> tuple[Drawn, str]:
    """Visible means of fantasies, and a title."""
    model, seed = run.model, run.settings.seed
    if model.kind == "aae":
        drawn = visible_draws(model, CHAINS, seed)
        return Drawn(drawn, "means", greys_of(model, drawn)), f"visible means of {CHAINS} samples"
    if model.directed is not None:
        found = layer_means(model, model.visible, sample(model, CHAINS, seed=seed))
        return found, f"visible {found.what} of {CHAINS} samples"
    start = _particles(run, model)
    state = sample(model, len(start[model.visible]), SWEEPS, seed, start)
    found = layer_means(model, model.visible, state)
    return found, f"visible means of {len(found.values)} chains {SWEEPS} sweeps after training"


def _particles(run: Run, model: Model) -> dict[str, Any]:
    """The fantasy particles of a run, or chains started from biases where the rule keeps none."""
    assert run.path is not None
    tensors = run_folder.load_checkpoint(run.path)[0]
    found = {layer: tensors.get(f"rule/chain/{layer}") for layer in model.units}
    particles = {layer: x[:CHAINS] for layer, x in found.items() if x is not None}
    if len(particles) == len(found) and model.undirected is not None:
        return states_outside(model.undirected, particles)  # where chains start in the units of the data
    return dict(sample(model, CHAINS, 0, run.settings.seed))
