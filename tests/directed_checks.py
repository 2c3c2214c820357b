"""Checks of Helmholtz machines against exact answers, shared by the tests and by the planted faults of tests/faults.

What runs is the library itself: `Prescribed` stands in for the draw of a conditional alone, so that the samples of a
batch are every tuple of latent states, and the weights of a row are multiplied by the probability of its tuple. Each
check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import directed_oracle as oracle
import numpy as np
import pytest
from directed_oracle import Directed, Floats, Values

import boltz
from boltz import kernels
from boltz.models.graph import Layer
from boltz.models.helmholtz import HelmholtzMachine, Structure, empty
from boltz.nn.arena import Part, Tape
from boltz.rng import Key
from boltz.sampling.driver import Workers
from boltz.sampling.recognition import sampled
from boltz.training.bounds import Weights
from boltz.training.rules import Clock
from boltz.training.settings import DirectedSettings
from boltz.training.sleep import recognise, sleep_products
from boltz.training.variational import DirectedWorkspace, Variational

SERIAL = Workers(1, None)
CLOCK = Clock(Key(19950501, 268), 7, 0.6)
KINDS = {"b": "bernoulli", "g": "gaussian"}
BITS = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
NUMBERS = np.array([[1.3, -0.4, 0.2], [-0.7, 0.1, 2.1], [0.0, 0.5, -1.2], [0.4, 0.4, -0.1], [2.0, -1.0, 0.3]])


def machine_of(
    layers: str, widths: Sequence[Sequence[int]] = (), activation: str = "tanh", scale: float = 0.6, seed: int = 1
) -> HelmholtzMachine:
    """A float64 machine with normal parameters, layers such as "3b 2g 2b" from the visible one; "rbm" ends a DBN's."""
    words = layers.split()
    prior = "rbm" if words[-1] == "rbm" else "factorial"
    sizes = [word for word in words if word != "rbm"]
    names = ["v", *(f"h{i}" for i in range(1, len(sizes)))]
    made = tuple(Layer(name, int(word[:-1]), KINDS[word[-1]]) for name, word in zip(names, sizes, strict=True))
    drawn = len(sizes) - 1 - (prior == "rbm")
    inner = tuple(map(tuple, widths)) if widths else ((),) * drawn
    machine = empty(Structure(made, inner, activation, prior), np.float64)
    machine.arena[...] = np.random.default_rng(seed).normal(0, scale, machine.arena.size)
    return machine


def rows_of(machine: HelmholtzMachine) -> Floats:
    """Visible rows for a machine of three visible units."""
    return BITS if machine.layers[0].kind == "bernoulli" else NUMBERS


# ---------------------------------------------------------------- prescribed draws


@dataclass(frozen=True)
class Prescribed:
    """A conditional whose draws are given: states (chains, units) of binary units, noise of Gaussian ones."""

    inner: Any
    given: Floats

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def sample(self, head: Any, stream: Any, rows: Any, state: Any, offset: Any) -> None:
        """The draws of these chains."""
        state[...] = self.given[rows]
        if self.inner.reparameterised:
            mean, log_sigma = np.split(head[0] + head[1], 2, axis=1)
            offset[...] = np.exp(log_sigma) * state
            state[...] = mean + offset


def prescribe(machine: HelmholtzMachine, given: Mapping[str, Floats]) -> HelmholtzMachine:
    """A machine with the same parameters whose draws of these layers are given."""
    twin = HelmholtzMachine(machine.structure, machine.arena.copy())
    for name, x in given.items():
        twin.conditionals[name] = Prescribed(twin.conditionals[name], x)
    return twin


@dataclass(frozen=True)
class Case:
    """Rows (rows, units) of a batch, draws by layer (rows * samples, units), and a mass (rows,) of each row."""

    x: Floats
    samples: int
    given: dict[str, Floats]
    mass: Floats

    def states(self, machine: Directed) -> dict[str, Values]:
        """The states of all samples."""
        return oracle.recognised(machine, np.repeat(self.x, self.samples, axis=0), self.given)

    def log_w(self, machine: Directed, scales: Mapping[str, float] | None = None) -> Values:
        """log w (rows, samples)."""
        return oracle.log_weight(machine, self.states(machine), scales).reshape(-1, self.samples)

    def probability(self, machine: Directed) -> Values:
        """Mass of each row times the probability of its binary states."""
        return self.mass * oracle.posterior_tuples(machine, self.states(machine), len(self.x))


def every_tuple(machine: HelmholtzMachine, x: Floats, samples: int, seed: int = 2) -> Case:
    """Each row with every tuple of binary states, and with fixed noise in the Gaussian layers."""
    count, found = oracle.tuples(Directed.of(machine), samples)
    rng, given = np.random.default_rng(seed), {}
    for layer in machine.structure.latent:
        if layer.name in found:
            given[layer.name] = np.tile(found[layer.name].reshape(-1, layer.units), (len(x), 1))
        else:
            noise = np.repeat(rng.normal(size=(len(x), 1, samples, layer.units)), count, axis=1)
            given[layer.name] = noise.reshape(-1, layer.units)
    return Case(np.repeat(x, count, axis=0), samples, given, np.full(len(x) * count, 1 / len(x)))


def quadrature(machine: HelmholtzMachine, x: Floats, samples: int, nodes: int) -> Case:
    """Each row with every tuple of binary states and of Gauss-Hermite nodes of the noise."""
    node, weight = np.polynomial.hermite_e.hermegauss(nodes)
    smooth = [layer for layer in machine.structure.latent if layer.kind == "gaussian"]
    total = samples * sum(layer.units for layer in smooth)
    grid = np.indices((nodes,) * total).reshape(total, -1).T
    mass = np.prod(weight[grid] / weight.sum(), axis=1)
    base = every_tuple(machine, np.repeat(x, len(grid), axis=0), samples)
    count = len(base.x) // (len(x) * len(grid))
    widths = [samples * layer.units for layer in smooth]
    for layer, columns in zip(smooth, np.split(grid, np.cumsum(widths)[:-1], axis=1), strict=True):
        noise = np.tile(node[columns], (len(x), 1)).reshape(-1, 1, samples, layer.units)
        base.given[layer.name][...] = np.repeat(noise, count, axis=1).reshape(-1, layer.units)
    return Case(base.x, samples, base.given, np.repeat(np.tile(mass, len(x)), count) / len(x))


# ---------------------------------------------------------------- gradients of the library


def gradient_of(
    machine: HelmholtzMachine,
    x: Floats,
    settings: DirectedSettings,
    state: Mapping[str, Any] | None = None,
    clock: Clock = CLOCK,
    pool: Workers = SERIAL,
) -> dict[str, Floats]:
    """The gradient by name of one call of the rule, from a fresh state or from the arrays given."""
    rule = Variational(settings)
    after = rule.init(machine, x, clock.key) if state is None else {name: np.array(v) for name, v in state.items()}
    found = rule.gradient(rule.workspace(machine), x, after, clock, pool)
    return {name: value.copy() for name, value in found.items()}


def expected_gradient(
    machine: HelmholtzMachine, case: Case, settings: DirectedSettings, state: Mapping[str, Any] | None = None
) -> dict[str, Floats]:
    """The sum of the rule's gradients of the rows, each times the probability of its draws instead of 1 / rows."""
    p = case.probability(Directed.of(machine))[:, None]

    def over(weights: Weights, rows: int) -> Weights:
        assert rows == len(p)
        return Weights(*(None if w is None else w * p for w in (weights.a, weights.b, weights.c, weights.score)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Weights, "over", over)
        return gradient_of(prescribe(machine, case.given), case.x, settings, state)


def noise_of(machine: HelmholtzMachine, rows: int, clock: Clock = CLOCK) -> dict[str, Floats]:
    """The noise (rows, units) of each Gaussian hidden layer that the library draws for so many samples in all."""
    found = {}
    for layer in machine.structure.latent:
        found[layer.name] = np.empty((rows, layer.units))
        stream = clock.key.derive("recognition", layer.name).stream(clock.step)
        kernels.normal(stream, np.arange(rows), found[layer.name])
    return found


def drawn(machine: HelmholtzMachine, x: Floats, samples: int, clock: Clock = CLOCK) -> Case:
    """Rows with the noise that the library draws for them; only for machines of Gaussian hidden layers."""
    return Case(x, samples, noise_of(machine, len(x) * samples, clock), np.full(len(x), 1 / len(x)))


def assert_slopes(
    found: Mapping[str, Floats], value: Callable[[Directed], Any], machine: HelmholtzMachine, only: str = ""
) -> None:
    """The gradient of every parameter (whose name begins so) has the slopes of value, to 1e-10 of the largest."""
    wanted = [slope for slope in oracle.slopes(value, Directed.of(machine)) if slope[0].startswith(only)]
    size = max(1.0, max(abs(slope) for _, _, slope in wanted))
    for name, direction, slope in wanted:
        got = float(np.sum(found[name] * direction))
        assert abs(got - slope) <= 1e-10 * size, f"{name}: slope {got}, expected {slope}"
    assert max(abs(slope) for _, _, slope in wanted) > 1e-3, "every slope is nearly zero"


def assert_equal(found: Mapping[str, Floats], wanted: Mapping[str, Floats], only: str = "") -> None:
    """Equal gradients by name (of those that begin so), to 1e-12 of the largest, and not all zero."""
    names = [name for name in wanted if name.startswith(only)]
    size = max(np.abs(wanted[name]).max() for name in names)
    assert size > 1e-3, "the gradients are nearly zero"
    for name in names:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-12 * max(1, size), err_msg=name)


# ---------------------------------------------------------------- expectations over every tuple of latent states

Bound = Callable[[Values], Values]


def expected(case: Case, bound: Bound, scales: Mapping[str, float] | None = None) -> Callable[[Directed], Any]:
    """E over the case of a bound, as a function of the machine: its slopes include those of the probabilities."""
    return lambda machine: np.sum(case.probability(machine) * bound(case.log_w(machine, scales)))


def weighted(case: Case, machine: HelmholtzMachine, share: float = 1.0) -> Callable[[Directed], Any]:
    """E sum_k wn_k (log p + share log q) at fixed samples, weights and probabilities: reweighted wake-sleep, awake."""
    base = Directed.of(machine)
    p, wn, states = case.probability(base), oracle.normalised(case.log_w(base)), case.states(base)

    def value(moved: Directed) -> Any:
        log_p, log_q = (sum(f(moved, states).values()) for f in (oracle.log_p, oracle.log_q))
        return np.sum(p[:, None] * wn * (log_p + share * log_q).reshape(wn.shape))

    return value


def baseline_state(machine: HelmholtzMachine, learned: bool) -> dict[str, Floats]:
    """A baseline that is neither zero nor what training would give."""
    rule = Variational(DirectedSettings(objective="nvil" if learned else "reinforce"))
    state = rule.init(machine, rows_of(machine), CLOCK.key)
    state["baseline/mean"] = np.array([-1.7])
    if learned:
        state["baseline/arena"][...] = np.random.default_rng(3).normal(0, 0.3, state["baseline/arena"].shape)
    return state


def check_score_function(objective: str, machine: HelmholtzMachine, samples: int, **more: Any) -> None:
    """The expected gradient of vimco is that of L_K, of nvil and reinforce that of the evidence lower bound."""
    settings = DirectedSettings(objective=objective, samples=samples, **more)
    case = every_tuple(machine, rows_of(machine), samples)
    bound = oracle.log_mean_exp if objective == "vimco" else oracle.elbo
    state = None if objective == "vimco" else baseline_state(machine, objective == "nvil")
    scale = min(1.0, CLOCK.done / settings.warmup_epochs) if settings.warmup_epochs else 1.0
    scales = {layer.name: scale for layer in machine.structure.latent}
    found = expected_gradient(machine, case, settings, state)
    assert_slopes(found, expected(case, bound, scales), machine)


def check_vimco() -> None:
    """Two and three samples, linear and with deterministic layers."""
    check_score_function("vimco", machine_of("3b 2b 2b"), 3)
    check_score_function("vimco", machine_of("3b 2b 2b", [[3], [2]]), 2)


def check_nvil() -> None:
    """One and two samples with a baseline net."""
    check_score_function("nvil", machine_of("3b 2b 2b"), 1)
    check_score_function("nvil", machine_of("3b 2b 2b", [[3], []], "softplus"), 2)


def check_reinforce() -> None:
    """One and two samples with a constant baseline."""
    check_score_function("reinforce", machine_of("3b 2b 2b"), 1)
    check_score_function("reinforce", machine_of("3g 2b 2b", [[], [3]]), 2)


def check_warm_up_of_binary_layers() -> None:
    """The KL terms times 0.3 in the value and in the derivative at fixed samples."""
    for objective in ("vimco", "nvil", "reinforce"):
        check_score_function(objective, machine_of("3b 2b 2b"), 2, warmup_epochs=2.0)


MIXED = ("3b 2g 2b", "3b 2b 2g", "3g 1g 2b 2g", "3b 1b 2g 2b")


def check_mixed(layers: str, objective: str) -> None:
    """Binary layers by their score, Gaussian ones along the path, noise fixed: then every other sum is finite."""
    check_score_function(objective, machine_of(layers), 2)
    check_score_function(objective, machine_of(layers), 2, warmup_epochs=2.0)


def check_mixed_machines() -> None:
    """Either order of a Gaussian and a binary layer, nvil and vimco."""
    for layers in MIXED[:2]:
        for objective in ("nvil", "vimco"):
            check_mixed(layers, objective)


def check_reweighted_wake() -> None:
    """Both wake phases of rws: theta climbs L_K, phi the self-normalised cross-entropy times its share."""
    machine = machine_of("3b 2b 2b", [[2], []])
    for samples in (2, 3):
        case = every_tuple(machine, rows_of(machine), samples)
        settings = DirectedSettings(objective="rws", samples=samples, sleep_share=0.0)
        found = expected_gradient(machine, case, settings)
        assert_slopes(found, weighted(case, machine), machine)
        for side in ("generative", "prior"):
            assert_slopes(found, expected(case, oracle.log_mean_exp), machine, side)


def dream_value(states: Mapping[str, Floats], mass: Any) -> Callable[[Directed], Any]:
    """sum of mass times log q(h | v) over dreamt states."""
    return lambda machine: np.sum(mass * sum(oracle.log_q(machine, states).values()))


def left_on(tape: Tape) -> dict[str, Floats]:
    """The states that a phase left on its tape."""
    return {n.removeprefix("state/"): x.copy() for n, x in tape.held.items() if n.startswith("state/")}


def check_sleep_expectation() -> None:
    """The deltas of every state (v, h), each with the probability that p gives it: the gradient of E_p log q(h | v)."""
    for layers, widths in (("3b 2b 2b", []), ("2b 2b 2b", [[2], [3]])):
        machine = machine_of(layers, widths)
        states, p = oracle.joint(Directed.of(machine))
        work = DirectedWorkspace(machine)
        for i, mass in enumerate(p):
            part = Part(work.sleep, slice(0, 1), 1)
            for name, x in states.items():
                part.get(f"state/{name}", machine.units[name])[...] = x[i]
            recognise(machine, part, mass)
            for job in sleep_products(machine, work.named, work.sleep, 1, True):
                job()
        assert_slopes(work.named, dream_value(states, p), machine, "recognition")
        assert all((x == 0).all() for name, x in work.named.items() if not name.startswith("recognition"))


def check_shares_of_wake_and_sleep() -> None:
    """One call: theta learns awake, phi in both phases by their shares, each from the states that the phase drew."""
    for layers in ("3b 2b 2b", "3g 2g 2b"):
        machine, samples = machine_of(layers, [[2], []]), 3
        x = np.tile(rows_of(machine), (7, 1))
        for objective, share in (("rws", 0.3), ("rws", 1.0), ("wake-sleep", 1.0)):
            settings = DirectedSettings(objective=objective, samples=samples, sleep_share=0.3 if share < 1 else 0.5)
            if objective == "rws":
                settings = DirectedSettings(objective=objective, samples=samples, sleep_share=share)
            work = DirectedWorkspace(machine)
            Variational(settings).gradient(work, x, {}, CLOCK, SERIAL)
            awake, asleep = left_on(work.wake) | {"v": np.repeat(x, samples, axis=0)}, left_on(work.sleep)
            log_w = oracle.log_weight(Directed.of(machine), awake).reshape(-1, samples)
            a = oracle.normalised(log_w) if objective == "rws" else np.full(log_w.shape, 1 / samples)
            value = phases(awake, a.reshape(-1) / len(x), asleep, share)
            assert_slopes(work.named, value, machine)


def phases(awake: Mapping[str, Floats], a: Floats, asleep: Mapping[str, Floats], share: float) -> Any:
    """sum of a (log p + (1 - share) log q) over states drawn awake, and share times the mean of log q over dreams."""

    def value(machine: Directed) -> Any:
        p, q = (sum(f(machine, awake).values()) for f in (oracle.log_p, oracle.log_q))
        dream = sum(oracle.log_q(machine, asleep).values())
        return np.sum(a * (p + (1 - share) * q)) + share * np.mean(dream)

    return value
