"""Quick checks of what a notebook shows: reprs, columns, copies, progress, defaults, plots of machines and results."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

import boltz
from boltz import presets
from boltz.estimators.estimate import exact
from boltz.evaluation import paired
from boltz.evaluation.paired import Entry
from boltz.models.scaling import Scaling
from boltz.plotting import images, machines
from boltz.plotting.results import UNSURE

RNG = np.random.default_rng(7)
X = (RNG.random((30, 16)) < RNG.random(16)).astype(np.float32)
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 10, "chains": 5, "snapshots": 0, "pretrain_epochs": 1}


def check_reprs() -> None:
    """A run and its machine on one line, with the units; settings with what is not as by default, and nothing else."""
    run = boltz.train(boltz.dbm([16, 5, 3], X), X, **SHORT)
    for thing in (run, run.model):
        assert "dbm 16-5-3" in repr(thing) and len(repr(thing)) <= 300
    assert repr(boltz.Settings(epochs=3, rule="cd")) == "Settings(epochs=3, rule='cd')"
    text = boltz.Run(run.model, [], None, run.settings, ("<b>",))._repr_html_()
    assert "<td" in text and "<b>" not in text


def check_columns() -> None:
    """Every number of the records in its place, and NaN where there is none."""
    run = boltz.train(boltz.dbm([16, 5, 3], X), X, **SHORT)
    table = run.history_table()
    assert table["epoch"].tolist() == [1, 1, 2] and table["stage"][0] == "pretrain-1"
    for name in ("gradient_norm", "free_energy_gap", "mode_gap"):
        wanted = [np.nan if record[name] is None else record[name] for record in run.history]
        np.testing.assert_array_equal(table[name], wanted)


def check_copies() -> None:
    """watch(record, model) gets copies of the whole machine as runs have it that end there."""
    kept: list[Any] = []
    make = lambda: boltz.dbm([16, 5, 3], X)  # noqa: E731
    boltz.train(make(), X, watch=lambda record, model: kept.append(model), **SHORT)
    for count, model in enumerate(kept, 1):
        seen: list[Any] = []
        run = boltz.train(make(), X, watch=lambda r, s=seen, c=count: s.append(r) or len(s) == c, **SHORT)  # type: ignore
        assert run.model.arena.tobytes() == model.arena.tobytes(), count


def check_tuning_ends() -> None:
    """True ends a fine-tuning, with the network as it stands, and without another round."""
    settings: dict[str, Any] = {"epochs": 4, "output_epochs": 1, "validation": 0.3, "refit": True}
    kept: list[Any] = []
    model = boltz.rbm(16, 5, X)
    tuned = boltz.fine_tune(
        model, X, X[:, 0], watch=lambda record, network: kept.append(network) or len(kept) == 2, **settings
    )
    assert len(tuned.history) == 2 and tuned.epoch == 1
    assert tuned.network.arena.tobytes() == kept[1].arena.tobytes()


def check_progress() -> None:
    """A function hears of the stage, the epoch and how many there are."""
    seen: list[Any] = []
    boltz.train(boltz.dbm([16, 5, 3], X), X, progress=lambda *place: seen.append(place), **SHORT)
    assert seen == [("pretrain-1", 1, 1), ("joint", 1, 2), ("joint", 2, 2)]


def check_named_epochs() -> None:
    """Who names epochs keeps the rate, centring and batch of the preset, on all rows; held-out rows still judge."""
    wanted = presets.preset("rbm", 30, 16)
    for held_out in (None, X[:5]):
        found = boltz.train(boltz.rbm(16, 5, X), X, held_out=held_out, epochs=4, watch=lambda record: True).settings
        for name in ("learning_rate", "center", "rule", "batch_size"):
            assert getattr(found, name) == wanted[name], name
        assert (found.epochs, found.validation, found.patience) == (4, 0.0, 0 if held_out is None else 2)
    first = boltz.train(boltz.dbm([16, 5, 3], X), X, **SHORT).model
    assert boltz.train(first, X, epochs=1, watch=lambda record: True).settings.pretrain_epochs == 0


def check_plots() -> None:
    """Tiles are the visible means of the chains, filters the weights with the largest norms first."""
    model = boltz.from_arrays([RNG.normal(0, 2, (16, 4))], [RNG.normal(0, 1, 16), np.zeros(4)])
    weights = model.params["edge/v-h1/weight"]
    state = boltz.sample(model, 9, 1, 0, "data", X[:9])
    wanted = 1 / (1 + np.exp(-(model.params["layer/v/bias"] + state["h1"] @ weights.T)))
    picture = np.asarray(boltz.plot_samples(model, X[:9], chains=9, sweeps=1).axes[0].images[0].get_array())
    tiles = [picture[1 + 5 * i : 5 + 5 * i, 1 + 5 * j : 5 + 5 * j].ravel() for i in range(3) for j in range(3)]
    np.testing.assert_allclose(tiles, wanted)
    picture = np.asarray(boltz.plot_filters(model).axes[0].images[0].get_array())
    np.testing.assert_array_equal(picture[1:5, 1:5].ravel(), weights[:, np.linalg.norm(weights, axis=0).argmax()])


def check_shades() -> None:
    """Real columns are drawn on one scale in the units of the data, by their own spreads where these are far apart;
    numbers in [0, 1] and states as they are.
    """
    location, spread = np.array([100.0, -3.0, 7.0]), np.array([10.0, 0.1, 0.0])
    machine = replace(boltz.vae([3, 4], 2, visible="gaussian"), scaling=Scaling(location, spread))
    rows = location + spread * np.array([[0.0], [3.0], [-3.0], [1.5], [9.0]])
    wanted = np.array([[0.5, 1, 0, 0.75, 1]] * 2 + [[0.5] * 5]).T
    np.testing.assert_allclose(machines.greys_of(machine, rows).of(rows), wanted, atol=1e-9)
    close = replace(machine, scaling=Scaling(np.array([20.0, 50, 80]), np.array([10.0, 10, 1])))
    greys = machines.greys_of(close, rows)
    assert (greys.black, greys.white, greys.bar) == (-10, 83, (-10, 83))
    np.testing.assert_allclose(greys.of(np.array([[-10.0, 83, 36.5], [-90, 90, 83]])), [[0, 1, 0.5], [0, 1, 1]])
    np.testing.assert_allclose(machines.greys_of(boltz.rbm(16, 3), X).of(X), X)
    spins = machines.greys_of(boltz.rbm(2, 3, units="spin"), X)
    np.testing.assert_allclose(spins.of(np.array([[-1.0, 0.5]])), [[0, 0.75]])


def check_bars() -> None:
    """The colour bar of a strip of samples is in the units of the data, for real units of every machine: the numbers
    drawn are the visible means that boltz.sample gives.
    """
    x = 70 + 12 * RNG.normal(0, 1, (40, 5)) + 6 * np.arange(5)
    kinds: Any = {
        "rbm": boltz.rbm(5, 3, x, units="gaussian"),
        "dbm": boltz.dbm([5, 3, 2], x, units=["gaussian", "bernoulli", "bernoulli"]),
        "bm": boltz.boltzmann(5, 3, units="gaussian", lateral="hidden", x=x),
        "vae": boltz.vae([5, 4], 2, x, visible="gaussian"),
        "sbn": boltz.sbn([5, 4], x=x, visible="gaussian"),
        "several": boltz.train(
            boltz.multimodal({"a": (5, "gaussian"), "b": 2}, {"a": [3], "b": [2]}, 2),
            {"a": x, "b": np.ones((40, 2))},
            epochs=1,
            pretrain_epochs=0,
        ).model,
    }
    for name, model in kinds.items():
        layer = model.layers[0].name
        drawn = machines.layer_means(model, layer, boltz.sample(model, 30, seed=2))
        axes, bar = images.sample_grid(drawn.values, greys=drawn.greys).axes
        picture = np.asarray(axes.images[0].get_array())
        if name != "several":
            np.testing.assert_allclose(picture, boltz.sample(model, 30, seed=2, means=True)[layer], rtol=1e-5)
        assert bar.get_ylabel() == "units of the data", name
        low, high = axes.images[0].get_clim()
        assert low < 60 and high > 110 and picture.min() > 40 and picture.max() < 150, name
    far = replace(kinds["rbm"], scaling=Scaling(np.array([0.0, 5, 7, 9, 900]), np.array([1.0, 1, 1, 1, 100])))
    state = boltz.sample(far, 30, seed=2)
    drawn = machines.layer_means(far, "v", state)
    axes, bar = images.sample_grid(drawn.values, greys=drawn.greys).axes
    wanted = (drawn.values - far.scaling.location) / far.scaling.spread
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), wanted, atol=1e-9)
    assert axes.images[0].get_clim() == (-3, 3) and bar.get_ylabel() == "spreads from the mean of each column"


def check_plots_of_results() -> None:
    """The title of log Z says whether it is trusted; a pair that is not decided has another colour than one that is."""
    found = exact(1.5, "made")
    for doubts, wanted in (((), "exact, trusted"), (("made",), "NOT trusted")):
        title = boltz.plot_log_z(replace(found, doubts=doubts)).get_suptitle()
        assert "1.5" in title and title.endswith(wanted), title
    rows = RNG.normal(0, 1, 50)
    numbers = {"a": rows, "b": rows - 5, "c": RNG.permutation(rows) - 5}
    entries = [Entry(n, replace(exact(float(x.mean()), "made"), per_row=x)) for n, x in numbers.items()]
    models = [SimpleNamespace(name=each.name, log_likelihood=each.estimate) for each in entries]
    told = SimpleNamespace(models=models, pairs=paired.pairs(entries), ranking=paired.ranking(entries))
    points = [line for line in boltz.plot_comparison(told).axes[1].lines if line.get_marker() == "o"]
    assert [point.get_color() != UNSURE for point in points] == [True, True, False]
