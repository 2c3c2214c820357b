"""Laws of completed rows against enumeration: p(unknown | known) of every kind of machine.

Each check takes no argument, has a fixed key and the false-alarm rate stats.ALPHA = 1e-6, and says what it detects.
Chains are long enough for these small machines that what remains of their start is far below what a test can see.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from checks.posterior import KEY, hidden_states, random
from checks.quick_posterior import drawn, linear_gaussian
from oracles import enumeration
from oracles.directed import Directed, log_evidence, log_p, log_q, outputs
from oracles.enumeration import Table
from scipy import stats as laws
from scipy.special import expit, logsumexp
from support import stats
from support.machines import machine_of, ring

import boltz
from boltz.sampling.clamped import posterior
from boltz.sampling.completion import filled
from boltz.sampling.evidence import Evidence
from boltz.sampling.metropolis import metropolis_chains
from boltz.sampling.passes import MEAN_SWEEPS

TABLES = {
    "rbm": Table.random([5, 3], 2.0, 60),
    "dbm": Table.random([4, 3, 2], 1.5, 62),
    "ring": ring(70),
}
NETS = {
    "sbn": random(boltz.sbn([4, 2, 2]), 1.3, 64),
    "dbn": random(boltz.dbn([4, 2, 2, 2]), 1.4, 63),
}
GREY = np.array([1.0, 0.25, 0.0, 1.0, 0.5])


def fillings(row: Any, known: Any) -> Any:
    """The visible row (units,) with every state of its unknown units (states, units)."""
    states = enumeration.bits(int((~known).sum()))
    found = np.repeat(row[None], len(states), axis=0)
    found[:, ~known] = states
    return found


def law_of(machine: Any, row: Any, known: Any) -> Any:
    """p(unknown | known) of every state of the unknown units of a row (units,), by enumeration."""
    rows = fillings(row, known)
    if isinstance(machine, boltz.BoltzmannMachine):
        rests = [enumeration.clamp(Table.of(machine), {"v": v}) for v in rows]
        log_density = np.array([constant + enumeration.log_z(rest) for rest, constant in rests])
    else:
        log_density = log_evidence(Directed.of(machine), rows)
    return np.exp(log_density - logsumexp(log_density))


def whole_states(machine: Any, row: Any, known: Any) -> tuple[Any, Any, Any]:
    """Every state of the unknown units and the hidden layers of a binary machine; tables (x, h) of p and q(h | x)."""
    rows, hidden, plain = fillings(row, known), hidden_states(machine), Directed.of(machine)
    count, states = len(rows), len(hidden["h1"])
    whole = {"v": np.repeat(rows, states, axis=0), **{n: np.tile(h, (count, 1)) for n, h in hidden.items()}}
    p, q = (np.exp(sum(found.values())).reshape(count, states) for found in (log_p(plain, whole), log_q(plain, whole)))
    return whole, p / p.sum(), q


def masks(units: int) -> Any:
    """Two rows' known units: some, and none."""
    some = np.arange(units) % 2 == 0
    return np.stack([some, np.zeros(units, bool)])


def drawn_counts(machine: Any, row: Any, known: Any, sweeps: int, pairs: int) -> list[Any]:
    """How often each state of the unknown units is drawn by so many chains of each of several masks, taken in turn."""
    count = len(known)
    found = boltz.complete(machine, np.tile(row, (pairs * count, 1)), np.tile(known, (pairs, 1)), "sample", sweeps, 3)
    states = [found[i::count][:, ~k].astype(int) for i, k in enumerate(known)]
    return [np.bincount(x @ (1 << np.arange(x.shape[1])[::-1]), minlength=2 ** x.shape[1]) for x in states]


def check_draws_of_boltzmann_machines() -> None:
    """Chi-square of 2,000 chains a mask; catches known units that do not stay, masks of other rows or turned round.

    The known units are grey in one machine, where they enter by the energy alone.
    """
    for name, table in TABLES.items():
        machine, units = machine_of(table), table.layers["v"]
        row = GREY if name == "rbm" else (np.arange(units) % 2).astype(float)
        known = masks(units)
        for k, counts in zip(known, drawn_counts(machine, row, known, 40, 2000), strict=True):
            p = law_of(machine, row, k)
            stats.accept(stats.chi_square(counts, p), f"units of the {name} are not drawn given the known ones")
            if k.any():
                free = enumeration.marginal(table, ("v",)).reshape([2] * units).sum(axis=tuple(np.flatnonzero(k)))
                assert stats.detectable_chi_square(2000, p, free.reshape(-1)), "known units without any effect"


def check_draws_of_belief_nets() -> None:
    """Chi-square of 500 chains; catches known units that are not heard, or heard the wrong way round."""
    known = masks(4)[:1]
    for name, row in (("sbn", np.array([1.0, 0.0, 0.0, 0.0])), ("dbn", np.zeros(4))):
        machine = NETS[name]
        (counts,), p = drawn_counts(machine, row, known, 200, 500), law_of(machine, row, known[0])
        stats.accept(stats.chi_square(counts, p), f"units of the {name} are not drawn given the known ones")
        assert stats.detectable_chi_square(500, p, law_of(machine, 1 - row, known[0]))


def check_sweeps_of_belief_nets() -> None:
    """40,000 exact draws of unknown units and hidden layers keep their joint law over 6 sweeps, however slow these are.

    Catches proposals that are all accepted, weights of the old states that are those of an earlier x, layers that stay.
    """
    count, row, known = 40_000, np.array([1.0, 0.0, 0.0, 1.0]), masks(4)[0]
    for name, machine in NETS.items():
        whole, p, q = whole_states(machine, row, known)
        untested = (p.sum(axis=1) @ q) * (p / p.sum(axis=0))
        assert stats.detectable_chi_square(count, p.reshape(-1), untested.reshape(-1))
        start = drawn(p.reshape(-1), count, 9)
        chains = metropolis_chains(machine, Evidence(np.tile(row, (count, 1)), np.tile(known, (count, 1))), KEY, 0, 1)
        states = {n: chains.now.get(f"state/{n}", x.shape[1]) for n, x in whole.items()}
        for n, x in states.items():
            x[...] = whole[n][start]
        for step in range(6):
            chains.sweep(step)
        places, table = (np.hstack([x[n] for n in whole]).astype(int) for x in (states, whole))
        bit = 1 << np.arange(places.shape[1])[::-1]
        found = np.bincount(places @ bit, minlength=bit[0] * 2)[table @ bit]
        assert found.sum() == count, "a known unit has moved"
        stats.accept(stats.chi_square(found, p.reshape(-1)), f"sweeps of the {name} do not keep p(unknown, h | known)")


def check_draws_of_a_gaussian_machine() -> None:
    """Chi-square on 16 equal cells of the normal p(unknown | known), whose mean and spread are known in closed form.

    Catches a law whose mean is off by a fifth of its spread: that of units which do not hear the known ones is further.
    """
    machine, count, cells = linear_gaussian(), 3000, 16
    p, units = machine.params, 3
    weight, bias = p["generative/v/0/weight"][:, :units], p["generative/v/0/bias"]
    noise = np.exp(-2 * bias[units:])
    spread = weight.T @ weight + np.diag(1 / noise)
    within = np.linalg.inv(np.eye(2) + (weight * noise) @ weight.T)  # the posterior, which recognition only resembles
    p["recognition/h1/0/weight"][:, :2] = 0.8 * ((within @ weight) * noise).T
    p["recognition/h1/0/bias"][...] = [0.2, -0.2, *(np.log(np.diag(within)) / 2 + 0.2)]
    x = bias[:units] + np.array([0.0, 1.0, -1.0]) * np.sqrt(np.diag(spread))
    gain = np.linalg.solve(spread[1:, 1:], spread[1:, 0])
    mean, sigma = bias[0] + gain @ (x[1:] - bias[1:units]), np.sqrt(spread[0, 0] - gain @ spread[1:, 0])
    even = np.full(cells, 1 / cells)
    moved = np.diff(laws.norm.cdf(laws.norm.ppf(np.arange(cells + 1) / cells) + 0.2))
    assert stats.detectable_chi_square(count, even, moved) and abs(mean - bias[0]) > 0.2 * sigma
    found = boltz.complete(machine, np.tile(x, (count, 1)), [False, True, True], "sample", 60, 4)
    cell = np.minimum((laws.norm.cdf((found[:, 0] - mean) / sigma) * cells).astype(int), cells - 1)
    stats.accept(
        stats.chi_square(np.bincount(cell, minlength=cells), even), "real units are not drawn given the others"
    )
    means = boltz.complete(machine, np.tile(x, (count // 3, 1)), [False, True, True], "mean", 60, 5)
    stats.accept(laws.ttest_1samp(means[:, 0], mean).pvalue, "means of real units are off")


def check_means() -> None:
    """Student's test of 100 chains, one a row, against enumerated conditional means; alpha 1e-6 for all units."""
    for name, machine in {**{n: machine_of(t) for n, t in TABLES.items()}, **NETS}.items():
        units = machine.layers[0].units
        row, known = (np.arange(units) % 2).astype(float), masks(units)[0]
        wanted = law_of(machine, row, known) @ enumeration.bits(int((~known).sum()))
        found = boltz.complete(machine, np.tile(row, (100, 1)), known, "mean", 400, 6)[:, ~known]
        p_values = [laws.ttest_1samp(x, m).pvalue for x, m in zip(found.T, wanted, strict=True)]
        stats.accept(stats.smallest_of(p_values), f"means of the {name} are not those given the known units")
        assert all(stats.detectable_mean(100, 0.1, x.var()) for x in found.T), found.var(axis=0)


def check_rows_are_numbered() -> None:
    """A row is completed as it is beside fewer others; catches blocks that share their random numbers."""
    for machine in (machine_of(TABLES["dbm"], np.float32), NETS["sbn"].astype(np.float32)):
        x = np.tile([1.0, 0.0, 0.0, 1.0], (700, 1))
        many = boltz.complete(machine, x, masks(4)[0], "mean", 6, 7)
        few = boltz.complete(machine, x[:300], masks(4)[0], "mean", 6, 7)
        np.testing.assert_array_equal(many[:300], few)
        assert (many[:256] != many[256:512]).any(), "blocks of rows share their random numbers"


def check_posterior_means() -> None:
    """Mean field solves its equations in hidden layers and unknown units alike."""
    for table in TABLES.values():
        units = table.layers["v"]
        known = np.stack([np.arange(units) % 3 != i % 3 for i in range(6)])
        x = np.random.default_rng(8).random((6, units))
        means = posterior(machine_of(table), Evidence(x, known), 3000)
        assert list(means) == list(table.layers) and (means["v"][known] == x[known]).all()
        for layer, mean in means.items():
            wanted = enumeration.conditional(table, layer, means)
            free = ~known if layer == "v" else np.ones_like(mean, bool)
            assert np.abs(mean - wanted)[free].max() < 1e-9, layer


def check_passes_up_and_down() -> None:
    """Unknown units are where plain formulas lead that go down and up by means, from hidden units at 0 on."""
    rng = np.random.default_rng(12)
    for machine in (
        *NETS.values(),
        random(boltz.vae([4, 3], 2), 1.0, 67),
        random(boltz.vae([4], 3, visible="gaussian"), 0.4, 68),
    ):
        plain, known, x = Directed.of(machine), rng.random((9, 4)) < 0.5, rng.random((9, 4))
        (_, units, below), (lowest, width, above) = plain.layers[0], plain.latent[0]
        hidden = np.zeros((9, width))
        for _ in range(MEAN_SWEEPS):
            down = outputs(plain, "generative/v", hidden)
            x = np.where(known, x, expit(down) if below == "bernoulli" else down[:, :units])
            up = outputs(plain, f"recognition/{lowest}", x)
            hidden = expit(up) if above == "bernoulli" else up[:, :width]
        rows = np.where(known, x, 0)
        np.testing.assert_allclose(filled(machine, Evidence(rows, known)), x, rtol=1e-9)
        assert np.abs(filled(machine, Evidence(rows, known[::-1])) - x).max() > 0.01
