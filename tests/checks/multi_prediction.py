"""Checks of the rule multi-prediction against slow mean field and exact derivatives; they also catch the planted faults
of training.multi_prediction.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from checks.training import KEY, SERIAL, assert_close, centred, coin_rows, machine_of
from oracles import prediction
from oracles.enumeration import Table
from scipy.special import expit
from support import stats

import boltz
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge, Graph, Layer
from boltz.parallel import Workers
from boltz.presets import completed
from boltz.sampling.evidence import Evidence
from boltz.sampling.gibbs import Scratch
from boltz.training.multi_prediction import MultiPrediction, Unrolled
from boltz.training.pretraining import rule_of, stages
from boltz.training.rules import Clock
from boltz.training.settings import Settings, settings_from

Floats = Any
STEP = 3
UNITS = ((5, 4), (4, 3, 3), (4, 3, 2, 3))


def rule_with(**settings: Any) -> MultiPrediction:
    found = rule_of(Settings(rule="multi-prediction", **settings), {})
    assert isinstance(found, MultiPrediction)
    return found


def cycle() -> Table:
    """Four layers in a ring, so that the visible one has two neighbours."""
    chain, rng = Table.random((4, 3, 2, 3), 0.9, 34), np.random.default_rng(35)
    return Table(chain.layers, chain.edges | {("v", "h3"): rng.normal(0, 0.9, (4, 3))}, chain.biases)


def machine_with(table: Table) -> BoltzmannMachine:
    """The float64 machine of a table whose layers need not be a chain."""
    graph = Graph(tuple(Layer(n, u) for n, u in table.layers.items()), tuple(Edge(a, b) for a, b in table.edges))
    machine = BoltzmannMachine(graph, np.zeros(graph.parameters))
    for (a, b), weight in table.edges.items():
        machine.params[f"edge/{a}-{b}/weight"][...] = weight
    for n, bias in table.biases.items():
        machine.bias(n)[...] = bias
    return machine


def grey_rows(rows: int, units: int, seed: int) -> Floats:
    """Rows of numbers in [0, 1], of which some are 0 and 1."""
    return np.random.default_rng(seed).random((rows, units)).round(1)


def predicted_of(rule: MultiPrediction, machine: BoltzmannMachine, rows: Floats, step: int = STEP) -> Floats:
    """Which units (rows, units) of a batch the rule predicts."""
    return rule.predicted(machine, rows, Clock(KEY, step), 0, Scratch(machine.arena)).copy()


def gradient_with(
    rule: MultiPrediction, machine: BoltzmannMachine, rows: Floats, pool: Workers = SERIAL, **state: Floats
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """The gradient by name, and the arrays of the rule after one call."""
    after = rule.init(machine, rows, KEY, len(rows)) | {n.replace("_", "/"): x.copy() for n, x in state.items()}
    found = rule.gradient(rule.workspace(machine), rows.copy(), after, Clock(KEY, STEP), pool)
    return {name: x.copy() for name, x in found.items()}, after


@cache
def wanted(number: int, sweeps: int) -> tuple[Table, Floats, dict[str, Floats]]:
    """A machine, rows, and the exact derivatives for the units that the rule predicts."""
    table = Table.random(UNITS[number], 0.9, 30 + number) if number < len(UNITS) else cycle()
    rows = grey_rows(6, table.layers[table.visible], 40 + number)
    known = predicted_of(rule_with(prediction_sweeps=sweeps), machine_with(table), rows) == 0
    assert known.any() and not known.all()
    return table, rows, prediction.gradient(table, rows, known, sweeps)


def check_gradient() -> None:
    """For machines of one to three hidden layers and one with a cycle, grey rows, and one to four sweeps."""
    for number in range(len(UNITS) + 1):
        for sweeps in (1, 2, 4):
            table, rows, exact = wanted(number, sweeps)
            found, _ = gradient_with(rule_with(prediction_sweeps=sweeps), machine_with(table), rows)
            assert_close(found, exact, 1e-12)


def check_finite_differences() -> None:
    """Central differences, by steps of 1e-5, of what the rule's own last means give to the predicted units."""
    table, rows, _ = wanted(1, 2)
    rule, machine = rule_with(prediction_sweeps=2), machine_with(table)
    chosen = predicted_of(rule, machine, rows)
    found, _ = gradient_with(rule, machine, rows)

    def objective() -> float:
        q = predictions(machine, rows, chosen == 0, 2)
        return float(np.sum(chosen * (rows * np.log(q) + (1 - rows) * np.log1p(-q))) / len(rows))

    for name, x in machine.params.items():
        for place in np.ndindex(x.shape):
            kept, sides = x[place], []
            for step in (1e-5, -1e-5):
                x[place] = kept + step
                sides.append(objective())
            x[place] = kept
            assert abs((sides[0] - sides[1]) / 2e-5 - found[name][place]) < 1e-8, name


def predictions(machine: BoltzmannMachine, rows: Floats, known: Floats, sweeps: int) -> Floats:
    """The last means of the visible units, clear of 0 and 1 at the known ones, where no logarithm is taken."""
    work = rule_with().workspace(machine)
    last = Unrolled.of(work, len(rows), sweeps).relax(Evidence(rows, known), Scratch(machine.arena))
    np.testing.assert_array_equal(last[known], rows[known])
    return np.where(known, 0.5, last)


def check_predictions() -> None:
    """The means of the slow mean field after few sweeps, and those of boltz.complete once they have settled."""
    for number in range(len(UNITS) + 1):
        table, rows, _ = wanted(number, 2)
        machine, known = machine_with(table), grey_rows(*rows.shape, 50) < 0.5
        named = prediction.parameters(table)
        slow = [prediction.predicted(table, named, row, these, 3).real for row, these in zip(rows, known, strict=True)]
        np.testing.assert_allclose(predictions(machine, rows, known, 3), np.where(known, 0.5, slow), atol=1e-13)
    machine = machine_of(Table.random((6, 5, 4), 0.4, 7))
    rows, known = grey_rows(9, 6, 8), grey_rows(9, 6, 9) < 0.5
    settled = boltz.complete(machine, rows, known, "mean-field", 300)
    np.testing.assert_allclose(predictions(machine, rows, known, 300), np.where(known, 0.5, settled), atol=1e-9)


def check_predicted_units() -> None:
    """The share asked for, anew for each step, row and unit, whatever rows are drawn together; alpha 1e-6."""
    machine, rows = boltz.rbm(40, 3).astype(np.float64), np.zeros((500, 40))
    for share, other in ((0.5, 0.53), (0.2, 0.23)):
        rule = rule_with(predicted_share=share)
        found = predicted_of(rule, machine, rows)
        assert set(np.unique(found)) == {0.0, 1.0} and stats.detectable_binomial(found.size, share, other)
        stats.accept(stats.binomial_table(found.sum(), found.size, share), "another share of the units is predicted")
        later = predicted_of(rule, machine, rows, STEP + 1)
        for one, two in ((found, later), (found[1:], found[:-1]), (found[:, 1:], found[:, :-1])):
            alike, chance = int((one == two).sum()), share**2 + (1 - share) ** 2
            stats.accept(stats.binomial_table(alike, one.size, chance), "predicted units repeat")
        part = rule.predicted(machine, rows[200:], Clock(KEY, STEP), 200, Scratch(machine.arena))
        np.testing.assert_array_equal(part, found[200:])
    assert (predicted_of(rule_with(predicted_share=1), machine, rows) == 1).all()


def check_centred() -> None:
    """With offsets the direction is the plain gradient transformed; they and the rates follow data and means."""
    for number in (1, 2):
        table, rows, exact = wanted(number, 2)
        machine, rng = machine_with(table), np.random.default_rng(60)
        offsets = {n: rng.random(u) for n, u in table.layers.items()}
        fixed = rule_with(prediction_sweeps=2, center=True, center_rate=0.0)
        state = {f"offset_{n}": x for n, x in offsets.items()}
        assert_close(gradient_with(fixed, machine, rows, **state)[0], centred(table, exact, offsets), 1e-12)
        moving = rule_with(prediction_sweeps=2, center=True, center_rate=1.0)
        _, after = gradient_with(moving, machine, rows)
        seen = last_means(table, rows, predicted_of(moving, machine, rows) == 0, 2) | {"v": rows}
        assert_close(after, {f"offset/{n}": x.mean(axis=0) for n, x in seen.items()}, 1e-12)


def last_means(table: Table, rows: Floats, known: Floats, sweeps: int) -> dict[str, Floats]:
    """The last means of the hidden layers of a chain that the visible ones hear, written out."""
    names, bias = list(table.layers), table.biases
    mean = {n: np.tile(expit(bias[n]), (len(rows), 1)) for n in names[::2]}
    for sweep in range(sweeps):
        mean["v"] = np.where(known, rows, mean["v"])
        for start in (1, 0) if sweep + 1 < sweeps else (1,):
            for i in range(start, len(names), 2):
                below = mean[names[i - 1]] @ table.edges[names[i - 1], names[i]] if i else 0
                above = mean[names[i + 1]] @ table.edges[names[i], names[i + 1]].T if i + 1 < len(names) else 0
                mean[names[i]] = expit(bias[names[i]] + below + above)
    return mean


def check_sparse() -> None:
    """A sparsity penalty adds what it adds to the other rules, and nothing else."""
    table, rows, exact = wanted(1, 2)
    settings = {"sparsity_cost": 0.3, "sparsity_target": 0.2, "center_rate": 1.0}
    found, after = gradient_with(rule_with(prediction_sweeps=2, **settings), machine_with(table), rows)
    for a, b in table.edges:
        pull = {n: 0.3 * (0.2 - after[f"rate/{n}"]) for n in (a, b)}
        exact = exact | {f"layer/{b}/bias": exact[f"layer/{b}/bias"] + pull[b]}
        more = np.outer(after[f"rate/{a}"], pull[b])
        more = more + (np.outer(pull[a], after[f"rate/{b}"]) if a != table.visible else 0)
        exact[f"edge/{a}-{b}/weight"] = exact[f"edge/{a}-{b}/weight"] + more
    assert_close(found, exact, 1e-12)


def check_rows_dealt_out() -> None:
    """Rows that are dealt out in blocks give what one table of all rows gives."""
    machine = machine_of(Table.random((8, 6, 4), 0.8, 70))
    rows = coin_rows(300, 8, 71)
    rule = rule_with(prediction_sweeps=3)
    found, _ = gradient_with(rule, machine, rows)
    chosen = predicted_of(rule, machine, rows)
    work = rule.workspace(machine)
    whole = Unrolled.of(work, 300, 3)
    last = whole.relax(Evidence(rows, chosen == 0), Scratch(machine.arena))
    whole.propagate((rows - last) / 300, chosen, Scratch(machine.arena))
    rule._collect(work, whole, SERIAL)
    assert_close(found, work.named, 1e-12)


def check_no_chains() -> None:
    """Nothing is drawn but which units are predicted, and nothing is kept."""
    machine = machine_of(Table.random((4, 3), 1.0, 1))
    rule = rule_with()
    assert not rule.persistent and rule.init(machine, np.eye(4), KEY, 4) == {}
    assert not rule.recordable(machine)


def check_pretraining() -> None:
    """RBMs below have chains, and nothing of what is said of predictions."""
    graph = Graph.chain([6, 5, 4])
    for pretrain, rule in (("bottom", "pcd"), ("doubling", "cd"), ("two-stage", "cd")):
        more = {"predicted_share": 0.3, "prediction_sweeps": 2, "pretrain": pretrain, "pretrain_epochs": 1}
        *below, joint = stages(graph, Settings(rule="multi-prediction", **more))
        assert isinstance(joint.rule, MultiPrediction) and joint.rule.settings.predicted_share == 0.3
        for stage in below:
            assert not isinstance(stage.rule, MultiPrediction) and stage.rule.settings.rule == rule
            assert (stage.rule.settings.predicted_share, stage.rule.settings.prediction_sweeps) == (0.5, 5)


def check_preset() -> None:
    """No pretraining, as many epochs as an RBM has, and a rate of its own, unless named; other rules as they were."""
    shape, usual = (10_000, 784), completed("dbm", {}, (10_000, 784), True)
    found = completed("dbm", {"rule": "multi-prediction"}, shape, True)
    changed = {name for name in usual if found[name] != usual[name]}
    assert changed <= {"rule", "epochs", "pretrain_epochs", "learning_rate", "patience", "positive"}
    assert isinstance(settings_from(Settings, found), Settings)  # nothing in it that the rule does not have
    assert (found["epochs"], found["pretrain_epochs"], found["learning_rate"]) == (100, 0, 0.3)
    named = completed("dbm", {"rule": "multi-prediction", "epochs": 7, "pretrain_epochs": 3}, shape, True)
    assert (named["epochs"], named["pretrain_epochs"]) == (7, 3)
    assert completed("rbm", {"rule": "multi-prediction"}, shape, True)["learning_rate"] == 0.3
    assert completed("dbm", {"rule": "cd"}, shape, True) == usual | {"rule": "cd"}
