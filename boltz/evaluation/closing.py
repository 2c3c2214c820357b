"""How long what follows a training takes on this machine, and how many temperatures of annealing a time affords."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from boltz.data import Data
from boltz.data.dataset import only
from boltz.diagnostics.layers import LOOKED_AT
from boltz.estimators.ais import exact_or_ais
from boltz.estimators.estimate import Estimate
from boltz.estimators.likelihood import log_likelihood
from boltz.estimators.simple_models import mixture_of_products
from boltz.evaluation.evaluate import samples_for
from boltz.evaluation.log_z import Annealing
from boltz.evaluation.rows import visible_rows
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.products import ROWS
from boltz.sampling.inferred import density_known
from boltz.sampling.temperatures import DEFAULT_STEPS, adaptive_steps, schedule
from boltz.training.train import LEARNT_ROWS

SHARE, LEAST_STEPS = 0.3, 500  # of the minutes for all that follows a training; temperatures
PILOTS = 1.15  # times the annealing itself, with its pilots and the second look
SHORT = 40  # temperatures of an annealing that tells the time of one
FEW_ROWS, SOME_ROWS = 20, 1000  # of a likelihood and of a mixture that are timed
PICTURES = 3.0  # seconds of drawing and of writing files, of images
LAYERS, LOOKS = 6500, 1000  # temperatures that take as long as what a layer adds, and as notes and the search for modes
CLOCK = time.perf_counter


@dataclass(frozen=True)
class Asked:
    """What is to be measured, if wanted: log Z by this annealing, and so many rows with so many importance samples.

    named: somebody named the temperatures.
    """

    wanted: bool
    annealing: Annealing
    samples: int
    rows: int
    named: bool


@dataclass(frozen=True)
class Closing:
    """What follows a training: its seconds, and the annealing that they are for."""

    seconds: float
    annealing: Annealing


def closing(model: Model, data: Data, binarize: str, asked: Asked, seconds: float) -> Closing:
    """What the end of a training of so many seconds in all takes, measured on a machine that is not trained yet.

    data: training rows. Annealing that nobody named gets fewer temperatures, adaptive ones, where all of its usual ones
    would take more than SHARE of the time.
    """
    pictures = PICTURES if data.shape else PICTURES / 3
    if not asked.wanted:
        return Closing(pictures, asked.annealing)
    machine, found = model.undirected, asked.annealing
    each, once, log_z = (0.0, 0.0, None) if machine is None else _temperature(machine, found)
    others = pictures + once + LOOKS * each + _rows(model, data, binarize, asked, log_z)
    deep = machine is not None and model.directed is None and not model.independent_hidden
    if deep and asked.rows:
        others += LAYERS * each * min(asked.rows / LOOKED_AT + 1, 2) / 2 * (len(model.layers) - 2)
    steps = _steps(found)
    if each and not asked.named:
        afforded = max(int((SHARE * seconds - others) / (PILOTS * each)), LEAST_STEPS)
        if afforded < min(steps, DEFAULT_STEPS):
            steps, found = afforded, replace(found, betas=f"adaptive:{afforded}")
    return Closing(others + PILOTS * each * steps, found)


def _steps(annealing: Annealing) -> int:
    """Its temperatures."""
    return adaptive_steps(annealing.betas) or len(schedule(annealing.betas)) - 1


def _temperature(machine: BoltzmannMachine, annealing: Annealing) -> tuple[float, float, Estimate]:
    """Seconds of one temperature of all chains, none where log Z is enumerated, those of what is done once beside it,
    and a rough log Z.
    """
    looks: list[tuple[int, float]] = []
    begun = CLOCK()
    found = exact_or_ais(machine, annealing.chains, SHORT, progress=lambda done, total: looks.append((done, CLOCK())))
    whole = CLOCK() - begun
    if len(looks) < 2:
        return 0.0, whole, found
    (first, start), (last, end) = looks[0], looks[-1]
    each = (end - start) / (last - first)
    return each, max(whole - SHORT * each, 0.0), found


def _rows(model: Model, data: Data, binarize: str, asked: Asked, log_z: Estimate | None) -> float:
    """Seconds of the log-likelihood of the rows, and of the mixture beside it."""
    if not asked.rows or not density_known(model):
        return 0.0
    count = len(data.x)
    x, _ = visible_rows(only(data, np.arange(min(count, SOME_ROWS))), binarize, 0, model)
    few, samples = x[:FEW_ROWS], samples_for(model, asked.samples)
    log_likelihood(model, few, log_z, samples, 0)
    likelihood, _ = _timed(lambda: log_likelihood(model, few, log_z, samples, 0))
    found = likelihood * asked.rows / len(few)
    if model.layers[0].binary and ((x == 0) | (x == 1)).all() and len(x) > 1:
        mixture, _ = _timed(lambda: mixture_of_products(x, few))
        found += mixture * (min(count, ROWS) + min(count, LEARNT_ROWS)) / len(x)  # also for the notes of the run
    return found


def _timed(work: Callable[[], Estimate]) -> tuple[float, Estimate]:
    begun = CLOCK()
    found = work()
    return CLOCK() - begun, found
