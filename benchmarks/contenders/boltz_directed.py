"""boltz: the steps of its own training loop on directed machines, and the noise that they draw."""

from __future__ import annotations

from itertools import count as counter
from itertools import cycle

import numpy as np

import boltz
import boltz.kernels as kernels
from boltz.data.from_arrays import as_data
from boltz.nn.arena import Tape
from boltz.numerics import log_mean_exp
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.recognition import sampled, streams
from boltz.training import optimizers
from boltz.training.objectives import OBJECTIVES
from boltz.training.pretraining import Stage
from boltz.training.programs import Steps, fits
from boltz.training.rules import Clock
from boltz.training.state import TrainState
from boltz.training.variational import Variational

from . import Array, Lesson, Noise, Slope, Work

KEY, FIRST = Key.from_seed(1), 1


def lesson(problem: Lesson, threads: int) -> Work:
    """Draws, both passes and the update of a batch; bookkeeping and the choice of rows left out."""
    machine = problem.machine.astype(problem.machine.dtype)
    settings = boltz.DirectedSettings(
        objective=problem.objective,
        samples=problem.samples,
        batch_size=problem.batch,
        learning_rate=problem.learning_rate,
        binarize="none",
    )
    rule = Variational(settings)
    work, optimizer = rule.workspace(machine), optimizers.init(settings, machine)
    state, batches, steps = (
        rule.init(machine, problem.rows[: rule.start_rows], KEY, len(problem.rows)),
        problem.batches(),
        counter(FIRST),
    )
    supply = cycle(batches)
    stage, data = Stage("joint", settings, rule), as_data(np.concatenate(batches), "rows", machine.layers[0], None)
    learnt = TrainState(machine, [])
    learnt.enter(stage, problem.rows[: rule.start_rows], KEY, len(problem.rows))

    def together(count: int) -> None:
        """As training does where it can make a program of its steps."""
        with workers() as pool:
            program, done = Steps(stage, learnt, data, (KEY, KEY), pool), 0
            while done < count:
                if learnt.batch == 0:
                    program.begin(np.arange(len(data.x)))
                taken = program.run(count - done)
                learnt.batch, done = (learnt.batch + taken) % program.batches, done + taken
            if not program.sound:
                raise FloatingPointError("training left the finite numbers")

    def run(count: int) -> None:
        with workers() as pool:
            for _ in range(count):
                step = next(steps)
                rule.gradient(work, next(supply), state, Clock(KEY, step), pool)
                this = optimizers.Step([problem.learning_rate], [0.0], step)
                if not optimizers.apply(settings, machine, work.gradient, optimizer, this, pool):
                    raise FloatingPointError("training left the finite numbers")

    def probe(noise: Noise) -> Slope:
        """With the noise of the first step, which is what `drawn` gives."""
        with workers() as pool:
            found = rule.gradient(work, batches[0], state, Clock(KEY, FIRST), pool)
            passes = sampled(machine, Tape(machine.arena), batches[0], problem.samples, (KEY, FIRST), pool)
        log_w = np.concatenate([each.log_weights() for each in passes])
        bound = log_mean_exp(log_w, 1) if OBJECTIVES[problem.objective].bound == "iwae" else log_w
        return float(bound.mean()), {name: x.copy() for name, x in found.items()}

    way = together if fits(stage, machine, data, state) else run
    return Work(way, lambda: tuple(x.copy() for x in machine.params.values()), probe)


def drawn(problem: Lesson) -> dict[str, Array]:
    """The noise of the first step, layer -> (rows * samples, units)."""
    machine, rows, found = problem.machine, problem.batch * problem.samples, {}
    for layer in machine.structure.latent:
        stream = streams(machine, KEY, FIRST)[layer.name]
        if layer.kind == "gaussian":
            found[layer.name] = np.empty((rows, layer.units), machine.dtype)
            kernels.normal(stream, np.arange(rows), found[layer.name])
        else:
            bits = np.empty((rows, layer.units), np.uint32)
            kernels.philox(stream, 0, bits)
            found[layer.name] = ((bits >> 2) * 2.0**-30).astype(machine.dtype)
    return found
