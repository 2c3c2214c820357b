"""Checks of binomial units against as many binary units that share their field, and against scipy's binomial law."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from checks.quick_alignments import loaded, refusal
from scipy import stats as laws
from scipy.special import comb, gammaln, logsumexp
from support import stats
from support.data_files import npy_bytes

import boltz
from boltz.estimators.moments import exact_gradient
from boltz.models.boltzmann import BoltzmannMachine
from boltz.presets import with_units
from boltz.units import units_of
from boltz.units.binomial import Binomial
from boltz.units.states import are_states, smoothed, state_words

TRIALS = 4
KINDS = (
    ("binomial:25", "bernoulli"),
    ("binomial:25", "binomial:4"),
    ("bernoulli", "binomial:100", "bernoulli"),
    ("bernoulli", "bernoulli"),
)
TOLERANCE = 1e-9
STREAM = (31, 32, 33)


def machines(side: str) -> tuple[BoltzmannMachine, BoltzmannMachine]:
    """A machine with binomial units on one side, of 2 units, and the one with as many bits that share a field."""
    rng = np.random.default_rng(5)
    weight, few, many = rng.normal(0, 0.6, (2, 4)), rng.normal(0, 0.5, 2), rng.normal(0, 0.5, 4)
    wide, fields = np.repeat(weight, TRIALS, axis=0), np.repeat(few, TRIALS)
    kind = f"binomial:{TRIALS}"
    if side == "v":
        return boltz.from_arrays([weight], [few, many], [kind, "bernoulli"]), boltz.from_arrays([wide], [fields, many])
    return (
        boltz.from_arrays([weight.T], [many, few], ["bernoulli", kind]),
        boltz.from_arrays([wide.T], [many, fields]),
    )


def check_hidden_units_are_sums_of_bits() -> None:
    """log Z, log p(v) of all rows and its gradient; catches a missing log-coefficient and a mean of one trial."""
    found, bits = machines("h1")
    rows = np.array(list(product((0.0, 1.0), repeat=4)))
    assert abs(boltz.exact_log_z(found).value - boltz.exact_log_z(bits).value) < TOLERANCE
    per_row, wanted = (boltz.log_likelihood(each, rows).per_row for each in (found, bits))
    assert np.abs(per_row - wanted).max() < TOLERANCE and abs(logsumexp(per_row)) < TOLERANCE
    slope, others = exact_gradient(found, rows[[1, 7, 7]]), exact_gradient(bits, rows[[1, 7, 7]])
    for name, summed in others.items():
        summed = summed.reshape(*summed.shape[:-1], -1, TRIALS).sum(axis=-1) if name != "layer/v/bias" else summed
        assert np.abs(slope[name] - summed).max() < TOLERANCE, name
    states = boltz.features(found, rows), boltz.features(bits, rows).reshape(len(rows), -1, TRIALS).sum(axis=2)
    assert np.abs(states[0] - states[1]).max() < TOLERANCE


def check_visible_units_are_sums_of_bits() -> None:
    """p of a row of sums is that of bits with these sums times how many such there are; catches a lost coefficient."""
    found, bits = machines("v")
    rows = np.array(list(product(range(TRIALS + 1), repeat=2)), float)
    ordered = (rows[:, :, None] > np.arange(TRIALS)).reshape(len(rows), -1).astype(float)
    assert abs(boltz.exact_log_z(found).value - boltz.exact_log_z(bits).value) < TOLERANCE
    per_row = boltz.log_likelihood(found, rows).per_row
    wanted = boltz.log_likelihood(bits, ordered).per_row + np.log(comb(TRIALS, rows)).sum(axis=1)
    assert np.abs(per_row - wanted).max() < TOLERANCE and abs(logsumexp(per_row)) < TOLERANCE


def check_entropies_and_energies() -> None:
    """Of one to a thousand trials, against sums over scipy's law; catches sums that stop early or lose an end."""
    for trials in (1, 2, 20, 1000):
        unit = Binomial(trials)
        mean = trials * np.array([[0.0, 1e-9, 1e-3, 0.2, 0.5, 0.500001, 0.73, 1 - 1e-6, 1.0]])
        states = np.arange(trials + 1.0)
        logs = gammaln(trials + 1) - gammaln(states + 1) - gammaln(trials - states + 1)
        law = laws.binom.pmf(states, trials, mean.T / trials)
        entropy = -(law * np.log(np.where(law > 0, law, 1))).sum(axis=1)
        assert np.abs(unit.entropy(mean)[0] - entropy).max() < 1e-8, trials
        assert abs(unit.mean_energy(mean)[0] + (law @ logs).sum()) < 1e-8 * (1 + np.abs(law @ logs).sum()), trials
        assert np.abs(unit.base_energy(states[:, None]) + logs).max() < 1e-9
        assert unit.support == tuple(states)


def check_draws_are_quantiles() -> None:
    """Every draw is scipy's quantile at its own 32 bits, whatever the block.

    Catches a sum that starts or ends one state off, and bits that are not turned above the middle.
    """
    from boltz import kernels

    for trials, dtype in product((1, 3, 50, 1000), (np.float32, np.float64)):
        rng = np.random.default_rng(trials)
        mean = (trials * rng.beta(0.4, 0.4, (7, 150))).astype(dtype)
        mean[0, :4] = 0, trials, trials / 2, np.nan
        bits, state, again = np.empty(mean.shape, np.uint32), np.empty_like(mean), np.empty_like(mean)
        kernels.philox(STREAM, 2, bits)
        Binomial(trials).draw(mean, STREAM, 2, state)
        wanted = laws.binom.ppf((bits + 0.5) / 2**32, trials, mean.astype(float) / trials)
        assert np.array_equal(state, wanted.astype(dtype), equal_nan=True), trials
        for rows in (slice(0, 3), slice(3, 7)):
            Binomial(trials).draw(mean[rows], STREAM, 2 + rows.start, again[rows])
        assert np.array_equal(state, again, equal_nan=True)


def check_draws_follow_the_law() -> None:
    """Chi-square tests of 200,000 draws at three fields for 20 and 1,000 trials, alpha 1e-6 each.

    Catches a field that is 2 % too large, as the assertion on power says.
    """
    for number, (trials, field) in enumerate(product((20, 1000), (-4.0, 0.3, 2.0))):
        inputs, state = np.zeros((400, 500)), np.empty((400, 500))
        Binomial(trials).sample(inputs, 1.0, np.full(500, field), (41, 42, number), 0, state)
        law, moved = (
            laws.binom.pmf(np.arange(trials + 1), trials, 1 / (1 + np.exp(-f))) for f in (field, 1.02 * field)
        )
        counts = np.bincount(state.astype(int).reshape(-1), minlength=trials + 1)
        stats.accept(stats.chi_square(counts, law), f"draws of {trials} trials at field {field} miss the law")
        assert abs(field) < 1 or stats.detectable_chi_square(state.size, law, moved)


def check_log_z_by_sampling() -> None:
    """Annealing up and down, and replica exchange, of a machine with binomial units on both sides, and of a DBM.

    Student's tests with alpha 1e-6 each; catches 0.5 nats, so that a lost trial of n = 5 at any temperature shows.
    """
    rng = np.random.default_rng(8)
    kinds, sizes = ["binomial:5", "binomial:3", "binomial:2"], (4, 3, 2)
    for depth in (2, 3):
        weights = [rng.normal(0, 0.25, sizes[i : i + 2]) for i in range(depth - 1)]
        biases = [rng.normal(-0.3, 0.3, n) for n in sizes[:depth]]
        model = boltz.from_arrays(weights, biases, kinds[:depth])
        truth = boltz.exact_log_z(model).value
        up, down = boltz.ais(model, 400, 300, seed=1), boltz.reverse_ais(model, chains=400, betas=300, seed=2)
        swapped = boltz.exchange_log_z(model, copies=8, rounds=600, seed=3)
        for found in (up, down, swapped):
            assert abs(found.value - truth) < 5.5 * found.standard_error + 1e-3, (depth, found, truth)
            assert found.standard_error < 0.05, found
        rows = boltz.exact_samples(model, 20, seed=4)["v"]
        bound, exact = boltz.log_likelihood(model, rows, up, 0 if depth == 2 else 50), boltz.log_likelihood(model, rows)
        assert np.abs(bound.per_row - exact.per_row).max() < (0.3 if depth == 2 else 1.5)


def check_samples_and_completion() -> None:
    """Means of Gibbs chains and of completed units against enumeration, alpha 1e-6; catches a mean of one trial."""
    model, _ = machines("v")
    rows = np.array(list(product(range(TRIALS + 1), repeat=2)), float)
    law = np.exp(boltz.log_likelihood(model, rows).per_row)
    drawn = boltz.sample(model, 4000, 50, seed=1)["v"]
    for unit in range(2):
        mean = float(law @ rows[:, unit])
        value = stats.mean_test(drawn[:, unit], mean, float(law @ rows[:, unit] ** 2 - mean**2))
        stats.accept(value, f"samples of unit {unit} miss their mean")
    given = law * (rows[:, 0] == 3)
    given /= given.sum()
    x = np.tile([3.0, np.nan], (4000, 1))
    drawn = boltz.complete(model, x, method="sample", sweeps=50, seed=2)
    assert (drawn[:, 0] == 3).all() and are_states(units_of(f"binomial:{TRIALS}"), drawn)
    mean = float(given @ rows[:, 1])
    value = stats.mean_test(drawn[:, 1], mean, float(given @ rows[:, 1] ** 2 - mean**2))
    stats.accept(value, "completed units miss their mean")


def planted() -> BoltzmannMachine:
    """8 binomial:6 units that 2 hidden ones turn, biased so that both states of these are about as probable."""
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(8, 2))
    biases = [rng.normal(0, 0.3, 8) - weight.sum(axis=1) / 2, -3 * weight.sum(axis=0)]
    return boltz.from_arrays([weight], biases, ["binomial:6", "bernoulli"])


def check_training_recovers_a_planted_machine() -> None:
    """Held-out log-likelihood within 0.05 nats of the truth, where independent units lack more than 1.

    26 parameters learnt from 4,000 rows cost 26 / 8,000 = 0.003 nats on average (Wilks 1938), and the standard error of
    the mean difference over 2,000 rows is about 0.003; the rest is room for the noise of PCD at its last rate.
    """
    truth = planted()
    rows, others = (boltz.exact_samples(truth, n, seed=n)["v"] for n in (4000, 2000))
    start = boltz.rbm(8, 2, rows, seed=3, units=("binomial", 6))
    settings: dict[str, Any] = {"epochs": 60, "validation": 0.0, "patience": 0, "seed": 1}
    found = boltz.train(start, rows, **settings).model
    apart = boltz.rbm(8, 2, rows, units=("binomial", 6), initial_scale=0.0)
    best, learnt, none = (boltz.log_likelihood(each, others).value for each in (truth, found, apart))
    assert best - learnt < 0.05 and best - none > 1, (best, learnt, none)


def check_start() -> None:
    """Biases at the logits of the mean of the rows with one row at each end; weights and steps that fall with n."""
    rows = np.array([[0.0, 9], [3, 9], [3, 9]])
    model = boltz.rbm(2, 500, rows, units=("binomial", 9), hidden_units=("binomial", 4), dtype=np.float64)
    share = (rows.sum(axis=0) + 9) / (9 * 5)
    assert np.abs(model.bias("v") - np.log(share / (1 - share))).max() < 1e-9
    assert abs(np.asarray(model.visible_weights).std() * 9 * 4 / 0.01 - 1) < 0.15
    rates = {kinds: with_units({"learning_rate": 1.0}, kinds, 2)["learning_rate"] for kinds in KINDS}
    assert [round(rate, 12) for rate in rates.values()] == [0.2, 0.1, 0.1, 1.0], rates
    assert (smoothed(Binomial(9), np.array([9.0]), 1) == 6).all()
    assert state_words(Binomial(20)) == "whole numbers from 0 to 20" and state_words(Binomial(1)) == "0 and 1"


def check_refusals() -> None:
    """n out of range, values above n, and fractions; catches a sentence that lists a thousand states."""
    model = boltz.rbm(2, 1, units="binomial:9")
    bad = [
        (lambda: boltz.rbm(2, 1, units="binomial:0"), "units of kind binomial need a number of trials, 1 to 1000"),
        (lambda: boltz.rbm(2, 1, units="binomial:1001"), "units of kind binomial need a number of trials, 1 to 1000"),
        (
            lambda: boltz.rbm(2, 1, units=("binomial", 1001)),
            "units[1] must be a whole number of at least 1 and at most 1000, got 1001",
        ),
        (lambda: boltz.rbm(2, 1, units=("binomial", 2.5)), "units[1] must be a whole number"),
        (lambda: boltz.rbm(2, 1, units="binomial"), "units of kind binomial need a number of trials"),
        (
            lambda: boltz.log_likelihood(model, np.array([[0.0, 10]])),
            "x must hold states of binomial:9 units, whole numbe",
        ),
        (
            lambda: boltz.log_likelihood(model, np.array([[0.5, 1]])),
            "x must hold states of binomial:9 units, whole numbers",
        ),
        (
            lambda: boltz.train(model, np.array([[-1, 1]]), epochs=1),
            "x must hold states of binomial:9 units, whole numbe",
        ),
        (
            lambda: boltz.sample(model, 1, 1, start={"v": np.array([[0.5, 1]]), "h1": np.zeros((1, 1))}),
            "start['v'] must hold states of its units, whole numbers from 0 to 9",
        ),
    ]
    for call, said in bad:
        found = "nothing"
        try:
            call()
        except boltz.InputError as problem:
            found = str(problem)
        assert found.startswith(said), found


def check_tables() -> None:
    """Files of whole numbers come as they are, empty cells as unknown; catches numbers that are divided or one-hot."""
    data = loaded("a.csv", "0,3\n1,2\n2,0\n", units="binomial:3")
    assert data.x.tolist() == [[0, 3], [1, 2], [2, 0]] and data.kind == "binomial:3" and data.levels is None
    assert data.states == 1 and "whole numbers" in repr(data)
    grey = loaded("a.npy", npy_bytes(np.array([[0, 200], [255, 3]], np.uint8)), units=("binomial", 255))
    assert grey.x.tolist() == [[0, 200], [255, 3]] and grey.request["units"] == "binomial:255"
    lacking = loaded("a.csv", "0,3\n,2\n2,0\n", units="binomial:3", missing=True)
    assert lacking.known is not None and lacking.known.tolist() == [[True, True], [False, True], [True, True]]
    assert refusal("a.csv", "0,3\n1,2\n", units="binomial:2").endswith(
        "row 1, column 2 is 3; expected whole numbers from 0 to 2, the states of binomial:2 units: units='binomial:3' "
        "(--units binomial:3) has them all."
    )
