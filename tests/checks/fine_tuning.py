"""Quick checks of networks and their fine-tuning, shared by the tests and by the planted faults.

Each check takes no argument and raises AssertionError, or the error of the library, where something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
from oracles import directed, enumeration
from oracles import networks as plain
from scipy.optimize import minimize
from support import stats

import boltz
from boltz.data.from_arrays import given
from boltz.networks.feedforward import OUTPUTS, Dropout, FeedForward
from boltz.networks.labels import prepared
from boltz.networks.loop import Course, Progress
from boltz.networks.network import Network
from boltz.networks.predict import heard, passed
from boltz.networks.settings import FineTuneSettings
from boltz.networks.step import Examples, Tuner, examples
from boltz.nn.arena import Tape
from boltz.parallel import workers
from boltz.rng import Key

Floats = np.ndarray
ROWS, UNITS = 11, 6
KEY = Key.from_seed(5)
X = np.random.default_rng(1).random((40, UNITS)).astype(np.float32).astype(np.float64)
Y = (X[:, 0] + X[:, 1] > 1).astype(int) + 2 * (X[:, 2] > 0.6)  # four classes


def moved(model: Any, scale: float = 0.5) -> Any:
    """The model with normal parameters, in place."""
    model.arena[...] = np.random.default_rng(2).normal(0, scale, model.arena.size)
    return model


def gaussian() -> Any:
    return boltz.vae([UNITS, 4], 2, visible="gaussian").astype(np.float64)


MACHINES: dict[str, Callable[[], Any]] = {
    "rbm": lambda: boltz.rbm(UNITS, 4, dtype=np.float64),
    "dbm of 2": lambda: boltz.dbm([UNITS, 4, 3], dtype=np.float64),
    "dbm of 3": lambda: boltz.dbm([UNITS, 5, 4, 3], dtype=np.float64),
    "dbn": lambda: boltz.dbn([UNITS, 5, 4, 3], dtype=np.float64),
    "sbn": lambda: boltz.sbn([UNITS, 4, 3], [5]).astype(np.float64),
    "vae": lambda: boltz.vae([UNITS, 5, 4], 2).astype(np.float64),
    "vae of 2": lambda: boltz.vae([UNITS, [5], [4]], [3, 2], activation="softplus").astype(np.float64),
    "gaussian vae": gaussian,
}


def machine(name: str) -> Any:
    return moved(MACHINES[name]())


def networks(name: str) -> dict[str, Network]:
    """The classifier of a machine with output weights that are not zero, and its autoencoder."""
    model = machine(name)
    found = {"classifier": boltz.classifier(model, [0, 1, 2, 3]), "autoencoder": boltz.autoencoder(model)}
    top = found["classifier"].output().arena
    top[...] = np.random.default_rng(3).normal(0, 0.5, top.size)
    return found


def examples_of(network: Network, how: str = "none") -> Examples:
    return examples(network, given(X, "x", UNITS), labels_of(network), how, KEY)


def labels_of(network: Network) -> Any:
    return None if network.code else Y.astype(np.int64)


def tuner_of(network: Network, pool: Any, lowest: int = 0, **settings: Any) -> Tuner:
    return Tuner(network, FineTuneSettings(**settings), KEY, pool, lowest)


def sides_of(network: Network, posterior: Floats) -> dict[int, Floats]:
    """The posterior beside each dense layer that hears some of it."""
    found, first = {}, 0
    for i, units in enumerate(network.net.sides):
        if units:
            found[i], first = posterior[:, first : first + units], first + units
    assert first == posterior.shape[1]
    return found


def target_of(network: Network, rows: Any) -> Floats:
    return X[rows] if network.code else np.eye(4)[Y[rows]]


# ---------------------------------------------------------------- networks


def check_first_weights() -> None:
    """A classifier with its first weights goes on with mean field; other machines pass their means upwards."""
    for name in ("dbm of 2", "dbm of 3"):
        model = machine(name)
        table = enumeration.Table.of(model)
        means = enumeration.mean_field(table, X)
        network = boltz.classifier(model, ["a", "b"])
        below = {"v": X}
        for number, layer in enumerate(model.layers[1:], 1):
            below[layer.name] = passed(network, X, number)
            above = {each.name: means[each.name] for each in model.layers[number + 1 :]}
            assert np.abs(below[layer.name] - enumeration.conditional(table, layer.name, below | above)).max() < 1e-7
            assert np.abs(below[layer.name] - means[layer.name]).max() < 1e-7, "mean field has converged"
        assert np.abs(passed(network, X) - 0.5).max() < 1e-12, "no class is likelier at the start"
    for name in ("rbm", "dbn", "sbn", "vae", "vae of 2", "gaussian vae"):
        model = machine(name)
        network = boltz.classifier(model, [3])
        assert not any(network.net.sides) and network.machine is None
        found, wanted = passed(network, X, network.net.depth - 1), boltz.features(model, X)
        assert found.shape == wanted.shape and np.abs(found - wanted).max() < 1e-12, name


def check_autoencoders() -> None:
    """The code is the means of the top layer of the up pass, what comes back the means of the visible layer above."""
    for name in ("rbm", "dbn", "sbn", "vae", "vae of 2", "gaussian vae"):
        model = machine(name)
        network = boltz.autoencoder(model)
        code, back = boltz.encode(network, X), boltz.reconstruct(network, X)
        assert np.abs(code - boltz.features(model, X)).max() < 1e-12, name
        assert np.abs(back - down(model, code)).max() < 1e-12, name
    model = machine("dbm of 2")
    p = model.params
    up = plain.FUNCTIONS["sigmoid"](X @ p["edge/v-h1/weight"] + p["layer/h1/bias"])
    field = up @ p["edge/h1-h2/weight"] + p["layer/h2/bias"]
    for code, function in (("sigmoid", plain.FUNCTIONS["sigmoid"]), ("linear", plain.FUNCTIONS["linear"])):
        network = boltz.autoencoder(model, code)
        assert np.abs(boltz.encode(network, X) - function(field)).max() < 1e-13
        back = plain.FUNCTIONS["sigmoid"](function(field) @ p["edge/h1-h2/weight"].T + p["layer/h1/bias"])
        back = plain.FUNCTIONS["sigmoid"](back @ p["edge/v-h1/weight"].T + p["layer/v/bias"])
        assert np.abs(boltz.reconstruct(network, X) - back).max() < 1e-13


def down(model: Any, top: Floats) -> Floats:
    """Means passed down to the visible layer by plain formulas."""
    p, sigmoid = model.params, plain.FUNCTIONS["sigmoid"]
    if "layer/h1/bias" in p:  # an RBM
        return sigmoid(top @ p["edge/v-h1/weight"].T + p["layer/v/bias"])
    if "prior/edge/v-h1/weight" in p:
        top = sigmoid(top @ p["prior/edge/v-h1/weight"].T + p["prior/layer/v/bias"])
    oracle = directed.Directed.of(model)
    for layer in reversed(model.layers[: len(model.layers) - (2 if oracle.rbm else 1)]):
        found = directed.outputs(oracle, f"generative/{layer.name}", top)
        top = sigmoid(found) if layer.kind == "bernoulli" else found[:, : layer.units]
    return top


def check_forward() -> None:
    """Outputs, and values of all layers, against plain numpy, of classifiers and autoencoders of every machine."""
    for name in MACHINES:
        for network in networks(name).values():
            posterior = heard(network, X)
            wanted = plain.values(network.params, network.net.functions, X, sides_of(network, posterior))
            for i, value in enumerate(wanted):
                assert np.abs(passed(network, X, i + 1) - value).max() < 1e-13, (name, i)


def check_gradients() -> None:
    """Gradients of the mean loss by finite differences of plain numpy, all machines, with dropout and without."""
    for name in MACHINES:
        for kind, network in networks(name).items():
            check_gradient(network, {}, f"{kind} of {name}")
            check_gradient(network, {0: 0.3, 1: 0.4}, f"{kind} of {name} with dropout")


def check_gradient(network: Network, shares: Mapping[int, float], what: str) -> None:
    rows, rng = np.arange(3, 3 + ROWS), np.random.default_rng(4)
    data = examples_of(network)
    dropout = Dropout(KEY, 7, shares[0], shares[1]) if shares else None
    masks = masks_of(network, dropout) if dropout else None
    with workers(network.arena) as pool:
        tuner = tuner_of(network, pool)
        loss = tuner.differentiate(data, rows, dropout) / ROWS
    kind, target = network.net.functions[-1], target_of(network, rows)
    sides = sides_of(network, data.posterior[rows])

    def mean_loss(arena: Any) -> Any:
        values = plain.values(network.views(arena), network.net.functions, X[rows], sides, masks)
        return np.mean(plain.LOSSES[kind](values[-1], target))

    assert abs(mean_loss(network.arena) - loss) < 1e-12, what
    for part in (slice(None), *(span for span, _ in network.spans())):
        direction = np.zeros(network.arena.size)
        direction[part] = rng.normal(size=direction[part].size)
        slope = mean_loss(network.arena + 1e-25j * direction).imag / 1e-25
        assert abs(slope + tuner.gradient @ direction) < 1e-11 * (1 + abs(slope)), what
        ends = [mean_loss(network.arena + step * direction) for step in (-1e-6, 1e-6)]
        assert abs((ends[1] - ends[0]) / 2e-6 - slope) < 1e-7, "test of the test"


def masks_of(network: Network, dropout: Dropout) -> dict[int, Floats]:
    part = Tape(network.arena).whole(ROWS)
    return {i: dropout.mask(part, network.net, i).copy() for i in range(network.net.depth)}


def check_losses_of_far_outputs() -> None:
    """Losses are of the field: an output that rounds to 1 in float32 has lost what a wrong target costs."""
    field, target = np.array([[40.0, 0.0]], np.float32), np.array([[0, 1]], np.float32)
    for name, wanted in (("softmax", 40.0), ("sigmoid", 40.0 + np.log(2))):
        assert abs(OUTPUTS[name][1](field, target)[0] - wanted) < 1e-5, name


# ---------------------------------------------------------------- dropout

MASK_ROWS = 400
HEARD = FeedForward((20, 50, 50, 1), ("sigmoid", "sigmoid", "sigmoid"), (30, 0, 0))  # fifty units in each dense layer


def mask(step: int = 1, layer: int = 1, key: Key = KEY, share: float = 0.4) -> Floats:
    part = Tape(np.zeros(1)).whole(MASK_ROWS)
    return Dropout(key, step, share, share).mask(part, HEARD, layer)


def check_share_kept() -> None:
    """Of 20,000 units three in five stay, in each column; catches a share of 0.57, or of 0.85 in one column."""
    found = mask()
    assert set(np.unique(found)) == {0.0, 1 / 0.6}, "what stays is scaled up, so that the mean stays"
    assert stats.detectable_binomial(found.size, 0.6, 0.57) and stats.detectable_binomial(400, 0.6, 0.85, 50)
    stats.accept(stats.binomial_table((found > 0).sum(), found.size, 0.6), "another share of the units stays")
    stats.accept(stats.binomial_table((found > 0).sum(axis=0), 400, [0.6] * 50), "a unit stays more often")
    stats.accept(stats.mean_test(found.reshape(-1), 1.0, 0.4 / 0.6), "the mean of what is heard changes")
    assert stats.detectable_mean(found.size, 0.05, 0.4 / 0.6)


def check_share_of_the_posterior() -> None:
    """Of the posterior beside the inputs as many stay as of hidden units; catches the share of the inputs there."""
    part = Tape(np.zeros(1)).whole(MASK_ROWS)
    kept = Dropout(KEY, 1, 0.1, 0.4).mask(part, HEARD, 0) > 0
    assert stats.detectable_binomial(400, 0.6, 0.9, 50) and stats.detectable_binomial(400, 0.9, 0.6, 50)
    stats.accept(stats.binomial_table(kept.sum(axis=0), 400, [0.9] * 20 + [0.6] * 30), "another share stays")


def check_masks_differ() -> None:
    """Masks of other steps, layers, rows and rounds are uncorrelated; a mask that is used again has correlation 1."""
    one = mask()
    others = [mask(2), mask(1, 2), mask(1, 0), mask(key=KEY.derive("round", 1)), np.roll(one, 1, 0), np.roll(one, 1, 1)]
    assert stats.detectable_correlation(one.size, 0.1)
    for other in others:
        stats.accept(stats.correlation_test(one.reshape(-1), other.reshape(-1)), "a mask is used again")
    assert (mask() == one).all()


# ---------------------------------------------------------------- courses


def learner(hidden: int = 4, classes: int = 4) -> Network:
    """A small classifier of an RBM."""
    return boltz.classifier(moved(boltz.rbm(UNITS, hidden, dtype=np.float64)), list(range(classes)))


def followed(network: Network, **settings: Any) -> tuple[Course, list[dict[str, Any]], list[dict[str, Any]]]:
    """A course that has run, its records, and copies of its progress at the end of each epoch."""
    others = settings.pop("held_out", None)
    settings = {"epochs": 6, "batch_size": 8, "learning_rate": 0.05, "seed": 3} | settings
    course = prepared(network, X, None if network.code else Y, others, FineTuneSettings(**settings))
    records: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    course.record = records.append
    course.saved = lambda: kept.append({n: np.array(x) for n, x in course.progress.tensors().items()})
    course.run()
    return course, records, kept


def split_of(course: Course) -> Any:
    """The rows of the first round of a course that is over."""
    course.progress.round = 0
    data = examples(course.start, *course.given, course.settings.binarize, course.key)
    return course._lesson(data, data)


def check_choice_of_the_epoch() -> None:
    """The parameters that stay are those of the epoch with the fewest wrong rows, of those the smallest loss."""
    telling = set()
    for seed in (2, 4):
        course, records, kept = followed(learner(), validation=0.4, learning_rate=0.5, seed=seed, epochs=12)
        stage = [record for record in records if record["stage"] == "network"]
        scores = [(record["error"], record["loss"]) for record in stage]
        best = scores.index(min(scores))
        assert 0 < best < 11, "the test has a best epoch between the ends"
        telling |= {
            number for number, column in enumerate(zip(*scores, strict=True)) if column.index(min(column)) != best
        }
        assert course.progress.chosen == best + 1
        arena = course.progress.network.arena
        assert (arena == kept[records.index(stage[best])]["arena"]).all() and (arena != kept[-1]["arena"]).any()
        rows = split_of(course).held
        p = boltz.classify(course.progress.network, X[rows])
        assert abs(np.mean(p.argmax(axis=1) != Y[rows]) - scores[best][0]) < 1e-12
        assert abs(-np.log(p[np.arange(len(rows)), Y[rows]]).mean() - scores[best][1]) < 1e-12
    assert telling == {0, 1}, "neither errors nor losses alone would choose the same"


def check_rare_classes() -> None:
    """However many rows are held out, one of each class is learnt from; a small share still holds one row out."""
    labels = np.array([0] * 5 + [1] + [2] * 5 + [*range(3, 8)])
    network = boltz.classifier(moved(boltz.rbm(UNITS, 4, dtype=np.float64)), list(range(8)))
    for seed in range(8):
        course = prepared(network, X[:16], labels, None, FineTuneSettings(validation=0.6, seed=seed))
        lesson = split_of(course)
        assert set(labels[lesson.rows]) == set(range(8)) and len(lesson.held)
    few = prepared(learner(), X[:4], Y[:4], None, FineTuneSettings(validation=0.1))
    assert len(split_of(few).held) <= 1 and len(split_of(few).rows) >= 3


def check_split() -> None:
    """The held-out rows are a share of each class; what is learnt from is all the rest, each row once an epoch."""
    seen: list[tuple[str, Any]] = []
    step = Tuner.step

    def spy(self: Tuner, data: Examples, rows: Any, state: Any, clock: Any) -> Any:
        seen.append(("outputs" if self.lowest else "network", np.array(rows)))
        return step(self, data, rows, state, clock)

    with patch.object(Tuner, "step", spy):
        course, _, _ = followed(learner(), validation=0.25, epochs=2, refit=True, output_epochs=1)
    lesson, epochs = split_of(course), course.progress.chosen
    assert len(lesson.held) == 10 and sorted([*lesson.held, *lesson.rows]) == list(range(40))
    for seed in range(5):
        course = prepared(learner(), X, Y, None, FineTuneSettings(validation=0.25, seed=seed))
        held = Y[split_of(course).held]
        assert all(abs(np.sum(held == label) - np.sum(label == Y) / 4) < 1 for label in range(4))
    batches = -(-len(lesson.rows) // 8)
    first = [np.concatenate([rows for _, rows in seen[i * batches : (i + 1) * batches]]) for i in range(3)]
    for rows in first:
        assert sorted(rows) == list(lesson.rows), "held-out rows are learnt from"
    assert (first[1] != first[2]).any(), "each epoch has an order of its own"
    again = np.concatenate([rows for _, rows in seen[3 * batches :]])
    assert len(again) == 40 * (1 + epochs), "all rows, for as many epochs as were chosen"
    assert sorted(again[:40]) == sorted(again[40:80]) == list(range(40))


def check_refit() -> None:
    """The second round starts from the first weights, and learns from all rows for the epochs of the first."""
    network, starts = learner(), []
    step = Tuner.step

    def spy(self: Tuner, data: Examples, rows: Any, state: Any, clock: Any) -> Any:
        if clock.count == 1:
            starts.append((self.network.arena.copy(), {name: x.copy() for name, x in state.items()}))
        return step(self, data, rows, state, clock)

    with patch.object(Tuner, "step", spy):
        course, records, kept = followed(network, validation=0.3, refit=True, output_epochs=0, learning_rate=0.5)
    assert len(starts) == 2, "a step of each round is its first"
    for arena, state in starts:
        assert (arena == network.arena).all() and all((x == 0).all() for x in state.values())
    again = [record for record in records if record["stage"] == "network again"]
    assert len(again) == course.progress.chosen and again[-1]["error"] is None
    assert (course.progress.network.arena == kept[-1]["arena"]).all()


def check_output_stage() -> None:
    """While the outputs learn alone, nothing below them moves by a bit, whatever the rule."""
    for settings in ({"optimizer": "adam"}, {"optimizer": "momentum", "l2": 0.1, "max_norm": 0.2}, {"dropout": 0.5}):
        network = learner()
        found = followed(network, epochs=0, output_epochs=3, **settings)[0].progress.network
        top = network.output().arena.size
        assert (found.arena[:-top] == network.arena[:-top]).all() and (found.arena[-top:] != network.arena[-top:]).any()
    network = learner()
    found = followed(network, epochs=0, output_epochs=20, optimizer="lbfgs")[0].progress.network
    assert (found.arena[:-top] == network.arena[:-top]).all() and (found.arena[-top:] != network.arena[-top:]).any()


def check_interruptions() -> None:
    """A course that goes on from wherever its progress may be kept ends with the same bits."""
    cases: list[dict[str, Any]] = [
        {"optimizer": "adam", "dropout": 0.3, "input_dropout": 0.2, "refit": True, "validation": 0.3},
        {"optimizer": "momentum", "momentum": 0.9, "validation": 0.3, "patience": 2, "learning_rate": 0.5},
        {"optimizer": "nesterov", "momentum": 0.5, "momentum_epochs": 2, "dropout": 0.2, "validation": 0.0, "l2": 1e-3},
        {"optimizer": "lbfgs", "l2": 1e-3, "validation": 0.3, "refit": True},
    ]
    for settings in cases:
        course, _, kept = followed(learner(), epochs=4, **settings)
        assert len(kept) >= 4
        for tensors in kept:
            progress = Progress.restored(tensors, course.start, "here")
            other = Course(course.settings, course.start, course.given, course.others, progress)
            other.run()
            assert (other.progress.network.arena == course.progress.network.arena).all(), settings
            assert other.progress.chosen == course.progress.chosen


def check_fixed_binarisation() -> None:
    """Rows that are drawn once for all are the same 0/1 rows in every epoch, and for the posterior beside them."""
    network = networks("dbm of 2")["classifier"]
    data, rows = examples_of(network, "fixed"), np.arange(len(X))
    drawn = data.visible(network, rows)
    assert set(np.unique(drawn)) == {0, 1} and np.abs(data.posterior - heard(network, drawn)).max() == 0
    with workers(network.arena) as pool:
        tuner = Tuner(network, FineTuneSettings(binarize="fixed"), Key.from_seed(99), pool)
        for _ in range(2):
            tuner.differentiate(data, rows)
            found = tuner.tape.get("0/input", len(X), network.net.width(0))
            assert (found[:, :UNITS] == drawn).all(), "rows are drawn anew"


def check_lbfgs() -> None:
    """With decay of the weights, L-BFGS gets as far as scipy's on the same objective in plain numpy."""
    network = learner(3)
    penalty, sizes = 0.02, network.net
    decayed = np.zeros(network.arena.size)
    for span, weights in network.spans():
        decayed[span] = weights
    target = np.eye(4)[Y]

    def objective(arena: Any) -> Any:
        p = plain.values(network.views(arena), sizes.functions, X)[-1]
        return np.mean(plain.LOSSES["softmax"](p, target)) + penalty / 2 * np.sum(decayed * arena**2)

    def slope(arena: Any) -> Any:
        steps = np.eye(len(arena)) * 1e-25j
        return np.array([objective(arena + step).imag / 1e-25 for step in steps])

    wanted = minimize(objective, network.arena, jac=slope, method="L-BFGS-B").fun
    settings = {"optimizer": "lbfgs", "l2": penalty, "validation": 0.0, "output_epochs": 0, "epochs": 500}
    course, records, _ = followed(network, **settings)
    found = objective(course.progress.network.arena)
    assert wanted < objective(network.arena) - 0.1 and found < wanted + 1e-4, (found, wanted)
    decay = penalty / 2 * np.sum(decayed * course.progress.network.arena**2)
    assert abs(records[-1]["train_loss"] + decay - found) < 1e-9 and course.progress.chosen == len(records) < 500
    assert np.abs(slope(course.progress.network.arena)).max() < 1e-3
