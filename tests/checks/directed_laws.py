"""Checks of what Helmholtz machines draw and of the up-down rule, shared by the tests and by the planted faults.

Statistical checks have fixed keys and the false-alarm rate stats.ALPHA = 1e-6 each; what they can detect is asserted
beside them. Each check takes no argument and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checks.directed import (
    BITS,
    CLOCK,
    SERIAL,
    assert_slopes,
    dream_value,
    every_tuple,
    left_on,
    machine_of,
    plenty,
    prescribe,
)
from oracles import chains
from oracles import directed as oracle
from oracles import enumeration as undirected
from oracles.directed import Directed, Floats
from scipy.stats import norm
from support import stats

import boltz
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.sampling.decoding import visible_means
from boltz.sampling.recognition import sampled
from boltz.training import stages, updown
from boltz.training.objectives import Weights
from boltz.training.rules import Clock
from boltz.training.settings import BeliefSettings
from boltz.training.sleep import dream, recognise, sleep_products
from boltz.training.updown import UpDown, UpDownWorkspace

MACHINES = ("3b 2b 2b", "3g 2b", "3b 2g", "3g 2g 2g", "3b 2g 2b", "3b 2b 1g", "3b 2b 2b rbm", "3b 2b 2b 2b rbm")
DEEP = "3b 2b 2b 2b rbm"


def louder(machine: HelmholtzMachine, gain: float) -> Directed:
    """The machine with every parameter times a gain: the effect that a test of its law must see."""
    found = Directed.of(machine)
    return replace(found, params={name: gain * value for name, value in found.params.items()})


# ---------------------------------------------------------------- recognition


def check_log_weights() -> None:
    """log w, its scaled form and every KL term of real draws, for each kind of machine."""
    for layers in MACHINES:
        machine = machine_of(layers)
        x, samples, tape = plenty(machine), 3, Tape(machine.arena)
        passes = sampled(machine, tape, x, samples, (CLOCK.key, 3), SERIAL)
        base, state = Directed.of(machine), left_on(tape) | {"v": np.repeat(x, samples, axis=0)}
        scales = {layer.name: 0.3 + 0.4 * i for i, layer in enumerate(machine.structure.latent)}
        for given in (None, scales):
            log_w = np.concatenate([found.log_weights(given) for found in passes]).reshape(-1)
            np.testing.assert_allclose(log_w, oracle.log_weight(base, state, given), rtol=0, atol=1e-11)
        p, q = oracle.log_p(base, state), oracle.log_q(base, state)
        for name in q:
            kl = np.concatenate([found.kl(name) for found in passes])
            np.testing.assert_allclose(kl, q[name] - p[name], rtol=0, atol=1e-11)


def every_weight(machine: HelmholtzMachine, row: Floats) -> tuple[Floats, Floats]:
    """log w and q of every latent state of a row (units,), as the library computes them."""
    case = every_tuple(machine, row[None], 1)
    twin = prescribe(machine, case.given)
    passes = sampled(twin, Tape(twin.arena), case.x, 1, (CLOCK.key, 0), SERIAL)
    log_q = [sum(found.recognition.log_density.values()) for found in passes]
    return np.concatenate([found.log_weights()[:, 0] for found in passes]), np.exp(np.concatenate(log_q))


def recognition_law(machine: Directed, row: Floats) -> Floats:
    """q of every pair of latent states that two samples of one row may have, (states^2,)."""
    states = oracle.by_layer(machine.binary, oracle.bits(sum(machine.binary.values())))
    count = len(next(iter(states.values())))
    q = np.exp(sum(oracle.log_q(machine, {"v": np.repeat(row[None], count, axis=0)} | states).values()))
    return np.outer(q, q).reshape(-1)


def check_recognition_law() -> None:
    """Chi-square on both samples of a row at once: catches a gain error of 10 %, shared draws, a stale layer."""
    machine, rows = machine_of("3b 2b 2b", [[3], []]), 60_000
    base, tape = Directed.of(machine), Tape(machine.arena)
    sampled(machine, tape, np.tile(BITS, (rows, 1)), 2, (CLOCK.key, 5), SERIAL)
    found = oracle.numbers(left_on(tape), base.binary).reshape(rows, len(BITS), 2)
    p_values = []
    for i, row in enumerate(BITS):
        law, off = recognition_law(base, row), recognition_law(louder(machine, 1.1), row)
        assert stats.detectable_chi_square(rows, law, off, stats.ALPHA / 3), "a gain error of 10 %"
        p_values.append(stats.chi_square(np.bincount(found[:, i] @ (16, 1), minlength=256), law))
    stats.accept(stats.smallest_of(p_values), "recognition does not follow its law")


def check_independent_draws() -> None:
    """Correlations of a machine without weights, where every draw is fresh; 60,000 pairs or more.

    Catches a stream shared by layers, steps, samples, blocks or phases, and chain numbers that restart in a block.
    """
    for layers in ("6b 6b 6b", "6g 6g 6g"):
        machine = machine_of(layers, scale=0.0)
        awake, asleep, again = (Tape(machine.arena) for _ in range(3))
        x = np.zeros((10_000, 6))
        for tape, step in ((awake, 3), (again, 4)):
            sampled(machine, tape, x, 2, (CLOCK.key, step), SERIAL)
        dream(machine, asleep, 20_000, 1.0, Clock(CLOCK.key, 3), SERIAL)
        up, later, down = left_on(awake), left_on(again), left_on(asleep)
        next_dream = dreams_of(machine, 20_000, Clock(CLOCK.key, 4))
        public = boltz.sample(machine, 20_000, seed=3)
        pairs = [(up["h1"], up["h2"]), (up["h1"], later["h1"]), (up["h2"], later["h1"]), (down["v"], down["h1"])]
        pairs += [(down["h1"], down["h2"]), (down["v"], down["h2"]), (up["h1"], down["h1"]), (up["h2"], down["h2"])]
        pairs += [(public["v"], public["h1"]), (public["h1"], public["h2"]), (public["v"], public["h2"])]
        pairs += [(public["h1"], down["h1"]), (up["h1"][:, 1:], up["h1"][:, :-1])]
        pairs += [(down[name], next_dream[name]) for name in ("v", "h1", "h2")]
        for lag in (1, 2, 4, 64, 128, 256, 10_000):
            for found in (up["h1"], up["h2"], down["v"], down["h2"], public["h1"], public["h2"]):
                pairs.append((found[lag:], found[:-lag]))
        assert stats.detectable_correlation(60_000, 0.04, stats.ALPHA / len(pairs)), "a correlation of 0.04"
        p_values = [stats.correlation_test(one.reshape(-1), other.reshape(-1)) for one, other in pairs]
        stats.accept(stats.smallest_of(p_values), f"draws share random numbers: pair {np.argmin(p_values)}")


# ---------------------------------------------------------------- ancestral sampling and dreams


def binary_law(machine: Directed) -> Floats:
    """Probability of every state of all layers of a binary machine, both layers of an RBM prior included."""
    if not machine.rbm:
        return oracle.joint(machine)[1]
    table = top_table(machine)
    units = {name: n for name, n, _ in machine.layers}
    states = oracle.by_layer(units, oracle.bits(sum(units.values())))
    below = [name for name, _, _ in machine.layers[: len(machine.latent)]]
    log_p = oracle.log_p(machine, states)
    pair = {own: states[name] for own, (name, _, _) in zip(("v", "h1"), machine.layers[-2:], strict=True)}
    return np.exp(sum(log_p[name] for name in below)) * undirected.joint(table)[undirected.numbers(table, pair)]


def binary_p_value(machine: HelmholtzMachine, state: Mapping[str, Floats]) -> float:
    """p-value of draws of all layers of a binary machine; a gain error of 10 % must be visible."""
    base, rows = Directed.of(machine), len(state["v"])
    assert all(np.isin(x, (0, 1)).all() for x in state.values()), "states that are neither 0 nor 1"
    law = binary_law(base)
    assert stats.detectable_chi_square(rows, law, binary_law(louder(machine, 1.1))), "a gain error of 10 %"
    counts = np.bincount(oracle.numbers(state, {name: n for name, n, _ in base.layers}), minlength=len(law))
    return stats.chi_square(counts, law)


def uniforms(machine: Directed, state: Mapping[str, Floats]) -> Floats:
    """The probability integral transform of every unit given the layer above, (rows, units of all layers).

    A binary unit becomes a random point of its step, so that all are uniform and independent.
    """
    rng, found = np.random.default_rng(6), []
    above = {name: outer for (name, *_), (outer, *_) in zip(machine.layers, machine.latent, strict=False)}
    for name, units, kind in machine.layers:
        if name in above:
            head = oracle.outputs(machine, f"generative/{name}", state[above[name]])
        else:
            head = np.zeros(2 * units) if kind == "gaussian" else machine.params["prior/bias"]
        if kind == "gaussian":
            mean, log_sigma = np.split(head, 2, axis=-1)
            found.append(norm.cdf((state[name] - mean) * np.exp(-log_sigma)))
        else:
            off = 1 / (1 + np.exp(head))
            low, share = np.where(state[name] == 1, off, 0.0), np.where(state[name] == 1, 1 - off, off)
            found.append(low + share * rng.random(state[name].shape))
    return np.hstack(found)


def smooth_p_value(machine: HelmholtzMachine, state: Mapping[str, Floats]) -> float:
    """p-value of draws of a machine with Gaussian layers: chi-square of each unit's and each pair's uniform numbers.

    A mean or a log sigma that is off by 0.03 must be visible, and a correlation of two units of 0.03.
    """
    u = uniforms(Directed.of(machine), state)
    rows, units = u.shape
    tests = units + units * (units - 1) // 2
    fine, coarse = 16, 4
    edges = norm.ppf(np.linspace(0, 1, fine + 1))
    for off in (norm.cdf(edges - 0.03), norm.cdf(edges * np.exp(-0.03))):
        even = np.full(fine, 1 / fine)
        assert stats.detectable_chi_square(rows, even, np.diff(off), stats.ALPHA / tests), "a mean or sigma off by 0.03"
    square = np.outer(*[np.arange(coarse) - (coarse - 1) / 2] * 2).reshape(-1)
    tilted = (1 + 0.03 * square / square.std()) / coarse**2
    assert stats.detectable_chi_square(rows, np.full(coarse**2, coarse**-2), tilted, stats.ALPHA / tests)
    cells, pairs = (np.minimum((u * n).astype(np.int64), n - 1) for n in (fine, coarse))
    p_values = [stats.chi_square(np.bincount(x, minlength=fine), np.full(fine, 1 / fine)) for x in cells.T]
    for i in range(units):
        for j in range(i):
            counts = np.bincount(pairs[:, i] * coarse + pairs[:, j], minlength=coarse**2)
            p_values.append(stats.chi_square(counts, np.full(coarse**2, coarse**-2)))
    return stats.smallest_of(p_values)


def dreams_of(machine: HelmholtzMachine, rows: int, clock: Clock = CLOCK) -> dict[str, Floats]:
    """The states that the sleep phase dreams, on a tape that held none."""
    tape = Tape(machine.arena)
    for name, units in machine.units.items():
        tape.get(f"state/{name}", rows, units)[...] = np.nan
    dream(machine, tape, rows, 1 / rows, clock, SERIAL)
    return left_on(tape)


def check_ancestral_law() -> None:
    """Public samples and dreams of a sigmoid belief net, chi-square on every state of all layers."""
    machine = machine_of("3b 2b 2b", [[2], [3]])
    stats.accept(binary_p_value(machine, boltz.sample(machine, 100_000, seed=1)), "samples leave the law of the net")
    stats.accept(binary_p_value(machine, dreams_of(machine, 100_000)), "dreams leave the law of the net")


def check_smooth_ancestral_law() -> None:
    """The same of machines with Gaussian layers: one or two of them, mixed ones, Gaussian visible units."""
    for layers in ("2b 2g 1g", "2g 2b 1g"):
        machine = machine_of(layers, [[3], []])
        p_value = smooth_p_value(machine, boltz.sample(machine, 200_000, seed=2))
        stats.accept(p_value, f"samples of {layers} leave their law")
    for layers in ("2b 1g", "2g 1g 2b"):
        machine = machine_of(layers)
        stats.accept(smooth_p_value(machine, dreams_of(machine, 200_000)), f"dreams of {layers} leave their law")


def check_belief_net_law() -> None:
    """Samples of a DBN after 8 sweeps of its RBM, which leave no more than 1e-9 of where they started."""
    for layers in ("3b 2b 2b rbm", "2b 2b 2b 2b rbm"):
        machine = machine_of(layers)
        table = top_table(machine)
        second = np.sort(np.abs(np.linalg.eigvals(chains.reduced_chain(table, ("v",)))))[-2]
        assert second**8 < 1e-9, "the chain mixes too slowly for this test"
        state = boltz.sample(machine, 100_000, sweeps=8, seed=4)
        stats.accept(binary_p_value(machine, state), f"samples of {layers} leave their law")


def check_visible_means() -> None:
    """The mean of v given the layer above."""
    for layers in ("3b 2b 2b", "3g 2g", "3b 2b 2b rbm"):
        machine = machine_of(layers)
        state = boltz.sample(machine, 20, seed=5)
        found = oracle.outputs(Directed.of(machine), "generative/v", state["h1"])
        wanted = found[:, :3] if machine.layers[0].kind == "gaussian" else 1 / (1 + np.exp(-found))
        np.testing.assert_allclose(visible_means(machine, state), wanted, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- the up-down rule


def top_table(machine: HelmholtzMachine | Directed) -> undirected.Table:
    """The RBM prior as a table of the undirected oracle, layers v and h1."""
    p = {name: np.array(value, np.float64) for name, value in machine.params.items() if name.startswith("prior")}
    return undirected.Table.chain([p["prior/edge/v-h1/weight"]], [p["prior/layer/v/bias"], p["prior/layer/h1/bias"]])


def moments(table: undirected.Table, top: Floats) -> dict[str, Floats]:
    """Mean of x, of h given x and of their product over rows of the lower layer of an RBM, by parameter name."""
    mean = undirected.conditional(table, "h1", {"v": top})
    found = {"edge/v-h1/weight": top.T @ mean / len(top), "layer/v/bias": top.mean(axis=0)}
    return {f"prior/{name}": value for name, value in (found | {"layer/h1/bias": mean.mean(axis=0)}).items()}


def one_step(machine: HelmholtzMachine, x: Floats, clock: Clock = CLOCK, **values: Any) -> tuple[Any, dict[str, Any]]:
    """The workspace and the rule's arrays after one call of the up-down rule."""
    rule, work = UpDown(BeliefSettings(**values)), UpDownWorkspace(machine)
    state = rule.init(machine, x, clock.key, len(x))
    rule.gradient(work, x, state, clock, SERIAL)
    return work, state


def check_up_down_of_its_own_states() -> None:
    """The gradient of one call is exactly that of the states which its phases drew, cd and pcd, one sweep and more."""
    for layers in ("3b 2b 2b rbm", DEEP, "3g 2b 2b rbm"):
        machine, table = machine_of(layers), top_table(machine_of(layers))
        x = plenty(machine)
        for values in ({"rule": "cd", "k": 1}, {"rule": "cd", "k": 3}, {"rule": "pcd", "k": 2, "chains": 30}):
            work, state = one_step(machine, x, **values)
            awake, asleep = left_on(work.wake) | {"v": x}, left_on(work.sleep)
            top = machine.structure.latent[-1].name
            if values["rule"] == "pcd":
                assert (asleep[top] == state["chain/v"]).all() and len(asleep[top]) == 30
            found = {name: value.copy() for name, value in work.named.items()}
            first, second = moments(table, awake[top]), moments(table, asleep[top])
            for name in first:
                np.testing.assert_allclose(found[name], first[name] - second[name], rtol=0, atol=1e-12, err_msg=name)
            assert_slopes(found, up_value(awake, top), machine, "generative")
            assert_slopes(found, dream_value(asleep, 1 / len(asleep[top])), machine, "recognition")


def up_value(awake: Mapping[str, Floats], top: str, mass: Any = None) -> Any:
    """sum of mass (1 / rows by default) times log p of every layer below the top one, at states drawn awake."""

    def value(machine: Directed) -> Any:
        found = oracle.log_p(machine, awake)
        terms = sum(x for name, x in found.items() if name != top)
        return np.mean(terms) if mass is None else np.sum(mass * terms)

    return value


def check_up_down_expectations() -> None:
    """Wake: E_q of d log p(v | h1) p(h1 | h2), every state by its q; sleep: every fallen state by its p."""
    machine = machine_of(DEEP)
    base = Directed.of(machine)
    case = every_tuple(machine, BITS, 1)
    p, states = case.probability(base), case.states(base)

    def by_probability(a: Floats, b: Any, c: Any) -> Weights:
        return Weights(a * len(a) * p[:, None], b, c)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updown, "Weights", by_probability)
        work, _ = one_step(prescribe(machine, case.given), case.x, rule="cd", k=1)
    assert_slopes(work.named, up_value(states, "h2", p), machine, "generative")
    dreamt, law = oracle.joint(base)  # of the drawn layers, the top RBM in equilibrium
    work = UpDownWorkspace(machine)
    for i, mass in enumerate(law):
        part = Part(work.sleep, slice(0, 1), 1)
        for name, x in dreamt.items():
            part.get(f"state/{name}", machine.units[name])[...] = x[i]
        recognise(machine, part, mass)
        for job in sleep_products(machine, work.named, work.sleep, 1, True):
            job()
    assert_slopes(work.named, dream_value(dreamt, law), machine, "recognition")


def cycle_law(machine: HelmholtzMachine, row: Floats, sweeps: int) -> Floats:
    """Law of (state awake, state fallen, dream of v) for a net of one drawn layer and a row of data, (cells,)."""
    base, table = Directed.of(machine), top_table(machine)
    h = oracle.bits(machine.units["h1"])
    q = np.exp(oracle.log_q(base, {"v": np.repeat(row[None], len(h), axis=0), "h1": h})["h1"])
    moved = np.linalg.matrix_power(chains.reduced_chain(table, ("v",)), sweeps)
    v = oracle.bits(machine.units["v"])
    pairs = {"v": np.tile(v, (len(h), 1)), "h1": np.repeat(h, len(v), axis=0)}
    down = np.exp(oracle.log_p(base, pairs)["v"]).reshape(len(h), len(v))
    return np.einsum("a,ab,bc->abc", q, moved, down).reshape(-1)


def slow_top() -> HelmholtzMachine:
    """A belief net whose RBM forgets so slowly that the number of its sweeps shows."""
    machine = machine_of("3b 2b 2b rbm")
    machine.params["prior/edge/v-h1/weight"][...] = [[2.5, -2.5], [-1.75, 3.0]]
    machine.params["prior/layer/v/bias"][...], machine.params["prior/layer/h1/bias"][...] = [0.2, -0.3], [-0.3, -0.4]
    return machine


def check_contrastive_cycle() -> None:
    """cd: the law of state awake, state after k sweeps and dream together; catches one sweep too many or too few."""
    machine, rows, sizes = slow_top(), 100_000, {"awake": 2, "h1": 2, "v": 3}
    for sweeps in (1, 2):
        law = cycle_law(machine, BITS[0], sweeps)
        for other in (sweeps - 1, sweeps + 1):
            assert stats.detectable_chi_square(rows, law, cycle_law(machine, BITS[0], other)), f"{other} sweeps"
        work, _ = one_step(machine, np.tile(BITS[0], (rows, 1)), rule="cd", k=sweeps)
        states = {"awake": left_on(work.wake)["h1"]} | left_on(work.sleep)
        counts = np.bincount(oracle.numbers(states, sizes), minlength=len(law))
        stats.accept(stats.chi_square(counts, law), f"cd-{sweeps} does not follow its law")


def check_persistent_cycle() -> None:
    """pcd: chains start at recognised rows and move by k sweeps a step, whatever the batch holds."""
    machine, rows, sizes = slow_top(), 100_000, {"h1": 2, "v": 3}
    rule, work = UpDown(BeliefSettings(rule="pcd", k=1, chains=rows)), UpDownWorkspace(machine)
    state = rule.init(machine, np.tile(BITS[0], (rows, 1)), CLOCK.key, rows)
    for step in range(2):
        rule.gradient(work, BITS[1:], state, Clock(CLOCK.key, step), SERIAL)
        law, early, late = (cycle_law(machine, BITS[0], step + n).reshape(4, -1).sum(axis=0) for n in (1, 0, 2))
        assert all(stats.detectable_chi_square(rows, law, other) for other in (early, late)), "one sweep more or less"
        counts = np.bincount(oracle.numbers(left_on(work.sleep), sizes), minlength=len(law))
        stats.accept(stats.chi_square(counts, law), f"the chains do not follow their law at step {step}")


def sure_machine(layers: str = DEEP) -> HelmholtzMachine:
    """A belief net whose recognition is certain: h1 = (v1, not v2), h2 = (not h1_2, h1_1)."""
    machine = machine_of(layers)
    for name, rows in (("h1", [[1, 0], [0, -1], [0, 0]]), ("h2", [[0, 1], [-1, 0]])):
        if f"recognition/{name}/0/weight" in machine.params:
            weight, bias = (machine.params[f"recognition/{name}/0/{kind}"] for kind in ("weight", "bias"))
            weight[...] = 80.0 * np.array(rows)
            bias[...] = -weight.sum(axis=0) / 2
    return machine


def check_independent_steps_of_contrastive_chains() -> None:
    """Chains of two steps from the same state awake: catches a start, a sweep or a dream drawn alike in each step."""
    machine, rows = sure_machine("3b 2b 2b rbm"), 40_000
    machine.params["prior/edge/v-h1/weight"][...] = [[4.0, -4.0], [-4.0, 4.0]]
    machine.params["prior/layer/v/bias"][...] = machine.params["prior/layer/h1/bias"][...] = 0
    found = []
    for step in (7, 8):
        work, _ = one_step(machine, np.tile(BITS[0], (rows, 1)), Clock(CLOCK.key, step), rule="cd", k=1)
        found.append(left_on(work.sleep))
    assert stats.detectable_correlation(rows, 0.05, stats.ALPHA / 6), "a correlation of 0.05"
    pairs = [(found[0][n][:, i], found[1][n][:, i]) for n, units in (("h1", 2), ("v", 3)) for i in range(units)]
    pairs.append((found[0]["h1"][:-1, 0], found[0]["h1"][1:, 0]))
    p_value = stats.smallest_of([stats.correlation_test(*pair) for pair in pairs])
    stats.accept(p_value, "the chains of two steps share random numbers")


def check_saved_machine() -> None:
    """A machine that is written and read: structure, parameters, rates."""
    plain = machine_of("3b 2g 2b", [[4], [3]], "softplus")
    rates = {"v": np.array([0.2, 0.5, 0.7]), "h2": np.array([0.1, 0.9])}
    for machine in (HelmholtzMachine(plain.structure, plain.arena, rates), machine_of(DEEP)):
        with tempfile.TemporaryDirectory() as folder:
            machine.save(f"{folder}/model.safetensors")
            found = boltz.load(folder)
        assert found.structure == machine.structure and (found.arena == machine.arena).all()
        assert found.rates.keys() == machine.rates.keys()
        assert all((found.rates[name] == rate).all() for name, rate in machine.rates.items())


def check_composition() -> None:
    """RBM pairs in a belief net: q(h1 | v) and p(v | h1) are those of the first pair, the last one is the prior."""
    tables = [undirected.Table.random((3, 2), 0.9, 1), undirected.Table.random((2, 3), 0.9, 2)]
    pairs = [boltz.from_arrays(*undirected.weights_and_biases(table)) for table in tables]
    machine = boltz.dbn([3, 2, 3], dtype=np.float64)
    stages.compose(machine, pairs)
    row, h = BITS[0], oracle.bits(2)
    _, q = every_weight(machine, row)
    np.testing.assert_allclose(q, undirected.posterior(tables[0], row), rtol=0, atol=1e-14)
    wanted = undirected.conditional(tables[0], "v", {"h1": h})
    np.testing.assert_allclose(visible_means(machine, {"h1": h}), wanted, rtol=0, atol=1e-14)
    top = machine.prior_machine
    assert top is not None and (top.arena == pairs[1].arena).all()


def check_tied_belief_net() -> None:
    """A top RBM that is the first one upside down leaves p(v) as it was: log w = -F(v) at every sample."""
    table = undirected.Table.random((3, 2), 0.9, 3)
    weights, (visible, hidden) = table.edges["v", "h1"], (table.biases["v"], table.biases["h1"])
    pairs = [boltz.from_arrays([weights], [visible, hidden]), boltz.from_arrays([weights.T], [hidden, visible])]
    machine = boltz.dbn([3, 2, 3], dtype=np.float64)
    stages.compose(machine, pairs)
    every = undirected.bits(3)
    free = undirected.free_energy(table, ("v",))
    for row, energy in zip(every, free, strict=True):
        log_w, _ = every_weight(machine, row)
        np.testing.assert_allclose(log_w, -energy, rtol=0, atol=1e-12)
