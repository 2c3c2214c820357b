"""Quick checks of what a page on trained machines shows: tiles, nearest rows, drivers of units, what units draw."""

from __future__ import annotations

import base64
import io

import numpy as np
from checks.any_graph import machine
from matplotlib.image import imread
from oracles.graphs import Wired

import boltz
from boltz.evaluation import page_units
from boltz.models.boltzmann import BoltzmannMachine
from boltz.plotting import machines, tiles

RNG = np.random.default_rng(11)


def decoded(source: str) -> np.ndarray:
    """The picture of a data URI as bytes (height, width, colours)."""
    kind, _, text = source.partition(",")
    assert kind == "data:image/png;base64"
    return np.rint(255 * imread(io.BytesIO(base64.b64decode(text)))).astype(int)


def check_tiles() -> None:
    """Pixels are the shades; an image is at its means over blocks; bars are as high as numbers, from 0 up and down."""
    rows = RNG.random((3, 24))
    shades = tiles.Tile.of(24, (4, 6), 100).greys(rows)
    np.testing.assert_array_equal(shades, np.rint(255 * rows.reshape(3, 4, 6)))
    np.testing.assert_array_equal(decoded(tiles.uri(shades[0])), shades[0])
    red, white, blue = decoded(tiles.uri(np.array([[255, tiles.MIDDLE, 1]], np.uint8), tiles.TWO_SIDED))[0, :, :3]
    assert red[0] > 2 * red[2] and blue[2] > 2 * blue[0] and white.min() > 240
    large = tiles.Tile.of(30, (5, 6), 9)
    np.testing.assert_array_equal(large.greys(np.ones((1, 30))), np.full((1, 3, 3), 255))
    first = large.greys(np.arange(30)[None] / 255)
    assert first[0, 0, 0] == np.rint(np.mean([0, 1, 6, 7])) and first[0, 2, 2] == np.rint(np.mean([28, 29]))
    bars = tiles.Tile.of(3, None, 100).greys(np.array([[0.0, 0.5, 1.0]]))[0]
    assert [int((bars[:, i] < 255).sum()) for i in (0, 40, 95)] == [0, tiles.HIGH // 2, tiles.HIGH]
    assert bars[-1, 40] < 255 and bars[0, 40] == 255
    signed = tiles.Tile.of(2, None, 100).signed(np.array([[1.0, -1.0]]), 1.0)[0]
    assert (
        signed[0, 0] == 255 and signed[-1, 0] == tiles.MIDDLE and signed[0, -1] == tiles.MIDDLE and signed[-1, -1] == 1
    )


def check_nearest() -> None:
    """By the distances of every pair."""
    means, rows = RNG.random((7, 5)), RNG.random((20, 5))
    wanted = np.linalg.norm(means[:, None] - rows, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(machines.nearest_rows(means, rows), wanted)


def check_drivers() -> None:
    """The rows of largest means, the largest first."""
    own = RNG.random(30)
    assert page_units.driving(own).tolist() == sorted(range(30), key=lambda i: -own[i])[: page_units.DRIVERS]


def check_never_on() -> None:
    """Units of rows without them are blank in filters, and no others; of rows where all were on, none is."""
    x = (RNG.random((400, 9)) < 0.3).astype(np.float32)
    blank = [0, 4, 7]
    x[:, blank] = 0
    run = boltz.train(boltz.rbm(9, 3, x), x, epochs=1, batch_size=100, chains=10)
    assert np.flatnonzero(machines.never_on(run.model)).tolist() == blank
    effects, what = machines.unit_effects(run.model)
    assert what == "weights" and not effects[blank].any() and effects[1].all()
    own = boltz.train(boltz.rbm(6, 3, x[:, [1, 2, 3, 5, 6, 8]]), x[:, [1, 2, 3, 5, 6, 8]], epochs=1, batch_size=100)
    assert not machines.never_on(own.model).any()


def check_effects() -> None:
    """What a code unit draws: the visible means with it at 2 less those at -2, all others at 0; else the weights."""
    model = boltz.vae([6, 4], 3)
    model.arena[...] = RNG.normal(size=model.arena.size)
    effects, _ = machines.unit_effects(model)
    for unit in range(3):
        code = np.zeros((1, 3))
        code[0, unit] = 2
        np.testing.assert_allclose(
            effects[:, unit], (boltz.decode(model, code) - boltz.decode(model, -code))[0], atol=1e-6
        )
    plain = boltz.vae([6], 3)
    np.testing.assert_array_equal(machines.unit_effects(plain)[0], plain.visible_weights)


LISTENERS = {
    "lateral": {"v": "v"},
    "visible": {"v": "h"},
    "triangle": {"v": "a"},
    "views": {"x": "a", "y": "b"},
    "uneven": {"x": "a", "y": "b"},
    "tied": {"x": "a", "y": "a"},
    "sparse": {"v": "v"},
    "sparse potts": {"v": "h"},
}


def check_view_effects() -> None:
    """Filters of a visible layer, in files and on pages, are its couplings to the lowest hidden layer that it is joined
    to; to itself or to another visible layer where there is none.
    """
    graph = boltz.graph({"x": 3, "y": 2, "a": 2}, [("x", "y"), ("x", "a")], visible=["x", "y"])
    graph.arena[...] = RNG.normal(size=graph.arena.size)
    cases: list[tuple[BoltzmannMachine, dict[str, str]]] = [(graph, {"x": "a", "y": "x"})]
    for model, listeners in [*cases, *((machine(name), wanted) for name, wanted in LISTENERS.items())]:
        wired = Wired.of(model)
        for layer in model.visible_layers:
            heard = listeners[layer.name]
            wanted = wired.couplings[wired.layers[layer.name], wired.layers[heard]]
            effects, what = machines.view_effects(model, layer.name)
            dense = effects.toarray() if hasattr(effects, "toarray") else effects
            np.testing.assert_allclose(dense, wanted, rtol=1e-6)
            assert what == ("couplings to the other units" if heard == layer.name else "weights")
            found = page_units.effects_on(model, layer)
            if not model.graph.chained:
                np.testing.assert_array_equal(found[1], dense)
                assert (found[0].name, found[2]) == (heard, what)
