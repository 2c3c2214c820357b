"""Checks of thermal averages, reweighting and cluster flips against sums over every state."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import logsumexp
from scipy.stats import chi2

import boltz
from boltz.estimators.observables import from_both_ends
from boltz.estimators.replica_exchange import bennett
from boltz.estimators.reweighting import mixture, reweighted
from boltz.rng import Key
from boltz.sampling.clusters import Clusters, clusters_of
from boltz.sampling.ladder_fitting import fitted_places
from boltz.sampling.ladders import Temperatures
from boltz.targets import BaseRatePath

Floats = NDArray[np.float64]
BETAS = np.array([0.0, 0.4, 0.8, 1.2])
TARGETS = np.array([0.2, 0.55, 1.2])


def levels() -> tuple[Floats, Floats]:
    """Energies of all states of a small system, and another property of each."""
    rng = np.random.default_rng(7)
    return 2 * rng.normal(size=200), rng.normal(size=200)


def draws(copies: int, rounds: int, seed: int) -> tuple[Floats, Floats]:
    """Energy and property (copies, rungs, rounds) of independent draws at BETAS, each copy with draws of a mood of its
    own: half of its rounds repeat the other half, so that only copies are independent.
    """
    rng, (energy, other) = np.random.default_rng(seed), levels()
    found = np.empty((copies, len(BETAS), rounds), int)
    for k, beta in enumerate(BETAS):
        p = np.exp(-beta * energy - logsumexp(-beta * energy))
        half = rng.choice(len(p), (copies, rounds // 2), p=p)
        found[:, k] = np.concatenate([half, half], axis=1)
    return energy[found], other[found]


def truth_at(beta: float) -> tuple[float, float]:
    """log Z, and the mean of the property."""
    energy, other = levels()
    log_z = float(logsumexp(-beta * energy))
    return log_z, float(np.exp(-beta * energy - log_z) @ other)


def check_two_states_are_bennetts_ratio() -> None:
    """Catches wrong self-consistent equations: of two states they are Bennett's, which has one root."""
    energy, _ = draws(4, 50, 0)
    step = BETAS[2] - BETAS[1]
    found = mixture(energy[:, 1:3], BETAS[1:3], 1.5)
    truth = bennett(-step * energy[:, 1].reshape(1, -1), step * energy[:, 2].reshape(1, -1))
    assert abs(found.log_z[1] - found.log_z[0] - truth[0]) < 1e-9 and found.log_z[0] == 1.5


def check_reweighting_is_right_and_knows_its_error() -> None:
    """Catches a wrong log Z, mean or error between rungs, and errors that take all draws as independent.

    Of 200 runs, the standardised errors of each of six results have a root mean square between 0.85 and 1.25: chance
    alone leaves that range with probability 1e-3, errors without the repeats would give 1.4. Their mean is within 4.5
    of its own errors of 0 (1e-5 for each).
    """
    first, scores = truth_at(0.0)[0], []
    for seed in range(200):
        energy, other = draws(24, 20, seed)
        found = reweighted(mixture(energy, BETAS, first), TARGETS, other[None])
        truth = np.array([truth_at(beta) for beta in TARGETS])
        error = [np.sqrt(24 / 23 * np.sum(x**2, axis=0)) for x in (found.of_log_z, found.of_means[:, :, 0])]
        scores.append([(found.log_z - truth[:, 0]) / error[0], (found.means[:, 0] - truth[:, 1]) / error[1]])
    z = np.array(scores).reshape(200, -1)
    assert (np.abs(z.mean(axis=0)) < 4.5 * z.std(axis=0) / np.sqrt(200)).all(), z.mean(axis=0)
    assert ((np.sqrt((z**2).mean(axis=0)) > 0.85) & (np.sqrt((z**2).mean(axis=0)) < 1.25)).all(), z.std(axis=0)


def check_influences_foretell_a_copy_left_out() -> None:
    """Catches a part of the influence of a copy forgotten: against the whole computation without it."""
    energy, other = draws(24, 40, 3)
    first = truth_at(0.0)[0]
    whole = reweighted(mixture(energy, BETAS, first), TARGETS, other[None])
    assert np.abs(whole.of_log_z.sum(axis=0)).max() < 1e-8 and np.abs(whole.of_means.sum(axis=0)).max() < 1e-8
    for copy in (0, 5):
        kept = np.arange(24) != copy
        part = reweighted(mixture(energy[kept], BETAS, first), TARGETS, other[None][:, kept])
        for one, other_one, moved in (
            (whole.log_z, part.log_z, whole.of_log_z[copy]),
            (whole.means[:, 0], part.means[:, 0], whole.of_means[copy, :, 0]),
        ):
            assert np.abs((one - other_one) - moved * 24 / 23).max() < 0.12 * np.abs(moved).max()


def over_states(model: Any, states: Floats, m: Floats, temperature: float) -> dict[str, float]:
    """All observables by sums over every state of a machine of one layer, m being the order parameter of each."""
    energy, beta = model.energy({"v": states}), 1 / temperature
    log_z = float(logsumexp(-beta * energy))
    p, units = np.exp(-beta * energy - log_z), model.units["v"] // model.layers[0].columns
    mean = float(p @ energy)
    m1, size, m2, m4 = (float(p @ x) for x in (m, np.abs(m), m**2, m**4))
    return {
        "energy": mean,
        "heat_capacity": float(p @ (energy - mean) ** 2) / temperature**2,
        "magnetisation": m1,
        "absolute_magnetisation": size,
        "susceptibility": units / temperature * (m2 - m1**2),
        "absolute_susceptibility": units / temperature * (m2 - size**2),
        "binder": 1 - m4 / 3 / m2**2,
        "free_energy": -temperature * log_z,
        "log_z": log_z,
        "entropy": float(-p @ np.log(p)),
    }


def small_machines() -> list[tuple[Any, Floats, Floats]]:
    """Machines of one layer, all of their states, and the order parameter of each."""
    rng = np.random.default_rng(1)
    fields = rng.normal(0, 0.3, 12)
    spins = np.array(list(product((-1.0, 1.0), repeat=12)))
    lattice = boltz.lattice((3, 4), 0.4)
    bits = boltz.graph({"v": 12}, {("v", "v"): 1.3 * lattice}, biases={"v": fields - 2}, dtype=float)
    couplings = rng.normal(0, 0.6, (12, 12))
    glass = np.triu(couplings, 1) + np.triu(couplings, 1).T
    codes = np.array(list(product(range(3), repeat=6)))
    block = np.einsum("ij,ab->iajb", boltz.lattice((2, 3), 0.8).toarray(), np.eye(3)).reshape(18, 18)
    potts = boltz.potts(csr_array(block), rng.normal(0, 0.2, (6, 3)), states=3)
    share = np.array([np.bincount(row, minlength=3).max() for row in codes]) / 6
    return [
        (boltz.ising(lattice, fields), spins, spins.mean(axis=1)),
        (bits, (spins + 1) / 2, spins.mean(axis=1)),
        (boltz.ising(glass, fields), spins, spins.mean(axis=1)),
        (potts, np.eye(3)[codes].reshape(len(codes), -1), (3 * share - 1) / 2),
    ]


def check_observables() -> None:
    """Catches any observable that is wrong, of spins, 0/1 units, a glass with all couplings, and Potts states.

    With 24 copies Student's t is beyond 5.5 with probability 1.4e-5, for 4 machines, 2 temperatures and 10 results 1e-3
    in all. Errors must be small beside what is wrong: at most a tenth of 1, or of the value.
    """
    for seed, (model, states, m) in enumerate(small_machines()):
        found = boltz.observables(model, [0.8, 2.5], copies=24, rounds=400, seed=seed)
        assert found.trusted, found.doubts
        for t, temperature in enumerate(found.temperatures):
            for name, truth in over_states(model, states, m, float(temperature)).items():
                value, error = getattr(found, name)[t], found.errors[name][t]
                assert abs(value - truth) < 5.5 * error + 1e-12, (seed, temperature, name, value, truth, error)
                assert error < 0.1 * max(1.0, abs(truth)), (name, error)


def check_cluster_flips_keep_the_law() -> None:
    """Catches a wrong probability of a bond or of a field, or of a cluster's flip, for spins and for 0/1 units.

    100,000 chains that are drawn from the law of the machine are counted by state after a flip; their chi-square is
    beyond the threshold with probability 1e-6 for each of the two machines. A law that is only nearly right would give
    one of hundreds more.
    """
    rng = np.random.default_rng(2)
    signs = np.array([1, -1, 1, 1, -1, 1, 1])
    weights = np.zeros((7, 7))
    for i, j in [(0, 1), (1, 2), (2, 3), (3, 0), (3, 4), (4, 5), (5, 0)]:
        weights[i, j] = weights[j, i] = abs(rng.normal(0, 0.7)) * signs[i] * signs[j]
    fields, beta = rng.normal(0, 0.4, 7), 0.8
    spins = boltz.ising(csr_array(weights), fields)
    bits = boltz.graph({"v": 7}, {("v", "v"): csr_array(2.5 * weights)}, biases={"v": fields}, dtype=float)
    for model, low in ((spins, -1.0), (bits, 0.0)):
        states = np.array(list(product((low, 1.0), repeat=7)))
        log_p = -beta * model.energy({"v": states})
        p = np.exp(log_p - logsumexp(log_p))
        start = rng.choice(len(p), 100_000, p=p)
        x, clusters = states[start].copy(), clusters_of(model)
        assert isinstance(clusters, Clusters)
        clusters.flip(x, beta, beta * model.bias("v"), Key.from_seed(5).stream(0))
        place = ((x > 0.5) @ 2 ** np.arange(7)[::-1]).astype(int)
        assert (place != start).mean() > 0.3
        count = np.bincount(place, minlength=len(p))
        rare = p * 100_000 < 5
        seen, wanted = np.append(count[~rare], count[rare].sum()), np.append(p[~rare], p[rare].sum()) * 100_000
        assert np.sum((seen - wanted) ** 2 / np.maximum(wanted, 1)) < chi2.isf(1e-6, len(seen) - 1)


def check_which_machines_turn_clusters() -> None:
    """Catches clusters for a frustrated machine, and none for an antiferromagnet or for mixed signs of a gauge."""
    ring = boltz.lattice((5,), -1.0)
    square, cube = boltz.lattice((4, 4), -1.0), boltz.lattice((2, 2, 2), 1.0)
    gauge = np.where(np.random.default_rng(0).random(8) < 0.5, -1.0, 1.0)
    assert clusters_of(boltz.ising(ring)) is None
    assert clusters_of(boltz.ising(cube.toarray())) is None  # full couplings
    for fine in (square, cube, csr_array(cube.toarray() * np.outer(gauge, gauge))):
        assert clusters_of(boltz.ising(fine)) is not None


def tilted(copies: int, rounds: int, seed: int) -> tuple[Any, float, float]:
    """The targets of draws, and the last rung, where the lowest level tells log Z; its log-weight, and log Z there."""
    energy, _ = draws(copies, rounds, seed)
    least = levels()[0].min()
    met = (energy == least).astype(float)
    found = reweighted(mixture(energy, BETAS, truth_at(0.0)[0]), np.append(TARGETS, BETAS[-1]), met[None])
    return found, float(-BETAS[-1] * least), truth_at(BETAS[-1])[0]


def check_log_z_from_both_ends() -> None:
    """Catches a control variate of the wrong sign or size, and errors that do not know of it.

    Of 200 runs, the standardised errors of log Z have a root mean square between 0.85 and 1.25 and a mean within 4.5 of
    its errors of 0: chance alone is outside with probability 1e-3. The slope makes the error at the last rung at most
    0.9 times as large, and it is at most as large anywhere: the mean over 200 runs tells 0.9 from 1 at 10 errors.
    """
    scores, gains = [], []
    for seed in range(200):
        at, log_weight, _ = tilted(24, 60, seed)
        found, apart, wider = from_both_ends(at, log_weight)
        truth = np.array([truth_at(beta)[0] for beta in TARGETS])
        error = wider * np.sqrt(24 / 23 * np.sum(found.of_log_z**2, axis=0))
        before = np.sqrt(24 / 23 * np.sum(at.of_log_z[:, :-1] ** 2, axis=0))
        scores.append((found.log_z - truth) / error)
        gains.append(error / before)
        assert apart < 6 and found.means.shape == (3, 1)
    z = np.array(scores)
    assert (np.abs(z.mean(axis=0)) < 4.5 * z.std(axis=0) / np.sqrt(200)).all(), z.mean(axis=0)
    spread = np.sqrt((z**2).mean(axis=0))
    assert ((spread > 0.85) & (spread < 1.25)).all(), spread
    gain = np.mean(gains, axis=0)
    assert gain[-1] < 0.9 and (gain < 1.1).all(), gain


def check_both_ends_contradict() -> None:
    """Catches a gap that is never told: a log-weight that is wrong by 1 nat is more than 4 errors away."""
    at, log_weight, _ = tilted(24, 200, 1)
    assert from_both_ends(at, log_weight)[1] < 4 < from_both_ends(at, log_weight + 1)[1]
    few, log_weight, _ = tilted(6, 200, 1)
    assert from_both_ends(few, log_weight)[1:] == (0.0, 1.0)


def check_agreed_states() -> None:
    """Catches a state that breaks a coupling or is turned the wrong way, and a temperature at which it is rare.

    The agreed state of gauged ferromagnets is the lowest of all 128, and at the inverse temperature called settled the
    energies of its flips, by the machine itself, add up to 1 nat.
    """
    for seed in range(6):
        rng = np.random.default_rng(seed)
        gauge = np.where(rng.random(7) < 0.5, -1.0, 1.0)
        j = boltz.lattice((7,), 1.0).toarray() * np.abs(rng.normal(0.8, 0.1, (7, 7)))
        j = (j + j.T) * np.outer(gauge, gauge) / 2
        fields = 0.3 * rng.normal(0, 1) * gauge
        spins = boltz.ising(csr_array(j), fields)
        bits = boltz.graph(
            {"v": 7}, {("v", "v"): csr_array(4 * j)}, biases={"v": 2 * fields - 2 * j.sum(axis=0)}, dtype=float
        )
        for model, low in ((spins, -1.0), (bits, 0.0)):
            states = np.array(list(product((low, 1.0), repeat=7)))
            energy = model.energy({"v": states})
            clusters = clusters_of(model)
            assert isinstance(clusters, Clusters)
            lowest = states[energy.argmin()]
            np.testing.assert_array_equal(np.where(clusters.agreed > 0, 1.0, low), lowest)
            flipped = np.where(np.eye(7) > 0, 1.0 + low - lowest, lowest)
            rise = model.energy({"v": flipped}) - energy.min()
            assert abs(np.log1p(np.exp(-clusters.settled * rise)).sum() - 1) < 1e-6
    apart = boltz.ising(csr_array(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])))
    assert clusters_of(apart).settled == np.inf  # a unit that nothing holds


def check_ladders_beyond() -> None:
    """Catches ladders that end where the ground state is rare, or go on where that is far, and states of the same
    energy taken for each other: without fields both ground states weigh the same, and one of them counts.

    Student's t of 24 copies is beyond 5.5 with probability 1.4e-5.
    """
    lattice = boltz.ising(boltz.lattice((4, 3), 1.0))
    states = np.array(list(product((-1.0, 1.0), repeat=12)))
    settled = clusters_of(lattice).settled
    for temperature, last in ((4.0, settled), (20.0, 0.05), (1.0, 1.0)):
        found = boltz.observables(lattice, [temperature], copies=24, rounds=300, seed=4)
        assert abs(found.betas[-1] - last) < 1e-9 and found.trusted, (temperature, found.doubts)
        truth = over_states(lattice, states, states.mean(axis=1), temperature)
        assert abs(found.log_z[0] - truth["log_z"]) < 5.5 * found.errors["log_z"][0]
        assert abs(found.entropy[0] - truth["entropy"]) < 5.5 * found.errors["entropy"][0]
    glass = np.random.default_rng(0).normal(0, 1, (6, 6))
    found = boltz.observables(boltz.ising(np.triu(glass, 1) + np.triu(glass, 1).T), [2.0], copies=8, rounds=40)
    assert abs(found.betas[-1] - 0.5) < 1e-9


def check_wide_gaps_get_their_rungs_at_once() -> None:
    """Catches gaps that are halved again and again: each pilot costs as much as some of the run."""
    model = boltz.ising(boltz.lattice((10, 10), 1.0))
    path = BaseRatePath(model, {"v": np.zeros(100)}, *model.by_size)
    seen: list[int] = []

    def ladder(places: Floats) -> Temperatures:
        seen.append(len(places))
        return Temperatures(path, places, clusters_of(model))

    found = fitted_places(ladder, np.array([0.0, 0.5, 1.0]), None, Key.from_seed(3))
    assert len(seen) <= 3 and max(seen) < 40 and 6 < len(found) < 25, (seen, len(found))
