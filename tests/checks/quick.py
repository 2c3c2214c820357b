"""Quick checks of models, samplers, estimators and runs against exact answers; training_checks has those of training.

Each check takes no argument and raises AssertionError, or the error of the library, where something is wrong.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from checks.training import KEY, coin_rows, machine_of, random_pair
from numpy.typing import NDArray
from oracles import chains as oracle_chains
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import expit
from support import stats
from support.training import plain_train

import boltz
from boltz import kernels, numerics
from boltz.data.binarize import binarize
from boltz.errors import NumericalError
from boltz.estimators import exact, likelihood
from boltz.sampling import base_rate, temperatures
from boltz.sampling.gibbs import GibbsSweep, Scratch
from boltz.sampling.meanfield import MeanField, variational_free_energy
from boltz.training.loop import Loop
from boltz.training.pretraining import recognise, stages
from boltz.training.settings import Settings

Floats = NDArray[np.float64]
DEEP = Table.random((3, 3, 2), 1.2, 200)
RBM = Table.random((4, 3), 1.2, 201)
TIGHT = MeanField(1e-13, 5000, 0.3)


# ---------------------------------------------------------------- models


def check_energy() -> None:
    """Energy of every state against the triple sum."""
    for table in (RBM, DEEP, Table.random((3, 3, 3), 1.0, 202)):
        every = enumeration.states(table)
        found = machine_of(table).energy(every)
        np.testing.assert_allclose(found, enumeration.energy_slow(table, every), rtol=0, atol=1e-12)


def check_marginal_energy() -> None:
    """-log sum over h2 of exp(-E(v, h1, h2)), with both remaining layers given: the coupling of v and h1 counts."""
    names = ("v", "h1")
    wanted = enumeration.free_energy(DEEP, names)
    found = machine_of(DEEP).marginal_energy(enumeration.states(DEEP, names), ("h2",))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def check_free_energy() -> None:
    """-log sum over the other colour class, either way round."""
    for names in enumeration.colours(DEEP):
        found = machine_of(DEEP).free_energy(enumeration.states(DEEP, names))
        np.testing.assert_allclose(found, enumeration.free_energy(DEEP, names), rtol=0, atol=1e-12)


def check_exact_log_z() -> None:
    """log Z and log p(v) by enumeration, in more than one chunk of states."""
    for table in (RBM, DEEP):
        model = machine_of(table)
        assert abs(boltz.exact_log_z(model).value - enumeration.log_z(table)) < 1e-10
        rows = enumeration.states(table, ("v",))["v"]
        found = boltz.log_likelihood(model, rows).per_row
        np.testing.assert_allclose(found, enumeration.log_likelihood(table, rows), rtol=0, atol=1e-10)
    large = Table.chain([np.zeros((13, 14))], [np.zeros(13), np.ones(14)])
    found = boltz.exact_log_z(machine_of(large)).value
    assert abs(found - 13 * np.log(2) - 14 * np.log1p(np.e)) < 1e-9
    assert exact.CHUNK < 2**13


# ---------------------------------------------------------------- sampling


def check_conditional_means() -> None:
    """The means that a layer is drawn from, given its neighbours, with square weights that must not be transposed."""
    table = Table.random((3, 3, 3), 1.0, 203)
    every = enumeration.states(table)
    for name in table.layers:
        state = {n: x.copy() for n, x in every.items()}
        found = GibbsSweep(machine_of(table), KEY).update(name, state, 0, 0, Scratch(np.empty(0)))
        np.testing.assert_allclose(found, enumeration.conditional(table, name, every), rtol=0, atol=1e-12)


def check_one_sweep() -> None:
    """Chi-square over all joint states after one sweep from a fixed start; alpha 1e-6."""
    table, chains = Table.random((2, 2, 3), 1.2, 204), 30_000
    start = {n: np.tile(np.arange(u) % 2, (chains, 1)).astype(np.float64) for n, u in table.layers.items()}
    after = GibbsSweep(machine_of(table), KEY).step(start, 7)
    one = {n: x[:1] for n, x in start.items()}
    law = oracle_chains.next_distribution(table, one, enumeration.colours(table))
    wrong = oracle_chains.next_distribution(table, one, enumeration.colours(table)[::-1])
    assert stats.detectable_chi_square(chains, law, wrong)
    assert all(np.isin(x, (0, 1)).all() for x in after.values()), "states must be 0 or 1"
    stats.accept(stats.chi_square(enumeration.counts(table, after), law), "one sweep does not follow the machine")


def check_stationarity() -> None:
    """From an exact start eight sweeps leave the law of all states as it is; alpha 1e-6."""
    table, chains = Table.random((2, 2, 2), 1.0, 205), 60_000
    p = enumeration.joint(table)
    every = enumeration.states(table)
    chosen = np.random.default_rng(206).choice(len(p), chains, p=p)
    start = {n: x[chosen] for n, x in every.items()}
    found = enumeration.counts(table, boltz.sample(machine_of(table), chains, 8, 3, start))
    strong = Table(table.layers, {pair: 1.05 * w for pair, w in table.edges.items()}, table.biases)
    assert stats.detectable_chi_square(chains, p, enumeration.joint(strong))
    stats.accept(stats.chi_square(found, p), "sweeps do not leave the machine's law invariant")


def check_draws() -> None:
    """Share of ones against the exact probability at many fields, drawn through the kernel; alpha 1e-6.

    Catches a gain error of 2 %, coarse uniforms, probabilities clipped or rounded, strict against weak comparison.
    """
    fields = np.array([-30.0, -8, -6, -2.4, 0, 2.4, 30])
    trials = 450_000
    assert stats.detectable_binomial(trials, expit(2.4), expit(1.02 * 2.4), cells=len(fields))
    inputs = np.tile(fields, (trials, 1))
    state = np.empty_like(inputs)
    kernels.bernoulli_sample(inputs, 1.0, np.zeros(len(fields)), KEY.stream(9), 0, state)
    p = expit(fields)
    np.testing.assert_allclose(inputs[:1], p[None], rtol=0, atol=1e-7)
    stats.accept(stats.binomial_table(state.sum(axis=0), trials, p), "draws do not have their probabilities")


def check_chains_are_independent() -> None:
    """No two of 300 chains (several blocks), no two layers and no two sweeps share their uniforms.

    64 fair coins agree by chance with probability 300^2 / 2 x 2^-64 = 2e-15.
    """
    model = machine_of(Table.chain([np.zeros((64, 64))], [np.zeros(64), np.zeros(64)]))
    start = {"v": np.zeros((300, 64)), "h1": np.zeros((300, 64))}  # plain sweeps
    found = [boltz.sample(model, 300, sweeps, 5, start) for sweeps in (1, 2)]
    rows = np.concatenate([state[layer] for state in found for layer in ("v", "h1")])
    assert len(np.unique(rows, axis=0)) == len(rows), "two chains, layers or sweeps share their uniforms"


def check_units_are_independent() -> None:
    """The raw words of 256 units of one chain all differ; by chance two are equal with probability 8e-6 (fixed key)."""
    bits = np.empty((1, 256), np.uint32)
    kernels.philox(KEY.stream(1), 0, bits)
    assert len(np.unique(bits)) == bits.size, "two units share their uniforms"


def check_seeds_and_splits() -> None:
    """Results depend on the seed, and a chain on its number alone."""
    model = machine_of(RBM)
    one, again, other = (boltz.sample(model, 70, 3, seed)["v"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    np.testing.assert_array_equal(boltz.sample(model, 7, 3, 1)["v"], one[:7])


def check_relaxation() -> None:
    """One damped step is damping x old + (1 - damping) x sigmoid(field)."""
    rng = np.random.default_rng(207)
    inputs, bias, old = rng.normal(size=(5, 4)), rng.normal(size=4), rng.random((5, 4))
    mean = old.copy()
    change = kernels.bernoulli_relax(inputs.copy(), 2.0, bias, 0.8, mean)
    wanted = 0.8 * old + 0.2 * expit(2 * inputs + bias)
    np.testing.assert_allclose(mean, wanted, rtol=0, atol=1e-12)
    assert abs(change - np.abs(wanted - old).max()) < 1e-12


def check_mean_field() -> None:
    """Means of a DBM satisfy mu = sigmoid(field)."""
    rows = enumeration.states(DEEP, ("v",))["v"]
    means = boltz.mean_field(machine_of(DEEP), rows, TIGHT)
    assert enumeration.mean_field_residual(DEEP, rows, means) < 1e-10


def check_variational_bound() -> None:
    """E_q[-E] + entropy of q against the sum over every hidden state."""
    rows = enumeration.states(DEEP, ("v",))["v"]
    free, means = variational_free_energy(machine_of(DEEP), rows, TIGHT)
    wanted = enumeration.variational_bound(DEEP, rows, means)
    np.testing.assert_allclose(-free - enumeration.log_z(DEEP), wanted, rtol=0, atol=1e-10)


# ---------------------------------------------------------------- estimators


def annealed_p(table: Table, chains: int, betas: int) -> float:
    """p-value that AIS from base rates far from the machine's is unbiased."""
    model = machine_of(table)
    base = {n: np.full(u, 0.3) for n, u in table.layers.items()}
    found = boltz.ais(model, chains, betas, seed=11, base=base)
    assert found.ess > 0.3 * chains and stats.detectable_ratio(0.05, found.standard_error)
    return stats.ratio_test(found.value, enumeration.log_z(table), found.standard_error, chains)


def check_annealing() -> None:
    """exp of the estimate over Z is 1 within its own error, in few temperatures, for an RBM and a DBM; alpha 1e-6."""
    for table, chains, betas in ((RBM, 20_000, 6), (DEEP, 20_000, 6)):
        stats.accept(annealed_p(table, chains, betas), "annealed importance sampling is biased")


def check_annealing_of_independent_units() -> None:
    """Without weights, the held layer at its rates: each log-weight is log Z itself, to float64 rounding."""
    table = Table.chain([np.zeros((300, 200))], [np.full(300, 1.7), np.full(200, -0.9)])
    base = {"v": np.full(300, 0.5), "h1": expit(np.full(200, -0.9))}  # the smaller layer is held
    found = boltz.ais(machine_of(table), 3, 300, base=base)
    wanted = 300 * np.log1p(np.exp(1.7)) + 200 * np.log1p(np.exp(-0.9))
    np.testing.assert_allclose(found.log_weights, wanted, rtol=0, atol=1e-9)


def check_delta_method() -> None:
    """Standard error of log mean w, ESS and the mean itself on weights small enough to compute directly."""
    log_w = np.random.default_rng(208).normal(0, 0.7, 500)
    w = np.exp(log_w)
    assert abs(numerics.log_mean_exp(log_w) - np.log(w.mean())) < 1e-12
    assert abs(numerics.log_mean_error(log_w) - w.std(ddof=1) / w.mean() / np.sqrt(500)) < 1e-12
    assert abs(numerics.effective_sample_size(log_w) - w.sum() ** 2 / (w**2).sum()) < 1e-9


def check_importance_weights() -> None:
    """exp(L_k) of a DBM is unbiased for p(v): mean over many draws within its own error; alpha 1e-6."""
    rows = enumeration.states(DEEP, ("v",))["v"][:4]
    model = machine_of(DEEP)
    found, kind, _ = likelihood.log_marginal(model, rows, 4000, 12)
    values, errors, _, _ = found.T
    truth = enumeration.log_likelihood(DEEP, rows) + enumeration.log_z(DEEP)
    assert kind == "lower" and stats.detectable_ratio(0.2, errors.max())
    p = [stats.ratio_test(v, t, e, 4000) for v, t, e in zip(values, truth, errors, strict=True)]
    stats.accept(stats.smallest_of(p), "importance weights are biased")


def check_bounds_and_trust() -> None:
    """Lower - lower = no bound; a result without enough effective chains is not trusted; intervals hold the value."""
    from boltz.estimators.estimate import from_log_weights, kind_of_difference

    assert kind_of_difference("lower", "lower") == "none" and kind_of_difference("exact", "lower") == "upper"
    assert kind_of_difference("lower", "exact") == "lower"
    good = from_log_weights(np.random.default_rng(209).normal(0, 0.1, 200), 5, "")
    assert good.trusted and good.interval[0] < good.value < good.interval[1]
    assert not from_log_weights(np.array([50.0] + [0.0] * 199), 5, "").trusted
    assert not from_log_weights(np.zeros(50), 5, "").trusted


def check_schedule() -> None:
    """The schedule of Salakhutdinov & Murray: 14,501 values rising from 0 to 1, 0.5 after 500 and 0.9 after 4,500."""
    values = temperatures.schedule("sm2008")
    assert len(values) == 14_501 and values[0] == 0 and values[-1] == 1 and (np.diff(values) > 0).all()
    assert abs(values[500] - 0.5) < 1e-15 and abs(values[4500] - 0.9) < 1e-15
    np.testing.assert_allclose(temperatures.schedule(4), [0, 0.25, 0.5, 0.75, 1])


# ---------------------------------------------------------------- data, runs


def check_rows_drawn_upwards() -> None:
    """The layer above a trained pair is drawn with its input doubled; alpha 1e-6."""
    plan = stages(boltz.dbm([4, 3, 2]).graph, Settings(pretrain_epochs=1))
    pair = random_pair(plan[0], np.random.default_rng(212))
    count, row = 20_000, np.array([1.0, 0.0, 1.0, 1.0])
    drawn = recognise([pair], plan[:1], np.tile(row, (count, 1)), np.arange(count), KEY, 0)
    p = expit(2 * row @ pair.params["edge/v-h1/weight"] + pair.bias("h1"))
    plain = expit(row @ pair.params["edge/v-h1/weight"] + pair.bias("h1"))
    worst = int(np.argmax(np.abs(p - plain)))
    assert stats.detectable_binomial(count, p[worst], plain[worst], cells=3)
    stats.accept(stats.binomial_table(drawn.sum(axis=0), count, p), "rows are drawn upwards wrongly")


def check_binarisation() -> None:
    """Dynamic draws change with the step, fixed ones do not; shares of ones follow the grey level; alpha 1e-6."""
    x = np.tile(np.array([0, 1, 25, 128, 254, 255], np.uint8), (50_000, 1))
    rows = np.arange(len(x))
    first, second = (binarize(x, 255, "dynamic", KEY, step, rows) for step in (0, 1))
    assert (first != second).any()
    fixed = [binarize(x, 255, "fixed", KEY, step, rows) for step in (0, 1)]
    np.testing.assert_array_equal(*fixed)
    wanted = np.array([0, 1, 25, 128, 254, 255]) / 255
    assert stats.detectable_binomial(len(x), wanted[3], 0.525, cells=6)
    stats.accept(stats.binomial_table(first.sum(axis=0), len(x), wanted), "grey levels are drawn wrongly")


SMALL: dict[str, Any] = {"epochs": 3, "batch_size": 8, "checkpoint_seconds": 0.0}
GREY = np.random.default_rng(210).random((20, 6)).astype(np.float32)


def resumed(stop: int, model: Any = None, **settings: Any) -> tuple[boltz.Run, boltz.Run]:
    """An unbroken run, of a DBM unless another model is given, and one that died before a step and was resumed."""

    class CrashError(Exception):
        pass

    count, original = iter(range(10**6)), Loop._step

    def step(loop: Loop, *arguments: Any) -> None:
        if next(count) == stop:
            raise CrashError
        original(loop, *arguments)

    settings = SMALL | ({"chains": 9} if model is None else {}) | settings
    model = boltz.dbm([6, 4, 3], GREY) if model is None else model
    whole = plain_train(model, GREY, **settings)
    with tempfile.TemporaryDirectory() as place:
        try:
            Loop._step = step  # type: ignore[method-assign]
            plain_train(model, GREY, out=Path(place) / "run", **settings)
        except CrashError:
            pass
        finally:
            Loop._step = original  # type: ignore[method-assign]
        return whole, boltz.resume(Path(place) / "run", GREY)


def check_resume() -> None:
    """A run killed in the middle of an epoch ends bit for bit as the unbroken one, for momentum, Adam and offsets."""
    for settings in ({"momentum": 0.9, "momentum_epochs": 0, "center": True}, {"optimizer": "adam"}, {"rule": "cd"}):
        whole, again = resumed(4, **settings)
        np.testing.assert_array_equal(again.model.arena, whole.model.arena)
        kept = ("epoch", "gradient_norm", "pseudo_likelihood")
        assert [[r[k] for k in kept] for r in again.history] == [[r[k] for k in kept] for r in whole.history]


def check_resume_of_directed_runs() -> None:
    """The same for a baseline net, for importance weights, and for a belief net in each of its stages."""
    net = boltz.sbn([6, 4, 3], x=GREY)
    smooth = boltz.vae([6, [5], [4]], [3, 2], GREY)
    belief = boltz.dbn([6, 4, 3], GREY)
    for stop, model, settings in (
        (4, net, {"objective": "nvil", "learning_rate": 0.01}),
        (5, smooth, {"objective": "iwae", "samples": 3, "schedule": "stages", "warmup_epochs": 2.0}),
        (2, belief, {"pretrain_epochs": 1, "optimizer": "adam"}),
        (5, belief, {"pretrain_epochs": 1, "momentum": 0.9, "momentum_epochs": 0}),
        (10, belief, {"pretrain_epochs": 1, "k": 2}),
        (10, belief, {"pretrain_epochs": 1, "rule": "cd", "k": 1, "optimizer": "adam"}),
    ):
        whole, again = resumed(stop, model, **settings)
        np.testing.assert_array_equal(again.model.arena, whole.model.arena)
        assert again.settings == whole.settings
        for name, rate in whole.model.rates.items():
            np.testing.assert_array_equal(again.model.rates[name], rate)
        assert [r["gradient_norm"] for r in again.history] == [r["gradient_norm"] for r in whole.history]


def check_resume_from_the_start() -> None:
    """A run killed before its first step can be resumed."""
    whole, again = resumed(0, pretrain_epochs=1)
    np.testing.assert_array_equal(again.model.arena, whole.model.arena)


def check_guard() -> None:
    """A parameter that is not finite stops a run in its first step."""
    model = boltz.rbm(6, 4)
    model.arena[5] = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy may warn of the products, in any thread
        try:
            plain_train(model, GREY, **(SMALL | {"rule": "cd", "epochs": 1, "batch_size": 100}))
        except NumericalError as problem:
            assert ": the " not in str(problem), "only what was measured after the epoch alarmed"
            return
    raise AssertionError("the run went on with an infinite weight")


def check_guard_of_adam() -> None:
    """An infinite second moment is reported, though it would leave every parameter finite."""
    w, g, first, second = (np.ones(3) for _ in range(4))
    second[1] = np.inf
    assert not kernels.adam_update(w, g, (first, second), 0.1, (0.9, 0.999), 1e-8, 2, 0.0, 0.0)


def check_order_and_rows() -> None:
    """Every row once an epoch, in orders that differ or without shuffling do not; the schedule reaches the update."""
    seen: list[Floats] = []
    from boltz.training.contrastive import Contrastive

    original = Contrastive.gradient

    def gradient(self: Contrastive, work: Any, batch: Any, *arguments: Any) -> Any:
        seen.append(np.array(batch[:, 0]))
        return original(self, work, batch, *arguments)

    x = np.column_stack([np.arange(10) / 10, np.zeros(10)]).astype(np.float32)
    try:
        Contrastive.gradient = gradient  # type: ignore[method-assign]
        short: dict[str, Any] = {"epochs": 2, "batch_size": 4, "binarize": "none", "chains": 3, "learning_rate": 0.6}
        run = plain_train(boltz.rbm(2, 2), x, **short)
        plain_train(boltz.rbm(2, 2), x, **short, shuffle=False)
    finally:
        Contrastive.gradient = original  # type: ignore[method-assign]
    assert len(seen) == 12
    orders = [np.concatenate(seen[3 * i : 3 * i + 3]) for i in range(4)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), x[:, 0])
    assert (orders[0] != orders[1]).any()
    np.testing.assert_array_equal(orders[2:], [x[:, 0], x[:, 0]])
    np.testing.assert_allclose([r["learning_rate"] for r in run.history], [0.4, 0.1], rtol=1e-12)


def check_base_rates() -> None:
    """The base rates of annealing are smoothed column means of data and mean-field activities."""
    rows = coin_rows(7, 4, 211)
    found = base_rate.base_rates(machine_of(RBM), rows, 0)
    np.testing.assert_allclose(found["v"], (rows.sum(axis=0) + 1) / 9, rtol=0, atol=1e-12)
    hidden = enumeration.conditional(RBM, "h1", {"v": rows})
    np.testing.assert_allclose(found["h1"], (hidden.sum(axis=0) + 1) / 9, rtol=0, atol=1e-12)


def check_saved_model() -> None:
    """A model comes back from its file as it was."""
    model = boltz.BoltzmannMachine(machine_of(DEEP).graph, machine_of(DEEP).arena, {"v": np.full(3, 0.25)})
    with tempfile.TemporaryDirectory() as place:
        model.save(Path(place) / "m")
        again = boltz.load(Path(place) / "m")
    np.testing.assert_array_equal(again.arena, model.arena)
    np.testing.assert_array_equal(again.rates["v"], model.rates["v"])


def check_importance_trust() -> None:
    """A tenth of the rows with one effective sample of 200 makes the error of the mean unbelievable."""
    share = np.full(100, 0.98)
    assert not likelihood.few_samples(share, 200)
    assert likelihood.few_samples(share, 199)
    share[:10] = 0.005
    assert likelihood.few_samples(share, 200)


def check_where_arrays_live() -> None:
    """An array of a device is refused beside a model of the host, and a device name that is none for what it is."""
    foreign = type("ndarray", (), {"__module__": "cupy", "get": lambda self: np.zeros((2, 6))})()
    model = boltz.rbm(6, 4)
    for call, words in (
        (lambda: boltz.mean_field(model, foreign), "x must be a numpy array, got a CuPy array"),
        (lambda: model.free_energy(foreign), "state['v'] must be a numpy array, got a CuPy array"),
        (lambda: model.to("gpu"), "device must be cpu, cuda, or cuda:N"),
    ):
        try:
            call()
        except boltz.InputError as problem:
            assert words in str(problem)
        else:
            raise AssertionError("it was let in")
