"""The sleep phase: dreams (h, v) from the generative model, from which recognition learns (Hinton et al. 1995)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import Job, Params
from boltz.parallel import Workers
from boltz.sampling.ancestral import descend, draw_prior
from boltz.sampling.recognition import parts
from boltz.training.rules import Clock

Array = NDArray[Any]


def dream(machine: HelmholtzMachine, tape: Tape, rows: int, weight: float, clock: Clock, pool: Workers) -> None:
    """Dream so many rows and leave the deltas of recognition, each row with this weight, on the tape.

    A machine with an RBM prior finds the states of its topmost drawn layer on the tape.
    """
    key = clock.key.derive("dream")

    def work(part: Part) -> None:
        if machine.prior_machine is None:
            draw_prior(machine, part, key, clock.step)
        descend(machine, part, key, clock.step)
        recognise(machine, part, weight)

    pool.map(work, parts(tape, rows, 1))


def recognise(machine: HelmholtzMachine, part: Part, weight: float) -> None:
    """Deltas of weight * log q(h | v) for the states on the tape."""
    for layer, encoder in machine.encoders.items():
        place = machine.encoder_place(layer, part)
        field, pullback = encoder.encode(place)
        encoder.score(place, field, part.get(f"state/{layer}", encoder.units))
        encoder.pull(place, field, field.dtype.type(weight))
        pullback(field, None, False)


def sleep_products(machine: HelmholtzMachine, gradient: Params, tape: Tape, rows: int, add: bool) -> list[Job]:
    """The parameter products of recognition for dreamt rows; add keeps what the wake phase left."""
    jobs: list[Job] = []
    for layer, encoder in machine.encoders.items():
        jobs += encoder.products(machine.encoder_place(layer, tape.whole(rows)), gradient, add=add)
    return jobs
