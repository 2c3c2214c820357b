"""scikit-learn's BernoulliRBM: persistent contrastive divergence, and its public Gibbs step."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import sklearn
from sklearn.neural_network import BernoulliRBM

from . import Array, Contender, Problem, Work, fits, parameters


def _machine(problem: Problem) -> BernoulliRBM:
    """A float32 machine as fit leaves it, with the weights and chains of the problem."""
    (weight,), (visible, hidden) = problem.weights, problem.biases
    machine = BernoulliRBM(len(hidden), learning_rate=problem.learning_rate, batch_size=problem.batch, random_state=1)
    machine.fit(problem.rows[: problem.batch])
    machine.components_ = np.array(weight.T, order="F")
    machine.intercept_visible_, machine.intercept_hidden_ = visible.copy(), hidden.copy()
    machine.h_samples_ = problem.start["h1"].copy()
    return machine


def pcd(problem: Problem, threads: int) -> Work:
    """The minibatch step of fit, in float32; the public partial_fit would turn every batch into float64."""
    machine = _machine(problem)
    batches, random = cycle(problem.batches()), np.random.RandomState(1)

    def run(count: int) -> None:
        for _ in range(count):
            machine._fit(next(batches), random)

    def result() -> tuple[Array, ...]:
        return parameters([machine.components_.T], [machine.intercept_visible_, machine.intercept_hidden_])

    return Work(run, result)


def gibbs(problem: Problem, threads: int) -> Work:
    """The public Gibbs step; it returns the visible layer only, from which the result draws the hidden one."""
    machine = _machine(problem)
    machine.random_state_ = np.random.RandomState(2)
    state = {"v": problem.start["v"]}

    def run(count: int) -> None:
        for _ in range(count):
            state["v"] = machine.gibbs(state["v"])

    def result() -> tuple[Array, ...]:
        hidden = machine.transform(state["v"].astype(np.float32))
        return state["v"], machine.random_state_.uniform(size=hidden.shape) < hidden

    return Work(run, result)


def fit(problem: Problem, threads: int) -> Work:
    """Whole trainings by the public fit."""
    return fits(BernoulliRBM, problem)


def contenders() -> list[Contender]:
    """This library; its products run in the BLAS of numpy, whose threads boltz has set."""
    return [Contender("scikit-learn", sklearn.__version__, lambda n: None, {"pcd": pcd, "gibbs": gibbs, "fit": fit})]
