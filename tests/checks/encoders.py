"""Checks of recognition with a flow behind its draw, shared by the tests and by the planted faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong. Flows are those of
oracles/flows.py, inside the machines of oracles/directed.py; derivatives are complex steps under fixed noise.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from checks import directed
from checks.directed import CLOCK, SERIAL, drawn, gradient_of, machine_of, plenty
from checks.posterior import KEY, row_of, slopes_are_right
from oracles import directed as oracle
from oracles.directed import Directed, Floats
from scipy.special import logsumexp
from support import stats

import boltz
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape
from boltz.sampling.features import features
from boltz.sampling.hmc import hamiltonian_path
from boltz.sampling.inference import inference_of
from boltz.sampling.recognition import Pass, draw, encode, sampled
from boltz.training.directed_settings import DirectedSettings
from boltz.training.rules import Clock
from boltz.training.variational import Variational

FLOW = (5, 4)
WIDE = np.linspace(-14, 14, 561)


def one_layer(layers: str = "3b 3g", scale: float = 0.6) -> HelmholtzMachine:
    return machine_of(layers, [[4]], scale=scale, flow=FLOW)


def two_layers(scale: float = 0.5) -> HelmholtzMachine:
    return machine_of("3g 2g 2g", [[3], [4]], "softplus", scale, flow=(4,))


def passes_of(machine: HelmholtzMachine, x: Floats, samples: int) -> Pass:
    """One block of samples that the library draws."""
    tape = Tape(machine.arena)
    found = sampled(machine, tape, x, samples, (CLOCK.key, CLOCK.step), SERIAL)
    assert len(found) == 1
    return found[0]


def log_q_of(machine: HelmholtzMachine, x: Floats, z: Floats) -> Floats:
    """log q(z | row) (rows of z,) by the library, of a machine with one hidden layer, for one row x (1, units)."""
    part = Tape(machine.arena).whole(1)
    part.get("state/v", x.shape[1])[...] = x
    encoded, _ = encode(machine, part)
    part.times(len(z)).get("state/h1", z.shape[1])[...] = z
    found = draw(machine, part, encoded, len(z), {}, np.arange(len(z)))
    return found.recognition.log_density["h1"].copy()


def grid(units: int, nodes: Floats) -> tuple[Floats, float]:
    """All points (points, units) of a grid with these nodes on each axis, and the log of the volume of a cell."""
    axes = np.meshgrid(*[nodes] * units, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1), units * float(np.log(nodes[1] - nodes[0]))


def evidence(machine: HelmholtzMachine, x: Floats, nodes: Floats) -> Floats:
    """log p(x) (rows,) of a machine with one hidden layer, by the sum over a grid."""
    points, cell = grid(machine.units["h1"], nodes)
    plain = Directed.of(machine)
    each = [sum(oracle.log_p(plain, {"v": np.tile(row, (len(points), 1)), "h1": points}).values()) for row in x]
    return np.array([logsumexp(found) + cell for found in each])


# ---------------------------------------------------------------- densities


def check_draws() -> None:
    """States from the library's own noise, and log q of them, by the oracle."""
    for machine in (one_layer(), one_layer("3b 1g"), two_layers()):
        x, samples = plenty(machine)[:5], 3
        found = passes_of(machine, x, samples)
        plain, case = Directed.of(machine), drawn(machine, x, samples)
        states = case.states(plain)
        log_q = oracle.log_q(plain, states)
        for name in log_q:
            np.testing.assert_allclose(found.state(name), states[name], rtol=0, atol=1e-12)
            np.testing.assert_allclose(found.recognition.log_density[name], log_q[name], rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.log_weights(), case.log_w(plain), rtol=0, atol=1e-10)


def check_given_states() -> None:
    """log q of states that are there is that of their draw, and of other states that of the oracle."""
    for machine in (one_layer(), one_layer("3b 1g"), two_layers()):
        x, samples = plenty(machine)[:5], 3
        first = passes_of(machine, x, samples)
        wanted = {name: found.copy() for name, found in first.recognition.log_density.items()}
        encoded, _ = encode(machine, first.part)
        again = draw(machine, first.part, encoded, samples, {}, np.arange(15))
        for name, found in again.recognition.log_density.items():
            np.testing.assert_allclose(found, wanted[name], rtol=0, atol=1e-9)
        rng, other = np.random.default_rng(3), {"v": np.repeat(x, samples, axis=0)}
        for name in wanted:
            first.state(name)[...] = other[name] = rng.normal(size=first.state(name).shape)
        encoded, _ = encode(machine, first.part)
        found = draw(machine, first.part, encoded, samples, {}, np.arange(15)).recognition.log_density
        for name, log_q in oracle.log_q(Directed.of(machine), other).items():
            np.testing.assert_allclose(found[name], log_q, rtol=0, atol=1e-10)


def check_normalisation() -> None:
    """q(z | v) adds up to 1 over a grid, for one and for two units."""
    for layers, nodes in (("3b 1g", np.linspace(-30, 30, 6_001)), ("3b 2g", np.linspace(-16, 16, 321))):
        machine = one_layer(layers, 0.4)
        points, cell = grid(machine.units["h1"], nodes)
        total = logsumexp(log_q_of(machine, plenty(machine)[:1], points)) + cell
        assert abs(total) < 1e-6, total


def check_codes() -> None:
    """Features are what the flow makes of the mean of its Gaussian; upper layers hear codes, or draws."""
    for machine in (one_layer(), two_layers()):
        x = plenty(machine)[:4]
        plain = Directed.of(machine)
        zero = {name: np.zeros((4, units)) for name, units, _ in plain.latent}
        codes = oracle.recognised(plain, x, zero)
        for name in zero:
            np.testing.assert_allclose(features(machine, x, name), codes[name], rtol=0, atol=1e-12)
        means = inference_of(machine).posterior_means(machine, x, CLOCK.key)
        noise = directed.noise_of(machine, 4, Clock(CLOCK.key, 0, 0.0))
        for name in zero:
            codes = oracle.recognised(plain, x, noise | {name: zero[name]})
            np.testing.assert_allclose(means[name], codes[name], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- derivatives


def check_gradients() -> None:
    """Bounds as functions of the parameters, with one layer and with two, one draw a row and several."""
    for name in directed.SMOOTH:
        directed.check_path(one_layer(), name)
        directed.check_path(two_layers(), name)
    directed.check_path(machine_of("3b 2g 2g 2g", scale=0.4, flow=(3,)), "iwae")
    directed.check_path(two_layers(), "iwae", warmup=2.0)


def check_partial_gradients() -> None:
    """stl, dreg and piwae: what each leaves out of the derivative is that of log q at fixed states."""
    directed.check_partial(one_layer())
    directed.check_partial(two_layers())
    directed.check_partial(machine_of("3b 2g 1g", flow=(3,)), warmup=2.0)


def check_wake_and_sleep() -> None:
    """rws and wake-sleep: derivatives at fixed states of both phases, by their shares."""
    directed.check_shares(one_layer("3b 2g"))
    directed.check_shares(two_layers())


def check_score_function() -> None:
    """reinforce: the score of q in expectation, by quadrature on 60 nodes, whose own error is below 1e-8."""
    directed.check_reinforce_of(machine_of("3b 1g", [[2]], scale=0.3, flow=(3,)), 60, 1e-8)


def check_mixed() -> None:
    """Gaussian layers with flows beside binary ones, nvil and vimco, noise fixed."""
    for objective in ("nvil", "vimco"):
        for layers in ("3b 2g 2b", "3b 2b 2g"):
            directed.check_score_function(objective, machine_of(layers, flow=(3,)), 2)


def check_slopes() -> None:
    """log f_beta of paths to the posterior and its derivatives by the states."""
    slopes_are_right(one_layer(), "one layer")
    slopes_are_right(two_layers(0.3), "two layers")


def check_spreads() -> None:
    """Spreads of Hamiltonian Monte Carlo: root mean squares of the derivative of z by the noise, at the mean."""
    machine = one_layer()
    plain, row = Directed.of(machine), row_of(machine)
    path, _ = hamiltonian_path(machine, row, 1, 0, KEY)
    wanted = np.zeros(3)
    for unit in range(3):
        noise = np.zeros((1, 3), complex)
        noise[0, unit] = 1j * oracle.STEP
        wanted += np.square(oracle.recognised(plain, row, {"h1": noise})["h1"][0].imag / oracle.STEP)
    np.testing.assert_allclose(path.spread["h1"][0], np.sqrt(wanted), rtol=1e-10)


# ---------------------------------------------------------------- estimates


def check_evidence(chains: int = 4000) -> None:
    """log p(v) by quadrature against importance samples and annealing; catches 0.1 nats, at the alarm rate of stats."""
    machine = one_layer("3b 1g", 0.5)
    x = row_of(machine)
    truth = float(evidence(machine, x, WIDE)[0])
    for found, count in (
        (boltz.log_likelihood(machine, x, samples=40_000, seed=2), 40_000),
        (boltz.posterior_ais(machine, x, chains, 6, seed=3), chains),
    ):
        assert found.kind == "lower"
        stats.accept(
            stats.ratio_test(found.value, truth, found.standard_error, count), "weights do not average to p(v)"
        )
        assert stats.detectable_ratio(0.1, found.standard_error), found.standard_error


def gradient_in(machine: HelmholtzMachine, dtype: Any) -> dict[str, Floats]:
    """The gradient of iwae with 4 samples, computed in another type."""
    found = machine.astype(dtype)
    return gradient_of(found, plenty(machine).astype(dtype), DirectedSettings(objective="iwae", samples=4))


def check_single_precision() -> None:
    """Gradients in float32 against float64, to 1e-4 of the largest."""
    wide, narrow = (gradient_in(two_layers(), dtype) for dtype in (np.float64, np.float32))
    size = max(np.abs(x).max() for x in wide.values())
    for name, x in narrow.items():
        assert x.dtype == np.float32
        np.testing.assert_allclose(x, wide[name], rtol=0, atol=1e-4 * size, err_msg=name)


# ---------------------------------------------------------------- machines

ROWS = (np.random.default_rng(31).random((70, 6)) < 0.4).astype(np.float32)
POSTERIOR: dict[str, Any] = {"posterior": "iaf", "flow_steps": 2, "flow_widths": [5]}


def check_saved() -> None:
    """A saved machine comes back."""
    for machine in (
        boltz.vae([6, 5], 3, ROWS, **POSTERIOR),
        boltz.vae([6, [5], [4]], [3, 2], ROWS, **POSTERIOR),
        boltz.vae([6, 5], 3, ROWS, prior="flow", **POSTERIOR),
    ):
        with TemporaryDirectory() as folder:
            machine.save(f"{folder}/m.safetensors")
            found = boltz.load(f"{folder}/m.safetensors")
        assert found.structure == machine.structure and found.arena.tobytes() == machine.arena.tobytes()


def check_new_machine() -> None:
    """A new flow changes nothing but the order of units, so that training starts at the bound of the plain machine; its
    hidden units are alive.
    """
    made = [boltz.vae([6, 5], 3, ROWS, seed=3, **more).astype(np.float64) for more in (POSTERIOR, {})]
    for name, value in made[1].params.items():
        np.testing.assert_array_equal(made[0].params[name], value, err_msg=name)
    with_flow, without = (passes_of(machine, ROWS[:5].astype(np.float64), 2) for machine in made)
    np.testing.assert_array_equal(with_flow.state("h1"), without.state("h1")[:, ::-1])
    np.testing.assert_array_equal(with_flow.recognition.log_density["h1"], without.recognition.log_density["h1"])
    assert all(made[0].params[f"recognition/h1/flow/{t}/0/weight"].any() for t in (0, 1))


def check_no_programs() -> None:
    """Steps of machines with flows are no programs, those of the plain machine are."""
    rule = Variational(DirectedSettings(batch_size=128))
    plain, *others = (boltz.vae([16, 16], 16, **more) for more in ({}, POSTERIOR))
    assert rule.recordable(plain) and rule.replayable(plain)
    assert not any(rule.recordable(machine) or rule.replayable(machine) for machine in others)
