"""boltz: the steps of its own training loop, and its public functions for sampling and annealing."""

from __future__ import annotations

from dataclasses import replace
from itertools import count as counter

import numpy as np

import boltz
from boltz.data.from_arrays import as_data
from boltz.parallel import workers
from boltz.rng import Key
from boltz.training.contrastive import Contrastive
from boltz.training.pretraining import Stage
from boltz.training.programs import Steps
from boltz.training.state import TrainState

from . import LESSONS, Array, Contender, Problem, Work, fits, parameters
from .boltz_directed import lesson


def _training(problem: Problem, rule: str) -> Work:
    machine = boltz.from_arrays(problem.weights, problem.biases)
    settings = boltz.Settings(
        rule=rule,
        k=problem.k if rule == "cd" else 1,
        batch_size=problem.batch,
        chains=problem.chains,
        mean_field_sweeps=problem.mean_field_sweeps,
        mean_field_tolerance=0.0,
        initial_momentum=0.0,
        momentum=0.0,
        binarize="none",
    )
    stage, state, key = Stage("joint", settings, Contrastive(settings)), TrainState(machine, []), Key.from_seed(1)
    state.enter(stage, problem.start["v"], key, len(problem.rows))
    for layer, x in problem.start.items():
        if stage.rule.persistent:
            state.rule[f"chain/{layer}"][...] = x
    rows = as_data(np.concatenate(problem.batches()), "rows", machine.layers[0], None)

    def run(count: int) -> None:
        with workers() as pool:
            steps, done = Steps(stage, state, rows, (key, key), pool), 0
            while done < count:
                if state.batch == 0:
                    steps.begin(np.arange(len(rows.x)))
                    steps.rates[...] = problem.learning_rate
                taken = steps.run(count - done)
                state.batch, done = (state.batch + taken) % steps.batches, done + taken
            if not steps.sound:
                raise FloatingPointError("training left the finite numbers")

    def result() -> tuple[Array, ...]:
        weights = [machine.params[edge.key] for edge in machine.graph.edges]
        return parameters(weights, [machine.bias(layer) for layer in machine.graph.units])

    return Work(run, result)


def pcd(problem: Problem, threads: int) -> Work:
    """Persistent contrastive divergence; with two hidden layers, mean field and persistent chains."""
    return _training(problem, "pcd")


def cd(problem: Problem, threads: int) -> Work:
    """Contrastive divergence with k sweeps."""
    return _training(problem, "cd")


def gibbs(problem: Problem, threads: int) -> Work:
    """Block Gibbs sweeps through the public function, its start-up cost included."""
    machine = boltz.from_arrays(problem.weights, problem.biases)
    state, seeds = dict(problem.start), counter()

    def run(count: int) -> None:
        state.update(boltz.sample(machine, problem.chains, count, next(seeds), start=state))

    return Work(run, lambda: (state["v"], state["h1"]))


def ais(problem: Problem, threads: int) -> Work:
    """Whole annealing runs through the public function, of a machine that keeps its rates, as a trained one does.

    The seed is always the same, so that the search for modes, which the peers lack, takes as long in runs over few and
    over many temperatures.
    """
    machine = replace(boltz.from_arrays(problem.weights, problem.biases), rates=problem.rates)
    found: list[Array] = []

    def run(count: int) -> None:
        for _ in range(count):
            found[:] = [boltz.ais(machine, problem.chains, problem.betas, 0).log_weights]

    return Work(run, lambda: tuple(found))


def fit(problem: Problem, threads: int) -> Work:
    """Whole trainings by the estimator for scikit-learn."""
    from boltz.sklearn import BernoulliRBM

    return fits(BernoulliRBM, problem)


def contenders() -> list[Contender]:
    """This library; boltz.threads also sets the BLAS of numpy, which scikit-learn uses."""
    makers = {"pcd": pcd, "cd": cd, "gibbs": gibbs, "ais": ais, "dbm": pcd, "deep": pcd, "fit": fit}
    makers |= dict.fromkeys(LESSONS, lesson)
    return [Contender("boltz", boltz.__version__, boltz.threads, makers)]
