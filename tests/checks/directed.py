"""Checks of Helmholtz machines against exact answers, shared by the tests and by the planted faults of tests/faults.

What runs is the library itself: `Prescribed` stands in for the draw of a conditional alone, so that the samples of a
batch are every tuple of latent states, and the weights of a row are multiplied by the probability of its tuple. Each
check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from oracles import directed as oracle
from oracles.directed import Directed, Floats, Values
from scipy.stats import multivariate_normal

from boltz import kernels
from boltz.models.graph import Layer
from boltz.models.helmholtz import HelmholtzMachine, empty
from boltz.models.structure import Structure
from boltz.nn.arena import Part, Tape
from boltz.nn.flows import InverseAutoregressiveFlow
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.sampling.recognition import sampled
from boltz.training.directed_settings import DirectedSettings
from boltz.training.objectives import Weights
from boltz.training.rules import Clock
from boltz.training.sleep import recognise, sleep_products
from boltz.training.variational import DirectedWorkspace, Variational

SERIAL = Workers(1, None)
CLOCK = Clock(Key(19950501, 268), 7, 0.6)
KINDS = {"b": "bernoulli", "g": "gaussian"}
BITS = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
NUMBERS = np.array([[1.3, -0.4, 0.2], [-0.7, 0.1, 2.1], [0.0, 0.5, -1.2], [0.4, 0.4, -0.1], [2.0, -1.0, 0.3]])


def machine_of(
    layers: str,
    widths: Sequence[Sequence[int]] = (),
    activation: str = "tanh",
    scale: float = 0.6,
    seed: int = 1,
    flow: tuple[int, ...] = (),
) -> HelmholtzMachine:
    """A float64 machine with normal parameters, layers such as "3b 2g 2b" from the visible one; "rbm" ends a DBN's.

    flow: the widths of the flows behind the draws of its Gaussian hidden layers, none for no flows.
    """
    words = layers.split()
    prior = "rbm" if words[-1] == "rbm" else "factorial"
    sizes = [word for word in words if word != "rbm"]
    names = ["v", *(f"h{i}" for i in range(1, len(sizes)))]
    made = tuple(Layer(name, int(word[:-1]), KINDS[word[-1]]) for name, word in zip(names, sizes, strict=True))
    drawn = len(sizes) - 1 - (prior == "rbm")
    inner = tuple(map(tuple, widths)) if widths else ((),) * drawn
    flows = {n.name: InverseAutoregressiveFlow(n.units, 2, flow, 2 * n.units, activation="tanh") for n in made if flow}
    behind = tuple((n.name, flows[n.name]) for n in made[1:] if flow and n.kind == "gaussian")
    machine = empty(Structure(made, inner, activation, prior, posteriors=behind), np.float64)
    machine.arena[...] = np.random.default_rng(seed).normal(0, scale, machine.arena.size)
    for side in ("generative", "recognition"):
        for name, net in getattr(machine.structure, side).items():
            if machine.conditionals[name].reparameterised:  # a log sigma that moves as much as a mean explodes
                machine.params[f"{side}/{name}/{net.depth - 1}/weight"][:, machine.units[name] :] *= 0.3
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
    after = (
        rule.init(machine, x, clock.key, len(x)) if state is None else {name: np.array(v) for name, v in state.items()}
    )
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
    found: Mapping[str, Floats],
    value: Callable[[Directed], Any],
    machine: HelmholtzMachine,
    only: str = "",
    tolerance: float = 1e-10,
) -> None:
    """The gradient of every parameter (whose name begins so) has the slopes of value, to 1e-10 of the largest."""
    wanted = oracle.slopes(value, Directed.of(machine), only)
    size = max(1.0, max(abs(slope) for _, _, slope in wanted))
    for name, direction, slope in wanted:
        got = float(np.sum(found[name] * direction))
        assert abs(got - slope) <= tolerance * size, f"{name}: slope {got}, expected {slope}"
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
    state = rule.init(machine, rows_of(machine), CLOCK.key, len(rows_of(machine)))
    state["baseline/mean"] = np.array([-1.7])
    if learned:
        state["baseline/arena"][...] = np.random.default_rng(3).normal(0, 0.3, state["baseline/arena"].shape)
    return state


def check_score_function(objective: str, machine: HelmholtzMachine, samples: int, **more: Any) -> None:
    """The expected gradient of vimco is that of L_K, of nvil and reinforce that of the evidence lower bound."""
    settings = DirectedSettings(objective=objective, samples=samples, **more)
    case = every_tuple(machine, rows_of(machine)[: 3 if samples < 3 else 1], samples)
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
        case = every_tuple(machine, rows_of(machine)[: 3 if samples < 3 else 1], samples)
        settings = DirectedSettings(objective="rws", samples=samples, sleep_share=0.0)
        found = expected_gradient(machine, case, settings)
        assert_slopes(found, weighted(case, machine), machine)
        assert_slopes(found, expected(case, oracle.log_mean_exp), machine, "generative")


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
        check_shares(machine_of(layers, [[2], []]))


def check_shares(machine: HelmholtzMachine) -> None:
    """The same of one machine."""
    samples, x = 3, np.tile(rows_of(machine), (7, 1))
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


# ---------------------------------------------------------------- reparameterised objectives under fixed noise

SMOOTH: dict[str, tuple[dict[str, Any], Bound]] = {
    "vae": ({"objective": "vae"}, oracle.elbo),
    "vae, 3 draws": ({"objective": "vae", "samples": 3}, oracle.elbo),
    "iwae": ({"objective": "iwae", "samples": 4}, oracle.log_mean_exp),
    "miwae": ({"objective": "miwae", "samples": 2, "groups": 3}, lambda log_w: oracle.miwae(log_w, 3)),
    "ciwae": ({"objective": "ciwae", "samples": 3, "beta": 0.3}, lambda log_w: oracle.ciwae(log_w, 0.3)),
}


def plenty(machine: HelmholtzMachine) -> Floats:
    """Forty-two rows: enough for more than one block of a batch."""
    return np.resize(rows_of(machine), (42, 3))


def check_path(
    machine: HelmholtzMachine, name: str, warmup: float = 0.0, free_bits: float = 0.0, rows: Floats | None = None
) -> None:
    """The gradient is that of the bound as a function of the parameters, with the noise that the library draws."""
    values, bound = SMOOTH[name]
    settings = DirectedSettings(**values, warmup_epochs=warmup, free_bits=free_bits)
    x = plenty(machine) if rows is None else rows
    case = drawn(machine, x, settings.knobs.total)
    scale, base = (CLOCK.done / warmup if warmup else 1.0), Directed.of(machine)
    states = case.states(base)
    q, p = oracle.log_q(base, states), oracle.log_p(base, states)
    scales = {layer: scale * (not free_bits or np.mean(q[layer] - p[layer]) > free_bits) for layer in q}
    if free_bits and len(scales) > 1:
        assert len(set(scales.values())) == 2, "the free bits must be used up in one layer and not in another"
    found = gradient_of(machine, x, settings)
    assert_slopes(found, lambda moved: np.mean(bound(case.log_w(moved, scales))), machine)


def check_paths() -> None:
    """One, two and three Gaussian layers, with deterministic layers and without, both kinds of visible units."""
    for name in SMOOTH:
        check_path(machine_of("3b 2g", [[4]]), name)
        check_path(machine_of("3g 2g 2g", [[4], [3]], "softplus"), name)
    check_path(machine_of("3b 2g 2g 2g", scale=0.4), "iwae")


def check_scaled_paths() -> None:
    """KL terms scaled by warm-up, or left out where the free bits are not used up."""
    machine = machine_of("3b 2g 2g", [[4], []])
    base, case = Directed.of(machine), drawn(machine, plenty(machine), 4)
    states = case.states(base)
    q, p = oracle.log_q(base, states), oracle.log_p(base, states)
    middle = float(np.mean([np.mean(q[layer] - p[layer]) for layer in q]))
    assert middle > 0
    check_path(machine, "iwae", warmup=2.0)
    check_path(machine, "iwae", free_bits=middle)
    check_path(machine, "iwae", warmup=2.0, free_bits=middle)


def check_warm_up() -> None:
    """The scale of the KL terms is epochs done over those of the warm-up, and 1 from then on."""
    machine = machine_of("3b 2g 2g", [[4], []])
    x, settings = plenty(machine), DirectedSettings(objective="vae", samples=2, warmup_epochs=2.0)
    for done in (0.0, 0.5, 2.0, 7.0):
        clock = Clock(CLOCK.key, 2, done)
        case, scales = drawn(machine, x, 2, clock), dict.fromkeys(("h1", "h2"), min(1.0, done / 2))
        found = gradient_of(machine, x, settings, clock=clock)
        assert_slopes(found, lambda moved, c=case, s=scales: np.mean(c.log_w(moved, s)), machine, "generative/v")
        if done > 0:
            assert_slopes(found, lambda moved, c=case, s=scales: np.mean(c.log_w(moved, s)), machine, "recognition")
        else:
            assert (found["generative/h1/0/weight"] == 0).all()


def surrogate(
    machine: HelmholtzMachine, case: Case, weights: tuple[Floats, Floats, Any], scales: Mapping[str, float] | None
) -> Callable[[Directed], Any]:
    """sum of mass (a log p at fixed samples + b log w along the path at fixed densities + c log q at fixed samples).

    Terms of hidden layers are times their scales.
    """
    a, b, c = weights
    base, mass = Directed.of(machine), case.mass[:, None]
    fixed, scaled = case.states(base), scales or {}

    def total(terms: Mapping[str, Values]) -> Values:
        return sum(scaled.get(name, 1.0) * x for name, x in terms.items()).reshape(a.shape)

    def value(moved: Directed) -> Any:
        path = oracle.log_weight(base, case.states(moved), scales).reshape(a.shape)
        return np.sum(mass * (a * total(oracle.log_p(moved, fixed)) + b * path + c * total(oracle.log_q(moved, fixed))))

    return value


def check_partial(machine: HelmholtzMachine, warmup: float = 0.0) -> None:
    """stl, dreg and piwae: what each paper leaves out of the derivative."""
    x = plenty(machine)
    case = drawn(machine, x, 6)
    scales = {layer.name: CLOCK.done / warmup for layer in machine.structure.latent} if warmup else None
    log_w = case.log_w(Directed.of(machine), scales)
    wn, even = oracle.normalised(log_w), np.full(log_w.shape, 1 / 6)
    grouped = oracle.normalised(log_w.reshape(-1, 3, 2)).reshape(log_w.shape) / 3
    wanted: list[tuple[dict[str, Any], tuple[Floats, Floats, Any]]] = [
        ({"objective": "stl", "samples": 6}, (even, even, 0.0)),
        ({"objective": "piwae", "samples": 2, "groups": 3}, (wn, grouped, -grouped)),
    ]
    for alpha in (0.0, 0.3, 1.0):
        b = (1 - alpha) * wn**2 + alpha * (wn - wn**2)
        wanted.append(({"objective": "dreg", "samples": 6, "alpha": alpha}, (wn, b, 0.0)))
    for values, weights in wanted:
        found = gradient_of(machine, x, DirectedSettings(**values, warmup_epochs=warmup))
        assert_slopes(found, surrogate(machine, case, weights, scales), machine)


def check_partial_paths() -> None:
    """One layer, and two of them with and without scaled KL terms."""
    check_partial(machine_of("3b 2g", [[4]]))
    check_partial(machine_of("3g 2g 2g", [[3], [4]]))
    check_partial(machine_of("3b 2g 1g"), warmup=2.0)


def fixed_score(case: Case, machine: HelmholtzMachine) -> Callable[[Directed], Any]:
    """E sum_k wn_k log q at fixed samples."""
    base = Directed.of(machine)
    states, wn = case.states(base), oracle.normalised(case.log_w(base)) * case.mass[:, None]
    return lambda moved: np.sum(wn.reshape(-1) * sum(oracle.log_q(moved, states).values()))


def check_unbiased(machine: HelmholtzMachine, nodes: int, alpha: float, tolerance: float) -> None:
    """Expected dreg gradient of phi, by quadrature: 1 - alpha that of L_2, alpha that of reweighted wake-sleep."""
    case = quadrature(machine, rows_of(machine)[:1], 2, nodes)
    found = expected_gradient(machine, case, DirectedSettings(objective="dreg", samples=2, alpha=alpha))
    bound, score = expected(case, oracle.log_mean_exp), fixed_score(case, machine)

    def mixed(moved: Directed) -> Any:
        return (1 - alpha) * bound(moved) + alpha * score(moved)

    assert_slopes(found, mixed, machine, "recognition", tolerance)


def check_dreg_is_unbiased() -> None:
    """One layer, both ends of alpha and between."""
    for alpha in (0.0, 0.4, 1.0):
        check_unbiased(machine_of("3b 1g", scale=0.4), 32, alpha, 1e-10)


def check_reinforce_on_gaussian_layers() -> None:
    """The score-function gradient of Gaussian and mixed machines by quadrature, with a baseline."""
    for layers, nodes in (("3b 1g", 40), ("3b 2b 1g", 40), ("3b 1g 2b", 40)):
        check_reinforce_of(machine_of(layers, scale=0.4), nodes)


def check_reinforce_of(machine: HelmholtzMachine, nodes: int, tolerance: float = 1e-10) -> None:
    """The same of one machine, with so many nodes for each unit."""
    case = quadrature(machine, rows_of(machine)[:2], 1, nodes)
    settings = DirectedSettings(objective="reinforce")
    found = expected_gradient(machine, case, settings, baseline_state(machine, False))
    assert_slopes(found, expected(case, oracle.elbo), machine, tolerance=tolerance)


# ---------------------------------------------------------------- identities and exact posteriors


def check_identities() -> None:
    """Objectives that are one another at the ends of their settings, with M = 3 and K = 2 never exchanged."""
    for machine in (machine_of("3b 2g", [[4]]), machine_of("3g 2g 2g")):
        found = {}
        for objective, samples, groups, more in IDENTITIES:
            settings = DirectedSettings(objective=objective, samples=samples, groups=groups, **more)
            found[objective, samples, groups, *more.values()] = gradient_of(machine, plenty(machine), settings)
        vae, iwae = found["vae", 6, 1], found["iwae", 6, 1]
        assert_equal(found["miwae", 1, 6], vae)
        assert_equal(found["miwae", 6, 1], iwae)
        assert_equal(found["ciwae", 6, 1, 0.0], iwae)
        assert_equal(found["ciwae", 6, 1, 1.0], vae)
        assert_equal(found["piwae", 6, 1], iwae)
        assert_equal(found["piwae", 2, 3], iwae, "generative")
        assert_equal(found["piwae", 2, 3], found["miwae", 2, 3], "recognition")
        several = [vae, iwae, *(found[name] for name in DIFFERENT)]
        arrays = [np.concatenate([value.reshape(-1) for value in each.values()]) for each in several]
        least = min(np.abs(one - other).max() for i, one in enumerate(arrays) for other in arrays[:i])
        assert least > 1e-6, "two of them are the same"


IDENTITIES: tuple[tuple[str, int, int, dict[str, float]], ...] = (
    ("vae", 6, 1, {}),
    ("iwae", 6, 1, {}),
    ("miwae", 1, 6, {}),
    ("miwae", 6, 1, {}),
    ("miwae", 2, 3, {}),
    ("miwae", 3, 2, {}),
    ("piwae", 6, 1, {}),
    ("piwae", 2, 3, {}),
    ("dreg", 6, 1, {}),
    ("ciwae", 6, 1, {"beta": 0.0}),
    ("ciwae", 6, 1, {"beta": 0.4}),
    ("ciwae", 6, 1, {"beta": 1.0}),
)  # objective, samples, groups, other settings
DIFFERENT: tuple[Any, ...] = (("miwae", 2, 3), ("miwae", 3, 2), ("piwae", 2, 3), ("dreg", 6, 1), ("ciwae", 6, 1, 0.4))


def solved(layers: int) -> tuple[HelmholtzMachine, Callable[[Floats], Floats]]:
    """A linear-Gaussian machine whose recognition is the exact posterior, and its log p(x) (rows,).

    Columns of W are orthogonal under the noise of v and A is a scaled rotation, so that every posterior is diagonal.
    """
    rng = np.random.default_rng(8)
    machine = machine_of("3g 2g" if layers == 1 else "3g 2g 2g")
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    columns, length = np.linalg.qr(rng.normal(size=(3, 2)))[0], np.array([1.5, 0.6])
    noise, b, a, c, s = np.array([0.5, 1.2, 0.8]), rng.normal(size=3), rng.normal(size=2), 0.9, 0.7
    weight = noise[:, None] * columns * length
    prior = 1.0 if layers == 1 else 1 / (c**2 + s**2)
    a = a * (layers - 1)
    precision = prior + length**2
    back = (weight / noise[:, None] ** 2) / precision
    linear = {"v": (weight.T, b, noise), "h1": (c * turn.T, a, np.full(2, s))}
    up = {"h1": (back, a * prior / precision - b @ back, precision**-0.5)}
    inner = 1 + c**2 / s**2
    up["h2"] = (c * turn / s**2 / inner, -a @ (c * turn) / s**2 / inner, np.full(2, inner**-0.5))
    for side, found in (("generative", linear), ("recognition", up)):
        for name, (w, mean, sigma) in found.items():
            if f"{side}/{name}/0/weight" in machine.params:
                machine.params[f"{side}/{name}/0/weight"][...] = np.hstack([w, np.zeros_like(w)])
                machine.params[f"{side}/{name}/0/bias"][...] = np.concatenate([mean, np.log(sigma)])
    covariance = weight @ weight.T / prior + np.diag(noise**2)
    return machine, multivariate_normal(b + weight @ a, covariance).logpdf


def check_exact_posterior() -> None:
    """log w is log p(x) at every sample, and stl and dreg have no gradient of phi at all, sample by sample."""
    for layers in (1, 2):
        machine, log_p = solved(layers)
        x = plenty(machine)
        passes = sampled(machine, Tape(machine.arena), x, 4, (CLOCK.key, 0), SERIAL)
        log_w = np.concatenate([found.log_weights() for found in passes])
        np.testing.assert_allclose(log_w, np.repeat(log_p(x)[:, None], 4, axis=1), rtol=0, atol=1e-12)
        wrong = HelmholtzMachine(machine.structure, machine.arena + 0.01)
        for values in ({"objective": "stl"}, {"objective": "dreg"}, {"objective": "dreg", "alpha": 1.0}):
            for rows, samples in ((x, 5), *((x[[i % 5]], 1) for i in range(8))):
                settings, clock = DirectedSettings(**values, samples=samples), Clock(CLOCK.key, len(rows))
                assert largest(gradient_of(machine, rows, settings, clock=clock)) < 1e-12
            assert largest(gradient_of(wrong, x, DirectedSettings(**values, samples=5))) > 1e-3
        assert largest(gradient_of(machine, x, DirectedSettings(objective="vae"))) > 1e-3


def largest(found: Mapping[str, Floats], side: str = "recognition") -> float:
    """The largest entry of the gradient of one side."""
    return max(float(np.abs(value).max()) for name, value in found.items() if name.startswith(side))
