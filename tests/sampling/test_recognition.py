"""Catches samples of the recognition model with wrong log-weights or law, or that depend on blocks or anything else."""

from __future__ import annotations

import numpy as np
import pytest
from checks import directed_laws as laws
from checks.directed import BITS, CLOCK, SERIAL, machine_of, plenty
from oracles import directed as oracle
from oracles.directed import Directed

import boltz
from boltz.nn.arena import Tape, zeros
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.recognition import BLOCK, encode, parts, rbm_log_density, sampled


def test_log_weights_of_every_kind_of_machine() -> None:
    laws.check_log_weights()


def test_pairs_of_samples_follow_the_law_of_recognition() -> None:
    laws.check_recognition_law()


def test_draws_of_samples_layers_steps_and_phases_are_independent() -> None:
    laws.check_independent_draws()


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 50, 300, 5000])
@pytest.mark.parametrize("rows", [1, 2, 3, 31, 32, 33, 100, 1001])
def test_blocks_are_whole_rows_in_order(rows: int, samples: int) -> None:
    """Each row lies in one block; more than one block where there is enough, none much larger than it should be."""
    found = parts(Tape(np.empty(0)), rows, samples)
    edges = [part.rows.start for part in found] + [found[-1].rows.stop]
    assert edges[0] == 0 and edges[-1] == rows and all(part.total == rows for part in found)
    assert [part.rows.stop for part in found] == edges[1:] and (np.diff(edges) > 0).all()
    assert len(found) > 1 or rows * samples < 40 or rows < 8
    most = max(np.diff(edges)) * samples
    assert most <= BLOCK + 8 * samples
    assert all(edge * samples % 4 == 0 for edge in edges[:-1])


@pytest.mark.parametrize("samples", [1, 4, 10, 300])
@pytest.mark.parametrize("rows", [5, 30, 60, 100, 500])
def test_threads_add_no_blocks_of_few_rows(rows: int, samples: int) -> None:
    """Products sum few rows in another order; catches results that depend on the number of threads.

    Products are of all samples of the rows of a block; several samples share one encoding of the whole batch.
    """
    tape, before, found = Tape(np.empty(0, np.float32)), boltz.threads(), []
    try:
        for count in (1, 2, 3, 40):
            boltz.threads(count)
            found.append([part.rows.stop - part.rows.start for part in parts(tape, rows, samples)])
    finally:
        boltz.threads(before)
    for sizes in found[1:]:
        assert sizes == found[0] or min(sizes + found[0]) * samples >= 32


@pytest.mark.parametrize("layers", ["3b 2b 2b", "3g 2g 2g", "3b 2b 2b rbm"])
def test_draws_depend_on_key_step_and_row_alone(layers: str) -> None:
    """Neither on threads, nor on what the tape held, nor on the rows beside: sample k of row i is chain i K + k."""
    machine, x = machine_of(layers), np.resize(plenty(machine_of(layers)), (200, 3))

    def draws(rows: int, at: tuple[Key, int], threads: int = 1, tape: Tape | None = None) -> np.ndarray:
        before, held = boltz.threads(), tape or Tape(machine.arena)
        try:
            boltz.threads(threads)
            with workers() as pool:
                passes = sampled(machine, held, x[:rows], 3, at, pool)
        finally:
            boltz.threads(before)
        return np.concatenate([found.log_weights() for found in passes])

    at, used = (CLOCK.key, 5), Tape(machine.arena)
    wanted = draws(200, at)
    draws(200, (CLOCK.key, 9), tape=used)
    assert (draws(200, at, 3) == wanted).all() and (draws(200, at, tape=used) == wanted).all()
    assert (draws(77, at, tape=used) == wanted[:77]).all()
    assert (draws(200, (CLOCK.key, 6)) != wanted).any() and (draws(200, (Key(1, 1), 5)) != wanted).any()


def test_the_lowest_net_runs_once_a_row() -> None:
    """Samples of a row share the outputs that its encoding gave."""
    machine = machine_of("3b 2g", [[4]])
    tape = Tape(machine.arena)
    tape.get("state/v", 3, 3)[...] = BITS
    encoded, _ = encode(machine, tape.whole(3))
    wanted = oracle.outputs(Directed.of(machine), "recognition/h1", BITS)
    np.testing.assert_allclose(encoded + machine.params["recognition/h1/1/bias"], wanted, rtol=0, atol=1e-13)
    assert encoded.shape == (3, 4)


@pytest.mark.parametrize("layers", ["3b 2b 2b", "3g 2g 2g", "3b 2b 2b rbm"])
def test_the_prior_of_given_states(layers: str) -> None:
    machine = machine_of(layers)
    top = machine.structure.latent[-1]
    state = oracle.bits(top.units) if top.kind == "bernoulli" else np.random.default_rng(1).normal(size=(4, top.units))
    part = Tape(machine.arena).whole(len(state))
    wanted = oracle.log_prior(Directed.of(machine), state)
    if machine.prior_machine is not None:
        found = rbm_log_density(machine.prior_machine, state)
    else:
        found = machine.factors[top.name].score(machine.place(top, None, part), state).log_density
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)
    if "prior/bias" in machine.params:
        p = 1 / (1 + np.exp(-machine.params["prior/bias"]))
        np.testing.assert_allclose(part.get("prior/delta", top.units), state - p, rtol=0, atol=1e-15)


def test_log_weights_are_double_sums_in_single_precision_machines() -> None:
    machine = machine_of("3g 2g 2g").astype(np.float32)
    x = plenty(machine).astype(np.float32)
    passes = sampled(machine, Tape(machine.arena), x, 2, (CLOCK.key, 1), SERIAL)
    assert passes[0].log_weights().dtype == np.float64 and zeros(x).dtype == np.float64
    assert passes[0].state("h1").dtype == np.float32


def test_rows_beyond_sense_give_a_log_weight_that_is_not_finite() -> None:
    """A NaN in a row is not swallowed, and stays in its row."""
    machine, x = machine_of("3g 2g"), plenty(machine_of("3g 2g"))
    x[4, 1] = np.nan
    passes = sampled(machine, Tape(machine.arena), x, 2, (CLOCK.key, 1), SERIAL)
    log_w = np.concatenate([found.log_weights() for found in passes])
    assert np.isnan(log_w[4]).all() and np.isfinite(np.delete(log_w, 4, axis=0)).all()
