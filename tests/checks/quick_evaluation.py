"""Quick checks of evaluation: values against enumeration, rows of a run, and what is said of both."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import boltz
from boltz.estimators.estimate import exact
from boltz.estimators.words import in_words
from boltz.evaluation.words import verdict

X = np.random.default_rng(11).integers(0, 2, (24, 6)).astype(np.float32)


def _enumerated(machine: boltz.BoltzmannMachine, x: np.ndarray) -> np.ndarray:
    """log p(v) of rows (rows,) of an RBM by all its states, from weights and biases alone."""
    weight = machine.params[machine.graph.edges[0].key].astype(np.float64)
    visible, hidden = (machine.bias(layer).astype(np.float64) for layer in machine.units)
    count = len(visible)
    states = (np.arange(2**count)[:, None] >> np.arange(count)) & 1

    def score(v: np.ndarray) -> np.ndarray:
        found: np.ndarray = v @ visible + np.logaddexp(0, v @ weight + hidden).sum(axis=1)
        return found

    return score(x.astype(np.float64)) - np.logaddexp.reduce(score(states.astype(np.float64)))


def check_the_notebook_and_enumeration() -> None:
    """evaluate and compare give log p(v) by enumeration, row by row, and the difference of both machines."""
    one, other = (boltz.rbm(6, 3, X, seed=seed) for seed in (1, 2))
    one.arena[:] = np.random.default_rng(1).normal(0, 0.7, one.arena.size)
    found = boltz.evaluate(one, X)
    np.testing.assert_allclose(found.log_likelihood.per_row, _enumerated(one, X), atol=1e-4)
    assert found.log_z is not None and found.log_z.kind == "exact" and found.certified == "The log-likelihood is exact."
    pairs = boltz.compare({"one": one, "other": other}, X).pairs
    assert (pairs[0].first, pairs[0].second) == ("one", "other")
    wanted = _enumerated(one, X).mean() - _enumerated(other, X).mean()
    assert abs(pairs[0].difference - wanted) < 1e-4


def check_rows_of_a_run() -> None:
    """Without data a run is measured on its test rows, and diagnosed on its training rows; split names others."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.npz")
        np.savez(file, x_train=X[:16], x_test=X[16:])
        data = boltz.load_data(file)
        run = boltz.train(boltz.rbm(6, 3, X), data, Path(folder, "run"), epochs=1, batch_size=8)
        test = boltz.evaluate(run)
        assert (test.rows.split, len(test.rows.x)) == ("test", 8)
        np.testing.assert_array_equal(test.rows.x, X[16:])
        assert boltz.evaluate(Path(folder, "run"), split="train", limit=5).as_dict()["rows"] == 5
        assert boltz.evaluate(run, X, limit=5).as_dict()["rows"] == 5
        told = boltz.diagnose(run, sweeps=20).as_dict()
        assert (told["split"], told["rows"], told["data"]) == ("train", 16, "rows")


def check_learnt_finding() -> None:
    """A machine that learnt nothing gets attention, whatever its chains do; one far worse is bad; no others are.

    300 rows of two patterns of 8 units with a tenth of noise: a mixture gains about 2 nats a row, and a tenth of that
    is nothing. The look is exact to some hundredths, so that no seed raises a false alarm.
    """
    draw = np.random.default_rng(5)
    patterns = np.repeat([[0, 1], [1, 0]], 4, axis=1)[draw.integers(0, 2, 300)]
    rows = np.abs(patterns - (draw.random((300, 8)) < 0.1)).astype(np.float32)
    model = boltz.rbm(8, 4, rows)

    def learnt() -> tuple[str, str]:
        found = boltz.diagnose(model, rows, sweeps=20).finding("learnt")
        return found.verdict, found.sentence

    verdict, said = learnt()
    assert verdict == "attention" and "has learnt nothing" in said and "mixture of 20 products is" in said
    sound = boltz.train(model, rows, epochs=40, batch_size=10, learning_rate=0.1, validation=0.0).model
    model.arena[:] = sound.arena
    assert learnt()[0] == "fine"
    model.bias("v")[...] += 20
    assert learnt()[0] == "bad"
    noise = (draw.random((300, 8)) < 0.3).astype(np.float32)
    idle = boltz.diagnose(boltz.rbm(8, 4, noise), noise, sweeps=20).finding("learnt")
    assert idle.verdict == "fine" and "nothing to learn" in idle.sentence


def check_simple_lines() -> None:
    """Both simple models stand beside the machine in the text, and what would make them known is said."""
    machine = boltz.rbm(6, 3, X)
    text = str(boltz.evaluate(machine, X, train=X))
    for line, function in (
        ("mixture of 20 products", "mixture_of_products"),
        ("independent units", "independent_units"),
    ):
        assert f"\n{line} {in_words(getattr(boltz, function)(X, X))}\n" in text
    assert str(boltz.evaluate(machine, X)).endswith("its training rows are not known: give them as train=.")


def check_method_asked_for() -> None:
    """A small machine is enumerated by auto alone: two-sided anneals both ways, within 0.1 nats of the truth."""
    machine = boltz.from_arrays([np.full((3, 2), 0.5)], [np.zeros(3), np.zeros(2)])
    both, auto = (boltz.log_z(machine, 1.0, 0.0, method=method) for method in ("two-sided", "auto"))
    assert both.ladder is not None and auto.ladder is None and auto.estimate.kind == "exact"
    assert abs(both.value - auto.value) < 0.1


def check_words() -> None:
    """What is not trusted is said, in the text of a result as in its verdict."""
    poor = boltz.ais(boltz.rbm(6, 3, X), chains=5, betas=5)
    assert not poor.trusted and "NOT trusted" in str(poor) and "NOT trusted" in repr(poor)
    assert "NO: 5 chains ran" in poor._repr_html_() and "5 chains ran" in str(poor)
    assert "NOT trusted" in verdict(exact(-3.0, ""), poor) and "trusted" in repr(exact(1.0, ""))
