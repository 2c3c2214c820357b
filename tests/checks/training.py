"""Checks of training rules against exact answers, shared by tests/training and by the planted faults of tests/faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracles import chains as oracle_chains
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import expit
from scipy.stats import norm
from support import stats

import boltz
from boltz.errors import FileError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.networks.fine_tune import tuning_of
from boltz.networks.settings import FineTuneSettings
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import MeanField
from boltz.training import meaning, pcd_rbm
from boltz.training.contrastive import Contrastive, Workspace
from boltz.training.description import RunDescription
from boltz.training.directed_settings import DirectedSettings
from boltz.training.positive import PHASES, Posterior, Visit, kept_for_rows
from boltz.training.pretraining import Stage, compose, empty, stages
from boltz.training.rules import Clock
from boltz.training.schedules import learning_rate
from boltz.training.settings import Settings
from boltz.training.stages import settings_of

Floats = NDArray[np.float64]
SERIAL = Workers(1, None)
KEY = Key(20090416, 14)
PRECISE = {"mean_field_sweeps": 5000, "mean_field_tolerance": 1e-13, "mean_field_damping": 0.3}


def machine_of(table: Table) -> BoltzmannMachine:
    """The float64 machine with the parameters of a table."""
    return boltz.from_arrays(*enumeration.weights_and_biases(table))


def coin_rows(rows: int, units: int, seed: int, p: float = 0.4) -> Floats:
    """Independent 0/1 rows (rows, units)."""
    return (np.random.default_rng(seed).random((rows, units)) < p).astype(np.float64)


def gradient_of(
    machine: BoltzmannMachine,
    batch: Any,
    rule: Contrastive,
    state: Mapping[str, Any] | None = None,
    step: int = 0,
    pool: Workers = SERIAL,
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The gradient by name and the rule's arrays after one call, from a fresh state or from the arrays given."""
    after = rule.init(machine, np.array(batch), KEY, len(batch)) | {
        name: np.array(x) for name, x in (state or {}).items()
    }
    found = rule.gradient(Workspace(machine), np.array(batch), after, Clock(KEY, step), pool)
    return {name: x.copy() for name, x in found.items()}, after


def chains_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """The fantasy particles among the arrays of a rule."""
    return {name.removeprefix("chain/"): x for name, x in state.items() if name.startswith("chain/")}


def mean_moments(table: Table, state: Mapping[str, Any]) -> dict[str, Floats]:
    """Mean of x and of x_a x_b^T over the rows of a state, by parameter name."""
    rows = len(state[table.visible])
    found = {f"edge/{a}-{b}/weight": state[a].T @ state[b] / rows for a, b in table.edges}
    return found | {f"layer/{n}/bias": state[n].mean(axis=0) for n in table.layers}


def last_class_by_mean(table: Table, chains: Mapping[str, Any]) -> dict[str, Floats]:
    """The chains with the odd layers, which are sampled last, replaced by their exact conditional means."""
    return dict(chains) | {n: enumeration.conditional(table, n, chains) for n in enumeration.colours(table)[1]}


def others_by_mean(table: Table, chains: Mapping[str, Any]) -> dict[str, Floats]:
    """The chains with the hidden layers by their exact means that no phase draws, which move last there."""
    layers = [n for n in enumeration.colours(table)[0] if n != table.visible]
    return dict(chains) | {n: enumeration.conditional(table, n, chains) for n in layers}


def subtract(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """first - second by name."""
    assert first.keys() == second.keys()
    return {name: first[name] - second[name] for name in first}


def assert_close(found: Mapping[str, Any], wanted: Mapping[str, Any], tolerance: float) -> None:
    """Equal names and numbers."""
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=tolerance, err_msg=name)


# ---------------------------------------------------------------- exact gradients


def enumerated(table: Table, rows: Any) -> tuple[dict[str, Floats], Floats]:
    """Statistics and signed weights whose sum is the exact log-likelihood gradient, as a rule would collect them.

    For each data row every hidden state with its posterior probability, then every joint state with minus its own.
    """
    hidden, every = enumeration.states(table, table.hidden), enumeration.states(table)
    count = len(hidden[table.hidden[0]])
    parts, signs = [], []
    for row in rows:
        parts.append({table.visible: np.repeat(np.array(row)[None], count, axis=0), **hidden})
        signs.append(enumeration.posterior(table, row) / len(rows))
    parts.append(every)
    signs.append(-enumeration.joint(table))
    return {n: np.concatenate([p[n] for p in parts]) for n in table.layers}, np.concatenate(signs)


def contracted(table: Table, rows: Any, offsets: Mapping[str, Any] | None = None) -> dict[str, Floats]:
    """What the rule makes of exact expectations, with offsets for centring or without."""
    rule = Contrastive(Settings(center=offsets is not None))
    state = {f"offset/{n}": np.array(x) for n, x in (offsets or {}).items()}
    collected, signs = enumerated(table, rows)
    found = rule._contract(Workspace(machine_of(table)), collected, signs, state, SERIAL)
    return {name: x.copy() for name, x in found.items()}


def check_contraction_is_the_likelihood_gradient() -> None:
    """With exact expectations in both phases the rule gives the gradient of the mean log-likelihood."""
    for units in ((4, 3), (3, 3, 2), (2, 2, 2, 2)):
        table, rows = Table.random(units, 0.8, 1), coin_rows(5, units[0], 2)
        assert_close(contracted(table, rows), enumeration.gradient(table, rows), 1e-12)


def check_centred_gradient_is_the_plain_one_transformed() -> None:
    """For any offsets: dW_c = dW - db_lower o^T - o db_upper^T, db_c = db - sum of dW_c o (Melchior et al. 2016)."""
    rng = np.random.default_rng(3)
    for units in ((5, 4), (4, 4, 3), (3, 3, 3, 3)):
        table, batch = Table.random(units, 1.0, 4), coin_rows(6, units[0], 5)
        offsets = {n: rng.random(u) for n, u in table.layers.items()}
        plain, _ = gradient_of(machine_of(table), batch, Contrastive(Settings(chains=8)))
        rule = Contrastive(Settings(chains=8, center=True, center_rate=0.0))
        found, _ = gradient_of(machine_of(table), batch, rule, {f"offset/{n}": o for n, o in offsets.items()})
        assert_close(found, centred(table, plain, offsets), 1e-12)


def centred(table: Table, plain: Mapping[str, Floats], offsets: Mapping[str, Floats]) -> dict[str, Floats]:
    """The centred direction from the plain one, written out."""
    found = {name: x.copy() for name, x in plain.items()}
    for a, b in table.edges:
        change = found[f"edge/{a}-{b}/weight"]
        change -= np.outer(plain[f"layer/{a}/bias"], offsets[b]) + np.outer(offsets[a], plain[f"layer/{b}/bias"])
        found[f"layer/{a}/bias"] -= change @ offsets[b]
        found[f"layer/{b}/bias"] -= change.T @ offsets[a]
    return found


# ---------------------------------------------------------------- one call of the rule


def check_persistent_gradient_equals_its_own_chains() -> None:
    """RBM: posterior moments of the batch minus those of the chains that the call leaves behind, for any batch size."""
    table = Table.random((5, 4), 1.0, 6)
    for rows, chains, k in ((7, 7, 1), (1, 9, 2), (40, 3, 1), (150, 140, 3)):
        batch = coin_rows(rows, 5, rows)
        settings = Settings(chains=chains, k=k, batch_size=50)
        found, state = gradient_of(machine_of(table), batch, Contrastive(settings), step=4)
        fantasy = last_class_by_mean(table, chains_of(state))
        assert len(fantasy["v"]) == chains
        assert_close(found, subtract(enumeration.posterior_moments(table, batch), mean_moments(table, fantasy)), 1e-12)


def check_quick_gradient() -> None:
    """Three steps of the quick gradient equal those of the rule, chains included, for any number of rows."""
    for rows, chains in ((10, 10), (7, 12), (90, 33)):
        machine = boltz.rbm(37, 21, seed=rows)
        machine.arena[...] *= 30
        rule = Contrastive(Settings(chains=chains))
        state, work = rule.init(machine, coin_rows(chains, 37, 1).astype(np.float32), KEY, chains), Workspace(machine)
        quick_state, quick_work = {name: x.copy() for name, x in state.items()}, Workspace(machine)
        quick = pcd_rbm.gradients(quick_work, quick_state, KEY, SERIAL)
        for step in range(3):
            batch = np.random.default_rng(step).normal(size=(rows, 37)).astype(np.float32)
            rule.gradient(work, batch, state, Clock(KEY, step), SERIAL)
            quick(batch, step)
            assert quick_work.gradient.tobytes() == work.gradient.tobytes() and np.ptp(work.gradient) > 0.1
            assert all(quick_state[name].tobytes() == x.tobytes() for name, x in state.items())


def check_mean_field_positive_phase() -> None:
    """DBM: the positive phase is x y^T at means that satisfy mu = sigmoid(field) to the tolerance asked for."""
    for units in ((4, 3, 3), (3, 4, 2, 2)):
        table = Table.random(units, 0.7, 7)
        for row in coin_rows(4, units[0], 8):
            rule = Contrastive(Settings(chains=5, **PRECISE))
            found, state = gradient_of(machine_of(table), row[None], rule)
            negative = mean_moments(table, last_class_by_mean(table, chains_of(state)))
            means = {n: (found[f"layer/{n}/bias"] + negative[f"layer/{n}/bias"])[None] for n in table.hidden}
            assert enumeration.mean_field_residual(table, row[None], means) < 1e-11
            positive = mean_moments(table, {table.visible: row[None], **means})
            assert_close(found, subtract(positive, negative), 1e-12)


def collapsed_statistics(table: Table, row: Any, draws: int) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Exact mean and variance of the statistics of a collapsed positive phase at one row, by enumeration.

    The drawn class follows the factorised posterior first, and then, of several draws, its law given the means of the
    others at the draw before: a Markov chain over the states of the drawn class.
    """
    drawn, others = enumeration.colours(table)[1], [n for n in enumeration.colours(table)[0] if n != table.visible]
    states = enumeration.states(table, drawn)
    count = len(states[drawn[0]])
    seen = np.repeat(np.asarray(row, float)[None], count, axis=0)
    means = {n: enumeration.conditional(table, n, states) for n in others}

    def law(given: Mapping[str, Any]) -> Floats:
        """Probability of each state of the drawn class given means of the others, (rows, states)."""
        p = {n: enumeration.conditional(table, n, given) for n in drawn}
        chance = [np.where(states[n][None] > 0, p[n][:, None], 1 - p[n][:, None]).prod(axis=2) for n in drawn]
        return np.prod(chance, axis=0)

    share = law({table.visible: seen[:1], **fixed_point(table, row, drawn, others)})[0]
    for _ in range(draws - 1):
        share = share @ law({table.visible: seen, **means})
    whole = {table.visible: seen, **states, **means}
    values = {f"edge/{a}-{b}/weight": np.einsum("si,sj->sij", whole[a], whole[b]) for a, b in table.edges}
    values |= {f"layer/{n}/bias": whole[n] for n in table.layers}
    mean = {name: np.tensordot(share, x, 1) for name, x in values.items()}
    spread = {name: np.tensordot(share, (x - mean[name]) ** 2, 1) for name, x in values.items()}
    return mean, {name: np.where(x < 1e-20, 0, x) for name, x in spread.items()}


def fixed_point(table: Table, row: Any, drawn: Any, others: Any) -> dict[str, Floats]:
    """Mean-field means (1, units) of the layers that are not drawn, by plain damped iteration."""
    means = {n: np.full((1, table.layers[n]), 0.5) for n in (*drawn, *others)}
    for _ in range(3000):
        for n in means:
            given = {table.visible: np.asarray(row, float)[None]} | {m: x for m, x in means.items() if m != n}
            means[n] = 0.3 * means[n] + 0.7 * enumeration.conditional(table, n, given)
    return {n: means[n] for n in others}


def collapsed_p(units: tuple[int, ...], draws: int, scale: float) -> float:
    """p-value that the collapsed positive phase of one call on many copies of a row has the enumerated expectation."""
    table, rows = Table.random(units, scale, 21), 12_000
    row = coin_rows(1, units[0], 22)[0]
    settings = Settings(positive="collapsed", positive_draws=draws, chains=5, **PRECISE)
    found, state = gradient_of(machine_of(table), np.repeat(row[None], rows, axis=0), Contrastive(settings), step=3)
    negative = mean_moments(table, others_by_mean(table, chains_of(state)))
    positive = {name: found[name] + negative[name] for name in found}
    mean, variance = collapsed_statistics(table, row, draws)
    plain = {n: fixed_point(table, row, table.hidden, table.hidden)[n] for n in table.hidden}
    factorised = mean_moments(table, {table.visible: row[None], **plain})
    edge = f"edge/{table.hidden[0]}-{table.hidden[1]}/weight"
    spread = np.sqrt(variance[edge] / rows)
    assert (np.abs(factorised[edge] - mean[edge]) / spread).max() > 20  # so mean field would be caught
    if draws > 1:  # so one draw less would be caught
        fewer, _ = collapsed_statistics(table, row, draws - 1)
        assert max((np.abs(fewer[n] - mean[n]) / np.sqrt(variance[n] / rows + 1e-30)).max() for n in mean) > 8.8
    certain = {name: x == 0 for name, x in variance.items()}  # what the row alone says
    for name, fixed in certain.items():
        np.testing.assert_allclose(positive[name][fixed], mean[name][fixed], rtol=0, atol=1e-12)
    loose = {name: x / rows + np.where(certain[name], np.inf, 0) for name, x in variance.items()}
    return deviation_p(positive, mean, loose)


def check_collapsed_expectation() -> None:
    """alpha 1e-6; catches other layers by mean field, a draw that forgets the layer above, or one from biases."""
    stats.accept(collapsed_p((4, 3, 3), 1, 1.2), "the collapsed positive phase has a wrong expectation")


def check_two_draws() -> None:
    """alpha 1e-6; the second draw is given the means that the first one left, in a machine of three hidden layers."""
    stats.accept(collapsed_p((3, 3, 2, 2), 2, 2.0), "a second collapsed draw has a wrong expectation")


def row_chain_laws(table: Table, row: Any, start: Floats, draws: int) -> tuple[Floats, Floats]:
    """Laws after Gibbs sweeps at one row, by matrices, from a law (states,) of the hidden layers that move last: that
    of the drawn class at the last sweep, and that of the others after it.
    """
    drawn, others = enumeration.colours(table)[1], [n for n in enumeration.colours(table)[0] if n != table.visible]
    low, high = enumeration.states(table, drawn), enumeration.states(table, others)
    seen = np.repeat(np.asarray(row, float)[None], len(start), axis=0)

    def law(states: Mapping[str, Any], given: Mapping[str, Any]) -> Floats:
        means = {n: enumeration.conditional(table, n, given)[:, None] for n in states}
        return np.prod([np.where(states[n][None] > 0, means[n], 1 - means[n]).prod(axis=2) for n in states], axis=0)

    down, up = law(low, {table.visible: seen, **high}), law(high, low)
    exact = enumeration.marginal(enumeration.clamp(table, {table.visible: row})[0], others)
    np.testing.assert_allclose(exact @ down @ up, exact, rtol=1e-9)  # so the phase is right once chains have mixed
    for _ in range(draws):
        last = start @ down
        start = last @ up
    return last, start


def check_chains_of_rows() -> None:
    """Chi-square, alpha 1e-6, of 20,000 rows whose chains start at two states and by mean field, after two sweeps.

    Catches chains of other rows, a sweep too few, a start that is not kept, and means where states belong.
    """
    table, rows = Table.random((4, 3, 3), 1.2, 21), 30_000
    machine, row = machine_of(table), coin_rows(1, 4, 22)[0]
    numbers = np.random.default_rng(23).permutation(2 * rows)[:rows]
    kept = kept_for_rows(machine, 2 * rows)
    starts = np.array([[1, 0, 1], [0, 1, 0]])
    for i, start in enumerate(starts):
        kept["row/h2"][numbers[i::3]] = np.packbits(start)
        kept["row/seen"][numbers[i::3]] = 1
    of = Posterior(machine, MeanField(1e-13, 5000, 0.3), 2, {})
    found = PHASES["gibbs"](of, np.repeat(row[None], rows, axis=0), Visit(KEY, 3, 0, numbers, kept), Scratch(row))
    assert kept["row/seen"].sum() == rows and kept["row/seen"][numbers].all()
    after = np.unpackbits(kept["row/h2"][numbers], axis=1)[:, :3]
    np.testing.assert_allclose(found["h2"], enumeration.conditional(table, "h2", found), rtol=0, atol=1e-12)
    means = fixed_point(table, row, table.hidden, ("h2",))["h2"]
    laws = [np.eye(8)[int("".join(map(str, start)), 2)] for start in starts]
    laws.append(np.where(enumeration.bits(3) > 0, means, 1 - means).prod(axis=1))
    for i, law in enumerate(laws):
        last, end = row_chain_laws(table, row, law, 2)
        fewer = row_chain_laws(table, row, law, 1)[0]
        assert i == 2 or stats.detectable_chi_square(rows // 3, last, fewer), "a sweep too few"
        for states, wanted, layer in ((found["h1"], last, "h1"), (after, end, "h2")):
            counted = np.bincount(states[i::3].astype(int) @ [4, 2, 1], minlength=8)
            stats.accept(stats.chi_square(counted, wanted), f"chains of rows: {layer} from start {i}")


def check_offsets_follow_the_data() -> None:
    """Offsets and rates are moving averages of the positive phase alone, from the means under the biases."""
    table, rate = Table.random((4, 3), 1.0, 9), 0.3
    machine = machine_of(table)
    rule = Contrastive(Settings(chains=4, center=True, center_rate=rate, sparsity_cost=0.1))
    state = rule.init(machine, coin_rows(6, 4, 10), KEY, 6)
    wanted = {n: expit(b) for n, b in table.biases.items()}
    for step in range(3):
        batch = coin_rows(6, 4, 10 + step)
        _, state = gradient_of(machine, batch, rule, state, step)
        seen = {"v": batch, "h1": enumeration.conditional(table, "h1", {"v": batch})}
        wanted = {n: (1 - rate) * w + rate * seen[n].mean(axis=0) for n, w in wanted.items()}
        for n, w in wanted.items():
            np.testing.assert_allclose(state[f"offset/{n}"], w, rtol=0, atol=1e-14)
            np.testing.assert_allclose(state[f"rate/{n}"], w, rtol=0, atol=1e-14)


def check_sparsity_pull() -> None:
    """The sparsity term adds cost (target - rate) to hidden biases and its product with rates of neighbours."""
    table, cost, target = Table.random((4, 3, 2), 1.0, 11), 0.7, 0.2
    machine, batch = machine_of(table), coin_rows(6, 4, 12)
    plain, _ = gradient_of(machine, batch, Contrastive(Settings(chains=4)))
    rule = Contrastive(Settings(chains=4, sparsity_cost=cost, sparsity_target=target))
    found, state = gradient_of(machine, batch, rule)
    for a, b in table.edges:
        pull = cost * (target - state[f"rate/{b}"])
        plain[f"layer/{b}/bias"] += pull
        plain[f"edge/{a}-{b}/weight"] += np.outer(state[f"rate/{a}"], pull)
        if a != table.visible:
            plain[f"edge/{a}-{b}/weight"] += np.outer(cost * (target - state[f"rate/{a}"]), state[f"rate/{b}"])
    assert_close(found, plain, 1e-13)


# ---------------------------------------------------------------- statistics of the negative phase


def contrastive_statistics(
    table: Table, rows: Any, k: int, scales: Mapping[str, float] | None = None
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Exact mean of the negative statistics of CD-k over these rows, and the exact variance of that mean.

    The visible states after k sweeps are independent given the rows; hidden units enter by their means. scales
    multiplies the input of a layer, as in greedy pretraining.
    """
    up, down = _scaled(table, (scales or {}).get("h1", 1.0)), _scaled(table, (scales or {}).get("v", 1.0))
    sweep = oracle_chains.conditional_matrix(up, ("v",), ("h1",)) @ oracle_chains.conditional_matrix(
        down, ("h1",), ("v",)
    )
    v = enumeration.states(table, ("v",))["v"]
    h = enumeration.conditional(up, "h1", {"v": v})
    values = {
        "edge/v-h1/weight": np.einsum("si,sj->sij", v, h),
        "layer/v/bias": v,
        "layer/h1/bias": h,
    }
    share = oracle_chains.empirical(table, {"v": rows}, ("v",))
    law = np.linalg.matrix_power(sweep, k)
    mean, variance = {}, {}
    for name, x in values.items():
        first, second = np.tensordot(law, x, 1), np.tensordot(law, x**2, 1)
        mean[name] = np.tensordot(share, first, 1)
        variance[name] = np.tensordot(share, second - first**2, 1) / len(rows)
    return mean, variance


def _scaled(table: Table, scale: float) -> Table:
    return Table(table.layers, {pair: scale * w for pair, w in table.edges.items()}, table.biases)


def deviation_p(found: Mapping[str, Any], mean: Mapping[str, Any], variance: Mapping[str, Any]) -> float:
    """p-value of the largest normal deviation of independent-row averages from their exact means, by Bonferroni."""
    z = np.concatenate([(np.abs(found[n] - mean[n]) / np.sqrt(variance[n])).ravel() for n in mean])
    return stats.smallest_of(2 * norm.sf(z))


def visible_at_the_wrong_k(table: Table, rows: Any, k: int) -> bool:
    """Whether a chain of k + 1 sweeps instead of k is caught at alpha with power 0.999, by arithmetic alone."""
    mean, variance = contrastive_statistics(table, rows, k)
    other, _ = contrastive_statistics(table, rows, k + 1)
    shift = max(float((np.abs(mean[n] - other[n]) / np.sqrt(variance[n])).max()) for n in mean)
    cells = sum(x.size for x in mean.values())
    return bool(norm.sf(norm.isf(stats.ALPHA / cells / 2) - shift) >= stats.POWER)


def contrastive_p(k: int, scales: Mapping[str, float] | None = None) -> float:
    """p-value that one call of CD-k on many copies of a few rows has the enumerated expectation."""
    table = Table.random((4, 3), 1.6, 13)
    rows = np.repeat(coin_rows(8, 4, 14), 5000, axis=0)
    assert visible_at_the_wrong_k(table, rows, k)
    rule = Contrastive(Settings(rule="cd", k=k), scales or {})
    found, _ = gradient_of(machine_of(table), rows, rule, step=3)
    for layer, scale in (scales or {}).items():
        found[f"layer/{layer}/bias"] /= scale  # which counts twice where the input does
    mean, variance = contrastive_statistics(table, rows, k, scales)
    up = _scaled(table, (scales or {}).get("h1", 1.0))
    positive = mean_moments(table, {"v": rows, "h1": enumeration.conditional(up, "h1", {"v": rows})})
    return deviation_p(subtract(positive, found), mean, variance)


def check_contrastive_expectation() -> None:
    """alpha 1e-6; catches a wrong number of sweeps, sampled h where its mean belongs, a wrong start, a lost scale."""
    stats.accept(contrastive_p(1), "CD-1 has a wrong expected negative phase")


def check_three_sweeps() -> None:
    """alpha 1e-6; the companion arithmetic in contrastive_p says that four sweeps in place of three would be seen."""
    stats.accept(contrastive_p(3), "CD-3 has a wrong expected negative phase")


def check_doubled_contrastive_expectation() -> None:
    """alpha 1e-6; the same for the doubled inputs of greedy pretraining, both directions."""
    stats.accept(contrastive_p(1, {"h1": 2.0, "v": 2.0}), "doubled CD-1 has a wrong expected negative phase")


def check_persistent_chains_move_by_the_machine() -> None:
    """Chi-square over all joint states of a DBM after k sweeps from one fixed start; alpha 1e-6.

    Catches a transposed square weight, a stale layer, equal keys for two layers, chains that share uniforms.
    """
    table, chains, k = Table.random((2, 3, 3), 1.0, 15), 30_000, 1
    start = {n: np.tile(np.arange(u) % 2, (chains, 1)).astype(np.float64) for n, u in table.layers.items()}
    rule = Contrastive(Settings(chains=chains, k=k))
    state = {f"chain/{n}": x for n, x in start.items()}
    _, after = gradient_of(machine_of(table), coin_rows(2, 2, 16), rule, state, step=5)
    one = {n: x[:1] for n, x in start.items()}
    law = oracle_chains.next_distribution(table, one, enumeration.colours(table), k)
    other = oracle_chains.next_distribution(table, one, enumeration.colours(table), k + 1)
    assert stats.detectable_chi_square(chains, law, other)
    found = enumeration.counts(table, chains_of(after))
    stats.accept(stats.chi_square(found, law), "persistent chains do not follow the machine's transition")


def check_particles_are_independent() -> None:
    """Without weights no two of 300 particles (several blocks) and no two layers are equal in 64 fair coins."""
    table = Table.chain([np.zeros((64, 64))], [np.zeros(64), np.zeros(64)])
    _, state = gradient_of(machine_of(table), coin_rows(2, 64, 17), Contrastive(Settings(chains=300)))
    rows = np.concatenate(list(chains_of(state).values()))
    assert len(np.unique(rows, axis=0)) == len(rows), "two particles or layers share their uniforms"


def check_steps_are_independent() -> None:
    """Without weights two successive steps are independent coins: correlation test, alpha 1e-6.

    Catches a step counter that does not reach the generator.
    """
    table = Table.chain([np.zeros((4, 3))], [np.zeros(4), np.zeros(3)])
    rule, machine = Contrastive(Settings(chains=5000)), machine_of(table)
    _, first = gradient_of(machine, coin_rows(2, 4, 17), rule, step=0)
    _, second = gradient_of(machine, coin_rows(2, 4, 17), rule, first, step=1)
    assert stats.detectable_correlation(20_000, 0.1)
    x, y = (chains_of(s)["v"].ravel() for s in (first, second))
    stats.accept(stats.correlation_test(x, y), "two steps share their uniforms")


# ---------------------------------------------------------------- greedy pretraining


def check_stacking_averages_two_machines() -> None:
    """In the composed machine each inner layer's field is the mean of the fields that its two RBMs gave it."""
    rng = np.random.default_rng(18)
    for units in ([4, 3, 2], [3, 3, 3, 3], [2, 3, 4, 3, 2]):
        model = boltz.dbm(units, dtype=np.float64)
        plan = stages(model.graph, Settings(pretrain_epochs=1))
        pairs = [random_pair(stage, rng) for stage in plan if stage.pair is not None]
        compose(model, pairs)
        state = {n: rng.random((5, u)) for n, u in model.graph.units.items()}
        names = list(model.graph.units)
        for i, name in enumerate(names):
            given = []
            if i > 0:
                given.append(pair_field(pairs[i - 1], plan[i - 1], "h1", state[names[i - 1]]))
            if i < len(pairs):
                given.append(pair_field(pairs[i], plan[i], "v", state[names[i + 1]]))
            np.testing.assert_allclose(model.field(name, state), np.mean(given, axis=0), rtol=0, atol=1e-13)


def random_pair(stage: Stage, rng: np.random.Generator) -> BoltzmannMachine:
    """An RBM of a pretraining stage with random parameters."""
    pair = empty(stage.graph, np.empty(0))
    pair.arena[...] = rng.normal(size=pair.arena.size)
    return pair


def pair_field(pair: BoltzmannMachine, stage: Stage, layer: str, other: Floats) -> Floats:
    """The field of a layer of a pretrained RBM by the doubling of Salakhutdinov & Hinton 2009: inner layers hear twice.

    A layer that is inner in the whole machine takes its input twice; the visible layer and the topmost do not.
    """
    weight = pair.params["edge/v-h1/weight"]
    inner = stage.scales[layer] == 2
    return (2 if inner else 1) * (other @ (weight if layer == "h1" else weight.T)) + pair.bias(layer)


def check_particles_start_at_the_data() -> None:
    """Fantasy particles: visible rows in turn, hidden layers drawn from their posterior means; alpha 1e-6.

    Catches particles that start elsewhere and means kept undrawn.
    """
    table, chains = Table.random((4, 3), 1.5, 19), 20_000
    machine, rows = machine_of(table), coin_rows(5, 4, 20)
    state = chains_of(Contrastive(Settings(chains=chains)).init(machine, rows, KEY, len(rows)))
    np.testing.assert_array_equal(state["v"], rows[np.arange(chains) % 5])
    assert np.isin(state["h1"], (0, 1)).all()
    mean = enumeration.conditional(table, "h1", {"v": rows})
    other = np.broadcast_to(expit(table.biases["h1"]), mean.shape)
    worst = np.unravel_index(np.argmax(np.abs(mean - other)), mean.shape)
    assert stats.detectable_binomial(chains // 5, mean[worst], other[worst], cells=mean.size)
    fired = np.array([state["h1"][i::5].sum(axis=0) for i in range(5)])
    stats.accept(stats.binomial_table(fired, chains // 5, mean), "hidden particles are not drawn from the posterior")


def check_doubling_pattern() -> None:
    """First RBM: hidden input doubled; last: visible input doubled; between: both; bottom and top layers: never."""
    for depth in (2, 3, 4):
        plan = stages(boltz.dbm([3] * (depth + 1)).graph, Settings(pretrain_epochs=2))
        assert [stage.pair for stage in plan] == [*range(depth), None]
        for i, stage in enumerate(plan[:-1]):
            assert stage.scales == {"v": 1.0 if i == 0 else 2.0, "h1": 1.0 if i == depth - 1 else 2.0}


# ---------------------------------------------------------------- settings


def check_settings_that_follow_from_the_layers() -> None:
    """Binary hidden layers have no pathwise derivative, Gaussian visible units no binary rows; a given value stays."""
    net, smooth, grey = boltz.sbn([4, 2]), boltz.vae([4], 2), boltz.vae([4], 2, visible="gaussian")

    def chosen(model: HelmholtzMachine, **given: Any) -> tuple[Any, ...]:
        found: Any = settings_of(model.structure, given)
        return found.objective, found.samples, found.binarize

    assert chosen(net) == ("vimco", 5, "dynamic")
    assert chosen(net, samples=3) == ("vimco", 3, "dynamic")
    assert chosen(net, objective="rws") == ("rws", 5, "dynamic")
    assert chosen(net, objective="nvil") == ("nvil", 1, "dynamic")
    assert chosen(smooth) == ("vae", 1, "dynamic")
    assert chosen(grey) == ("vae", 1, "none")
    assert chosen(grey, binarize="fixed", objective="iwae", samples=2) == ("iwae", 2, "fixed")


# ---------------------------------------------------------------- optimizers


def arena_machine(units: tuple[int, ...] = (5, 4, 3), seed: int = 50) -> BoltzmannMachine:
    """A float64 machine with random parameters for updates."""
    return machine_of(Table.random(units, 1.0, seed))


def updated(
    settings: Settings, machine: BoltzmannMachine, gradients: Any, steps: Any = None
) -> tuple[list[Floats], dict[str, Any]]:
    """The arena after each update with the given gradients, and the optimizer's arrays at the end."""
    from boltz.training import optimizers

    state, found = optimizers.init(settings, machine), []
    for count, gradient in enumerate(gradients, 1):
        step = optimizers.step_at(replace(settings, schedule="constant", momentum_epochs=0), 0, count)
        if steps:
            rate, momentum = steps[count - 1]
            step = optimizers.Step([rate], [momentum], count)
        assert optimizers.apply(settings, machine, gradient, state, step, SERIAL)
        found.append(machine.arena.copy())
    return found, state


def penalty_of(machine: BoltzmannMachine, settings: Settings) -> Floats:
    """What decay takes off the gradient: l2 w + l1 sign(w) on weights, nothing on biases."""
    weights = sum(machine.params[e.key].size for e in machine.graph.edges)
    w = np.where(np.arange(machine.arena.size) < weights, machine.arena, 0.0)
    return settings.l2 * w + settings.l1 * np.sign(w)


def check_momentum() -> None:
    """v := m v + rate (g - decay), w := w + v, three steps by hand; biases do not decay."""
    settings = Settings(learning_rate=0.3, momentum=0.7, l2=0.05, l1=0.02)
    machine, gradients = arena_machine(), np.random.default_rng(51).normal(size=(3, 44))
    wanted, w, v = [], arena_machine(), np.zeros(44)
    for g in gradients:
        v = 0.7 * v + 0.3 * (g - penalty_of(w, settings))
        w.arena[...] += v
        wanted.append(w.arena.copy())
    found, state = updated(settings, machine, gradients)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)
    np.testing.assert_allclose(state["velocity"], v, rtol=0, atol=1e-14)


def check_settings_by_pair() -> None:
    """Weights and biases of a deep machine against plain steps with the numbers of their pair, for two steps.

    The biases of a layer have the rate of the weights below it, and the visible ones that of the first pair.
    """
    rates, decay, most = (0.3, 0.0, 0.1), (0.0, 0.5, 0.25), (0.0, 0.0, 0.6)
    settings = Settings(learning_rate=rates, l2=decay, max_norm=most)
    machine = arena_machine((5, 4, 3, 2))
    gradient = np.random.default_rng(57).normal(size=machine.arena.size)
    wanted = {name: x.copy() for name, x in machine.params.items()}
    slope = boltz.models.boltzmann.views(machine.graph, gradient)
    for _ in range(2):
        for pair, edge in enumerate(machine.graph.edges):
            w = wanted[edge.key]
            w += rates[pair] * (slope[edge.key] - decay[pair] * w)
            if most[pair]:
                w *= np.minimum(1, most[pair] / np.linalg.norm(w, axis=0))
        for layer, pair in (("v", 0), ("h1", 0), ("h2", 1), ("h3", 2)):
            wanted[f"layer/{layer}/bias"] += rates[pair] * slope[f"layer/{layer}/bias"]
    updated(settings, machine, [gradient, gradient])
    assert_close(machine.params, wanted, 1e-14)


def check_late_momentum() -> None:
    """Two steps without momentum and one with it: the velocity of the second counts in the third."""
    settings = Settings(learning_rate=0.1, momentum=0.5, initial_momentum=0.0)
    machine, gradients = arena_machine(), np.random.default_rng(64).normal(size=(3, 44))
    before = machine.arena.copy()
    updated(settings, machine, gradients, [(0.1, 0.0), (0.1, 0.0), (0.1, 0.5)])
    np.testing.assert_allclose(machine.arena - before, 0.1 * (gradients.sum(axis=0) + 0.5 * gradients[1]), atol=1e-14)


def check_equal_numbers(optimizer: str = "momentum") -> None:
    """Equal numbers for all pairs leave the bits of one number, also where steps are made in one call."""
    x = coin_rows(200, 40, 58).astype(np.float32)
    found = []
    for number in (lambda a: a, lambda a: (a, a)):
        rate, decay = number(0.02), number(1e-3)
        given = {"learning_rate": rate, "l2": decay, "optimizer": optimizer, "epochs": 3, "batch_size": 20}
        run = boltz.train(boltz.dbm([40, 33, 35], x), x, **given, chains=20, pretrain_epochs=number(1), snapshots=0)
        found.append(run.model.arena.tobytes())
    assert found[0] == found[1]


def check_adamax_takes_no_program() -> None:
    """Catches steps in one call by an optimizer whose update is none of the operations that such calls have."""
    try:
        check_equal_numbers("adamax")
    except TypeError as problem:  # that of an operation which programs do not have
        raise AssertionError(f"adamax was recorded: {problem}") from problem


def check_nesterov() -> None:
    """On -0.5 A (w - c)^2 the update equals Sutskever et al.'s (2013, eqs. 3-4) v := m v + rate g(w + m v), w := w + v.

    The library keeps the point ahead, w + m v.
    """
    settings = Settings(learning_rate=0.1, momentum=0.8, optimizer="nesterov")
    from boltz.training import optimizers

    rng = np.random.default_rng(52)
    curvature, centre = rng.uniform(0.5, 3, 44), rng.normal(size=44)
    machine = arena_machine()
    w, v, state = machine.arena.copy(), np.zeros(44), optimizers.init(settings, machine)
    for count in range(1, 30):
        v = 0.8 * v - 0.1 * curvature * (w + 0.8 * v - centre)
        w = w + v
        gradient = -curvature * (machine.arena - centre)
        assert optimizers.apply(settings, machine, gradient, state, optimizers.Step([0.1], [0.8], count), SERIAL)
        np.testing.assert_allclose(machine.arena, w + 0.8 * v, rtol=0, atol=1e-13)


def check_adam() -> None:
    """Algorithm 1 of Kingma & Ba (2015) written out, ascent, five steps with decay on weights.

    Also with another beta1, another epsilon and second moments that do not start at 0, each alone and all together.
    """
    gradients = np.random.default_rng(53).normal(size=(5, 44))
    for beta1, epsilon, start in (
        (0.9, 1e-8, 0.0),
        (0.0, 1e-8, 0.0),
        (0.9, 0.3, 0.0),
        (0.9, 1e-8, 2.0),
        (0.6, 1e-4, 1.0),
    ):
        settings = Settings(
            learning_rate=0.01,
            optimizer="adam",
            adam_beta1=beta1,
            adam_epsilon=epsilon,
            adam_second=start,
            l2=0.05,
            l1=0.02,
        )
        wanted, w, m, v = [], arena_machine(), np.zeros(44), np.full(44, start)
        for t, g in enumerate(gradients, 1):
            g = g - penalty_of(w, settings)
            m, v = beta1 * m + (1 - beta1) * g, 0.999 * v + 0.001 * g**2
            w.arena[...] += 0.01 * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
            wanted.append(w.arena.copy())
        found, state = updated(settings, arena_machine(), gradients)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)
        np.testing.assert_allclose(state["second"], v, rtol=0, atol=1e-14)


def check_hold() -> None:
    """The rate itself up to a third of the epochs, half of it at two thirds, nothing at the end."""
    settings = Settings(learning_rate=0.4, epochs=9, schedule="hold")
    assert [learning_rate(settings, done) for done in (0, 1, 3)] == [0.4] * 3
    np.testing.assert_allclose([learning_rate(settings, done) for done in (4, 6, 9)], [0.4 * 5 / 6, 0.2, 0], atol=1e-15)


def check_curves() -> None:
    """A cosine is at half its height in the middle, with the slope of a sine; an exponential halves again and again."""
    cosine = Settings(learning_rate=0.4, epochs=8, schedule="cosine")
    found = [learning_rate(cosine, done) for done in (0, 2, 4, 6, 8)]
    np.testing.assert_allclose(found, 0.2 * (1 + np.array([1, 0.5**0.5, 0, -(0.5**0.5), -1])), atol=1e-15)
    falling = Settings(learning_rate=0.4, epochs=8, schedule="exponential", decay_epochs=2.0)
    np.testing.assert_allclose([learning_rate(falling, done) for done in (0, 2, 4, 6)], [0.4, 0.2, 0.1, 0.05])


def check_stages() -> None:
    """1, 3, 9, ... 2187 epochs, 3280 in all, at 1e-3 times 10^(-i/7) rounded (Burda et al. 2016, section 5)."""
    settings = DirectedSettings(learning_rate=1e-3, epochs=3280, schedule="stages")
    wanted = np.repeat([1, 0.72, 0.52, 0.37, 0.27, 0.19, 0.14, 0.1], 3 ** np.arange(8))
    assert len(wanted) == 3280
    starts, ends = ([learning_rate(settings, epoch + share) for epoch in range(3280)] for share in (0, 1 - 1e-9))
    np.testing.assert_allclose(starts, 1e-3 * wanted, rtol=1e-14)
    assert starts == ends, "a stage ends with an epoch"


def check_max_norm() -> None:
    """After an update no upper unit's incoming weights are longer than max_norm, shorter ones are left, biases too."""
    settings = Settings(learning_rate=1.0, max_norm=1.5)
    machine, gradient = arena_machine(), np.random.default_rng(54).normal(size=44)
    free, _ = updated(Settings(learning_rate=1.0), arena_machine(), [gradient])
    plain = BoltzmannMachine(machine.graph, free[0])
    updated(settings, machine, [gradient])
    for edge in machine.graph.edges:
        lengths = np.linalg.norm(plain.params[edge.key], axis=0)
        assert lengths.max() > 1.5, "the test needs a weight vector to shorten"
        wanted = plain.params[edge.key] * np.minimum(1, 1.5 / lengths)
        np.testing.assert_allclose(machine.params[edge.key], wanted, rtol=0, atol=1e-14)
    for layer in machine.graph.units:
        np.testing.assert_array_equal(machine.bias(layer), plain.bias(layer))


def check_pretraining_is_centred() -> None:
    """The RBM of the first pair is centred where the whole machine is, and where its inputs are not doubled."""
    assert Settings(pretrain="bottom", pretrain_epochs=1, center=True).pretraining(0).center
    assert not Settings(pretrain="doubling", pretrain_epochs=1, center=True).pretraining(0).center


def check_idle_settings() -> None:
    """What a setting needs is told by the values of the others, and those that do nothing beside them are left out."""
    values = Settings(rule="cd", schedule="inverse", epochs=1).as_dict()
    kept = meaning.effective(values, Settings)
    assert {"decay_epochs", "learning_rate", "momentum"} <= kept.keys() and values["k"] == kept["k"]
    assert not {"chains", "rungs", "adam_beta1", "center_rate", "pretrain_k", "validation"} & kept.keys()
    needed = meaning.needs(FineTuneSettings)
    assert needed["learning_rate"].told(str.upper) == "an OPTIMIZER other than lbfgs" and "validation" not in needed


def check_run_without_settings() -> None:
    """A run.toml that lost its settings does not go on with those by default."""
    model = {"units": [3, 2], "kind": "bernoulli", "dtype": "float32"}
    for look, found in (
        (RunDescription.drawn, {"model": model}),
        (tuning_of, {"task": "classifier"}),
    ):
        try:
            look(RunDescription.from_table(found))
        except FileError as told:
            assert "does not describe a" in str(told)
        else:
            raise AssertionError(f"{found} was read as a run")
