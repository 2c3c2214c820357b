"""Checks of machines with factors of their own against exact answers, shared by the tests and by the planted faults.

Log-densities are those of tests/oracles, derivatives are complex steps, and integrals over hidden units are sums over a
grid. Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from checks import directed, training
from checks.directed import CLOCK, NUMBERS, assert_slopes, check_path, drawn, gradient_of
from checks.posterior import random
from oracles import directed as oracle
from oracles.directed import Directed, bits
from oracles.flows import Flow
from scipy.special import logsumexp
from scipy.stats import norm
from support import stats
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.estimators.likelihood import importance_bounds
from boltz.models.helmholtz import HelmholtzMachine
from boltz.parallel import Workers
from boltz.plotting import curves
from boltz.training import optimizers
from boltz.training.directed_settings import DirectedSettings
from boltz.training.settings import Settings
from boltz.training.variational import Variational, measure

Floats = Any
LOSSY = {"activation": "elu", "decoder": "pixelcnn", "receptive_field": 2, "filters": 2, "maps": 1}
FLOWING = {**LOSSY, "prior": "flow", "flow_widths": [3]}
DRAWS = 20_000


def tractable() -> dict[str, HelmholtzMachine]:
    """Machines without hidden layers, in float64 with parameters of ordinary size."""
    return {
        "nade": random(boltz.nade(6, 5, order=[3, 0, 5, 1, 2, 4]), 0.7, 21),
        "made": random(boltz.made(6, [7, 5], masks=3, natural=False, seed=2), 0.7, 22),
        "pixelcnn": random(boltz.pixelcnn(6, image=(2, 3), receptive_field=2, filters=3), 1.4, 23),
        "pixelcnn of a wide field": random(boltz.pixelcnn(10, image=(2, 5), filters=2, tied=True, maps=2), 0.6, 24),
        "nade of 12": random(boltz.nade(12, 4, activation="relu"), 0.6, 25),
        "made of 12": random(boltz.made(12, [9]), 0.6, 26),
    }


def latent() -> dict[str, HelmholtzMachine]:
    """Machines with Gaussian hidden layers, in float64 with parameters of ordinary size."""
    return {
        "flow": random(boltz.vae([6, 4], 2, prior="flow", flow_widths=[3]), 0.5, 31),
        "coupling": random(boltz.vae([6, [4], [3]], [2, 3], prior="coupling", flow_widths=[3]), 0.5, 32),
        "lossy": random(boltz.vae([6, 3], 2, image=(2, 3), **FLOWING), 0.5, 33),
        "lossy, normal prior": random(boltz.vae([4, 3], 1, tied=False, **LOSSY), 0.5, 34),
        "real": random(boltz.vae([6, 3], 2, visible="gaussian", prior="flow", flow_widths=[3]), 0.4, 35),
    }


def rows_of(machine: HelmholtzMachine, rows: int = 5) -> Floats:
    """Visible rows: binary ones, or real ones."""
    units = machine.layers[0].units
    if machine.layers[0].kind == "gaussian":
        return np.tile(NUMBERS, (1, 2))[:rows, :units]
    return np.random.default_rng(4).integers(0, 2, (rows, units)).astype(float)


# ---------------------------------------------------------------- exact likelihoods


def check_exact() -> None:
    """Probabilities of all states sum to 1, each is the oracle's, and the estimate says that it is exact."""
    for name, machine in tractable().items():
        every = bits(machine.layers[0].units)
        found = boltz.log_likelihood(machine, every)
        assert found.kind == "exact" and found.per_row is not None and found.standard_error == 0, name
        assert abs(logsumexp(found.per_row)) < 1e-10, name
        if len(every) < 100:
            wanted = oracle.log_p(Directed.of(machine), {"v": every})["v"]
            np.testing.assert_allclose(found.per_row, wanted, rtol=0, atol=1e-10, err_msg=name)


def check_samples() -> None:
    """20,000 samples against all 64 probabilities: chi-square, alpha 1e-6 for each machine.

    Catches samples from independent units with the same means, and those of the first mask of a MADE alone.
    """
    every = bits(6)
    for name in ("nade", "made", "pixelcnn"):
        machine = tractable()[name]
        law = np.exp(oracle.log_p(Directed.of(machine), {"v": every})["v"])
        means = law @ every
        apart = np.prod(np.where(every > 0, means, 1 - means), axis=1)
        others = [apart]
        if name == "made":
            others.append(np.exp(oracle.log_p(Directed.of(machine, step=0), {"v": every})["v"]))
        for other in others:
            assert stats.detectable_chi_square(DRAWS, law / law.sum(), other / other.sum()), name
        state = boltz.sample(machine, DRAWS, seed=3)["v"]
        counts = np.bincount((state @ 2 ** np.arange(6)[::-1]).astype(int), minlength=64)
        stats.accept(stats.chi_square(counts, law / law.sum()), f"samples of the {name} follow another law")


def check_likelihood_slopes() -> None:
    """The gradient of training is that of the mean log-likelihood; of a MADE that of the mask whose turn it is."""
    for name in ("nade", "made", "pixelcnn"):
        machine = tractable()[name]
        x = rows_of(machine, 7)
        found, laws = gradient_of(machine, x, DirectedSettings()), Directed.of(machine, CLOCK.step).laws

        def value(moved: Directed, x: Floats = x, laws: Any = laws) -> Any:
            return np.mean(laws["v"](moved.params, x, None))

        assert_slopes(found, value, machine)


# ---------------------------------------------------------------- hidden layers


def check_bound_slopes() -> None:
    """Gradients of the VAE and IWAE bounds with the noise held fixed, one sample a row and several."""
    for name, machine in latent().items():
        for objective in ("vae", "vae, 3 draws", "iwae"):
            if name in ("flow", "lossy") or objective == "iwae":
                check_path(machine, objective, rows=rows_of(machine, 3))


def check_scaled_slopes() -> None:
    """KL terms under a flow prior that are scaled by warm-up; miwae and ciwae."""
    machine = latent()["flow"]
    check_path(machine, "iwae", warmup=2.0, rows=rows_of(machine, 4))
    check_path(machine, "miwae", rows=rows_of(machine, 4))
    check_path(machine, "ciwae", rows=rows_of(machine, 4))


def check_conditional_nade_slopes() -> None:
    """The bound of a machine whose visible units are a conditional NADE or MADE above a Gaussian layer."""
    for machine in conditionals():
        check_path(machine, "iwae", rows=rows_of(machine, 3))


def conditionals() -> list[HelmholtzMachine]:
    """A NADE and a MADE given Gaussian units."""
    from boltz.models.builders import machine_of_structure
    from boltz.models.graph import Layer
    from boltz.models.structure import Structure
    from boltz.nn.made import Made
    from boltz.nn.nade import Nade

    found = []
    for i, factor in enumerate((Nade(4, 3, 2), Made(4, (5,), 2, activation="tanh"))):
        layers = (Layer("v", 4), Layer("h1", 2, "gaussian"))
        structure = Structure(layers, ((3,),), factors=(("v", factor),))
        found.append(random(machine_of_structure(structure, None, 0), 0.6, 41 + i))
    return found


def log_evidence(machine: HelmholtzMachine, x: Floats) -> Floats:
    """log p(x) (rows,) in nats of one Gaussian hidden layer of one or two units, by a sum over a grid."""
    units = machine.layers[1].units
    axis = np.linspace(-9, 9, 145 if units == 1 else 109)
    grid = np.stack(np.meshgrid(*[axis] * units, indexing="ij"), axis=-1).reshape(-1, units)
    plain, area = Directed.of(machine), units * np.log(axis[1] - axis[0])
    terms = [oracle.log_p(plain, {"v": np.tile(row, (len(grid), 1)), "h1": grid}) for row in x]
    return np.array([logsumexp(sum(found.values())) + area for found in terms])


def integrable() -> dict[str, HelmholtzMachine]:
    """A VAE with a flow prior of two units, and a lossy one with a single hidden unit."""
    lossy = random(boltz.vae([4, 3], 1, **LOSSY), 0.5, 37).astype(np.float32)
    return {"flow": latent()["flow"], "lossy": lossy}


def check_evidence() -> None:
    """Importance weights and annealing over hidden units average to p(v) of a grid: ratio tests, alpha 1e-6 each.

    Catches a bias of 0.25 nats, as of a log-determinant or a normal prior in the place of the flow.
    """
    for name, machine in integrable().items():
        x = rows_of(machine, 1)
        truth = float(log_evidence(machine, x)[0])
        by_weights = importance_bounds(machine, x, (4000,), seed=5)[0]
        annealed = boltz.posterior_ais(machine, x, 2000, 6, seed=6)
        for found, how, draws in ((by_weights, "importance weights", 4000), (annealed, "annealing", 2000)):
            assert found.kind == "lower"
            stats.accept(stats.ratio_test(found.value, truth, found.standard_error, draws), f"{how} of {name}")
            assert stats.detectable_ratio(0.25, found.standard_error), (name, how, found.standard_error)


def check_lossy_samples() -> None:
    """20,000 samples of a lossy autoencoder of four pixels, and of the sign of its hidden unit, against their 32
    probabilities: chi-square, alpha 1e-6.

    Catches pixels that hear another hidden state than that of their row.
    """
    machine = random(boltz.vae([4, 3], 1, **LOSSY), 1.5, 40)
    axis = (np.arange(-90, 90)[:, None] + 0.5) / 12  # none at 0, which parts the signs
    plain, area = Directed.of(machine), -np.log(12)
    terms = [sum(oracle.log_p(plain, {"v": np.tile(v, (len(axis), 1)), "h1": axis}).values()) for v in bits(4)]
    law = np.array([[np.exp(logsumexp(each[axis[:, 0] * s > 0]) + area) for s in (-1, 1)] for each in terms])
    assert abs(law.sum() - 1) < 1e-4
    law = law.ravel() / law.sum()
    apart = np.outer(law.reshape(16, 2).sum(axis=1), law.reshape(16, 2).sum(axis=0)).ravel()
    assert stats.detectable_chi_square(DRAWS, law, apart)
    state = boltz.sample(machine, DRAWS, seed=4)
    cells = (state["v"] @ [8, 4, 2, 1]).astype(int) * 2 + (state["h1"][:, 0] > 0)
    stats.accept(stats.chi_square(np.bincount(cells, minlength=32), law), "samples follow another law")


def check_prior_samples() -> None:
    """Hidden samples under a flow prior are noise once the map of the oracle has taken them: KS test, alpha 1e-6."""
    for name in ("flow", "coupling"):
        machine = latent()[name]
        layer, factor = machine.layers[-1].name, machine.structure.factors[-1][1]
        flow = Flow(factor.units, factor.steps, factor.widths, factor.kind, factor.activation, 0, name == "coupling")
        params = {f"f/{key.removeprefix('prior/')}": v for key, v in machine.params.items() if key.startswith("prior/")}
        state = boltz.sample(machine, 3000, seed=7)[layer]
        noise = flow.forward(params, state)[0]
        p_values = [stats.uniform_test(norm.cdf(column)) for column in noise.T]
        stats.accept(stats.smallest_of(p_values), f"samples of the {name} prior follow another law")
        assert np.abs(noise - state).max() > 0.1


# ---------------------------------------------------------------- training


def check_adamax() -> None:
    """Algorithm 2 of Kingma & Ba (2015) written out, ascent, with decay on weights, by hand in numpy."""
    gradients = np.random.default_rng(54).normal(size=(5, 44)) * np.array([1, 30, 0.1, 5, 0])[:, None]
    for beta1, epsilon in ((0.9, 1e-8), (0.6, 0.3), (0.0, 1e-8)):
        settings = Settings(
            learning_rate=0.01, optimizer="adamax", adam_beta1=beta1, adam_epsilon=epsilon, l2=0.05, l1=0.02
        )
        w, m, u = training.arena_machine(), np.zeros(44), np.zeros(44)
        wanted = []
        for t, g in enumerate(gradients, 1):
            g = g - training.penalty_of(w, settings)
            m, u = beta1 * m + (1 - beta1) * g, np.maximum(0.999 * u, np.abs(g))
            w.arena[...] += 0.01 / (1 - beta1**t) * m / (u + epsilon)
            wanted.append(w.arena.copy())
        found, _ = training.updated(settings, training.arena_machine(), gradients)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)
    machine = training.arena_machine()
    machine.arena[0] = np.nan
    state = optimizers.init(settings, machine)
    step = optimizers.Step([0.1], [0.0], 1)
    assert not optimizers.apply(settings, machine, np.zeros(44), state, step, Workers(1, None))


def check_soft_free_bits() -> None:
    """Weights of KL terms fall by a tenth below the target, rise by a tenth above it, and stay from 0.001 to 1."""
    machine = latent()["coupling"]
    x = rows_of(machine, 6)
    plain = Directed.of(machine)
    states = drawn(machine, x, 1).states(plain)
    kl = {n: float(np.mean(q - oracle.log_p(plain, states)[n])) for n, q in oracle.log_q(plain, states).items()}
    low, high = sorted(kl.values())
    assert 0 < 1.2 * low < high, "the layers must be apart"
    targets = {1.01 * low: {"low": 0.9, "high": 1.1}, 0.98 * low: {"low": 1.0, "high": 1.1}}
    targets |= {2 * high: {"low": 0.9, "high": 0.9}, 0.5 * low: {"low": 1.1, "high": 1.1}}
    for target, factors in targets.items():
        for start in (0.5, 1.0, 1e-3):
            settings = DirectedSettings(objective="vae", free_bits=target, soft_free_bits=True)
            rule = Variational(settings)
            state = rule.init(machine, x, CLOCK.key, len(x))
            assert {name: value.tolist() for name, value in state.items()} == {f"kl/{name}": [1.0] for name in kl}
            for value in state.values():
                value[...] = start
            found = rule.gradient(rule.workspace(machine), x, state, CLOCK, directed.SERIAL)
            moved = {n: start * factors["low" if kl[n] == low else "high"] for n in kl}
            wanted = {n: min(max(weight, 1e-3), 1.0) for n, weight in moved.items()}
            for n, weight in wanted.items():
                assert abs(state[f"kl/{n}"][0] - weight) < 1e-12, (target, start, n)
            case = drawn(machine, x, 1)

            def value(moved: Directed, case: Any = case, wanted: Any = wanted) -> Any:
                return np.mean(oracle.elbo(case.log_w(moved, wanted)))

            assert_slopes(found, value, machine, "recognition")


def check_start() -> None:
    """Biases of the units of a new machine are logits of the means of the rows, and its files give it back."""
    x = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 1, 1], [0, 1, 1, 0.0]])
    mean = np.array([0.001, 0.999, 0.75, 0.25])
    machines = [boltz.nade(4, 3, x, order=[2, 0, 1, 3]), boltz.made(4, [3], x), boltz.vae([4, 3], 2, x, prior="flow")]
    for machine, name in zip(machines, ("units/bias", "units/bias", "1/bias"), strict=True):
        found = machine.params[f"generative/v/{name}"]
        assert np.abs(found - np.log(mean / (1 - mean))).max() < 1e-5, machine
        assert all((v == 0).all() for n, v in machine.params.items() if n.endswith("bias") and v is not found), machine
        with TemporaryDirectory() as folder:
            machine.save(Path(folder) / "model.safetensors")
            again = boltz.load(folder)
        assert isinstance(again, HelmholtzMachine) and again.structure == machine.structure
        assert hash(again.structure) == hash(machine.structure) and np.array_equal(again.arena, machine.arena)


def check_holes() -> None:
    """Rows with unknown entries are refused, as no unit can be left out of those that hear it."""
    for machine in (tractable()["nade"], latent()["lossy"]):
        rows = rows_of(machine, 2)
        rows[0, 1] = np.nan
        try:
            boltz.log_likelihood(machine, rows)
        except InputError as problem:
            assert "hear each other" in str(problem)
        except KeyError as problem:
            raise AssertionError(f"{problem} is no sentence") from problem
        else:
            raise AssertionError("unknown entries were counted")


def check_mirrored_nets() -> None:
    """The net of a PixelCNN mirrors the encoder, and hears the lowest hidden layer."""
    machine = boltz.vae([4, [5, 3], [2]], [2, 1], **LOSSY)
    shapes = [v.shape for n, v in machine.params.items() if n.startswith("generative/v/net") and n.endswith("weight")]
    assert shapes == [(2, 3), (3, 5), (5, 4)], shapes


def check_measures() -> None:
    """What is recorded after an epoch: the exact log-likelihood of training rows, and how much less held-out rows have;
    a curve is drawn of both.
    """
    for name in ("nade", "made", "pixelcnn"):
        machine, seen, unseen = tractable()[name], rows_of(tractable()[name], 9), bits(6)[3:40]
        found, plain = measure(machine, seen, unseen, CLOCK.key), Directed.of(machine)
        a, b = (float(oracle.log_p(plain, {"v": x})["v"].mean()) for x in (seen, unseen))
        assert abs(found["log_likelihood"] - a) < 1e-10 and abs(found["likelihood_gap"] - (a - b)) < 1e-10, name
        shown = curves.with_held_out([dict(found)])[0]
        assert abs(shown["held_out_likelihood"] - b) < 1e-10
        panel = next(iter(curves.recorded_panels([shown]).values()))
        assert set(panel) == {"log_likelihood", "held_out_likelihood"}
    assert curves.with_held_out([{"log_likelihood": 1.0, "likelihood_gap": None}])[0]["held_out_likelihood"] is None


def check_threads() -> None:
    """A training, its likelihoods and samples have the same bits in one thread and in two."""
    x = (np.random.default_rng(6).random((1500, 6)) < 0.4).astype(np.float32)
    makers: dict[str, Any] = {
        "nade": lambda: boltz.nade(6, 5, x),
        "made": lambda: boltz.made(6, [5], x, masks=3),
        "pixelcnn": lambda: boltz.pixelcnn(6, x, image=(2, 3), receptive_field=2, filters=3),
        "vlae": lambda: boltz.vae([6, 4], 2, x, image=(2, 3), **FLOWING),
    }
    before = boltz.threads()
    for name, make in makers.items():
        found = []
        for threads in (1, 2):
            try:
                boltz.threads(threads)
                model = plain_train(make(), x, epochs=1, batch_size=700, seed=5, optimizer="adamax").model
                state = boltz.sample(model, 1500, seed=6)
                told = boltz.log_likelihood(model, x[:40], samples=20 if model.hidden_layers else 0).per_row
                assert told is not None
                found.append([model.arena, told, *state.values()])
            finally:
                boltz.threads(before)
        assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True)), name
