"""Checks of machines of documents against sums over every sequence of words; all sizes are a few words.

Each check takes no argument and raises AssertionError, or the error of the library, where something is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from oracles.documents import Documents
from scipy import stats as laws
from scipy.special import gammaln
from support import stats

import boltz
from boltz.errors import InputError
from boltz.estimators.exact import exact_log_z
from boltz.estimators.moments import exact_gradient
from boltz.models.boltzmann import BoltzmannMachine
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.meanfield import MeanField
from boltz.sampling.modes import relaxed
from boltz.training.contrastive import Contrastive
from boltz.training.held_out import undirected
from boltz.training.monitor import Monitor
from boltz.training.rules import Clock
from boltz.training.settings import Settings

STATES: dict[str, Any] = {"bernoulli": (0.0, 1.0), "spin": (-1.0, 1.0), "categorical:3": np.eye(3).tolist()}
TOLERANCE = 1e-9


def machine(kind: str = "bernoulli", seed: int = 0, words: int = 3, units: int = 2) -> BoltzmannMachine:
    """A machine of documents with so many hidden units of a kind, in float64."""
    rng = np.random.default_rng(seed)
    columns = units * np.atleast_1d(STATES[kind][0]).size
    weight = rng.normal(0, 0.9, (words, columns))
    return boltz.from_arrays([weight], [rng.normal(size=words), rng.normal(size=columns)], units=["counts", kind])


def oracle(model: BoltzmannMachine, length: int) -> Documents:
    weight, words, hidden = (model.params[n] for n in ("edge/v-h1/weight", "layer/v/bias", "layer/h1/bias"))
    return Documents(weight, words, hidden, STATES[model.layers[1].kind], length)


def near(found: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    assert np.abs(np.asarray(found) - expected).max() < tolerance, (found, expected)


def mixed_rows(model: BoltzmannMachine) -> tuple[np.ndarray, list[Documents]]:
    """Documents of three lengths in no order, and the oracle of each."""
    oracles = {n: oracle(model, n) for n in (1, 3, 5)}
    chosen = [(5, 4), (1, 0), (3, 2), (5, 0), (3, 9), (1, 2), (5, 20)]
    rows = np.array([oracles[n].counted[0][i] for n, i in chosen])
    return rows, [oracles[n] for n, _ in chosen]


def check_log_z_and_law() -> None:
    """Catches a lost length, a lost or doubled multinomial coefficient, and a log-partition of each word alone."""
    for kind in STATES:
        model = machine(kind)
        for length in (1, 4):
            exact, fixed = oracle(model, length), model.of_length(length)
            near(exact_log_z(fixed).value, exact.log_z)
            rows, _ = exact.counted
            found = boltz.log_likelihood(fixed, rows)
            assert found.kind == "exact" and found.per_row is not None
            near(found.per_row, np.log(exact.law.sum(axis=1)))
            near(np.exp(found.per_row).sum(), 1.0)
            for i, h in enumerate(exact.hidden_states[:3]):
                energy = model.energy({"v": rows, "h1": np.tile(h, (len(rows), 1))})
                near(-energy - exact.log_z, np.log(exact.law[:, i]))


def check_lengths_have_their_own_log_z() -> None:
    """Catches one log Z for all lengths, values in another order than the rows, and a lost average."""
    for kind in STATES:
        model = machine(kind, 1)
        rows, oracles = mixed_rows(model)
        expected = np.array([each.log_p(row) for each, row in zip(oracles, rows, strict=True)])
        found = boltz.log_likelihood(model, rows)
        near(found.per_row, expected)
        near(found.value, expected.mean())
        given = {each.length: each.log_z for each in oracles}
        near(boltz.log_likelihood(model, scipy.sparse.csr_matrix(rows), given).per_row, expected)
        assert found.kind == "exact" and found.standard_error == 0 and found.trusted


def check_gradient_over_lengths() -> None:
    """The exact gradient of documents of several lengths; catches a negative phase of another length, or weights."""
    for kind in STATES:
        model = machine(kind, 2)
        rows, oracles = mixed_rows(model)
        each = [exact.gradient(row) for exact, row in zip(oracles, rows, strict=True)]
        for name, value in exact_gradient(model, rows).items():
            near(value, np.mean([one[name] for one in each], axis=0))


def check_scaled_hidden_biases_are_weights() -> None:
    """The energy of the paper, with hidden biases times the length, is that of weights with these biases added."""
    rng = np.random.default_rng(3)
    weight, words, scaled = rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2)
    model = boltz.from_arrays([weight + scaled], [words, np.zeros(2)], units=["counts", "bernoulli"])
    for length in (2, 5):
        exact = Documents(weight, words, length * scaled, STATES["bernoulli"], length)
        found = boltz.log_likelihood(model, exact.counted[0])
        near(found.per_row, np.log(exact.law.sum(axis=1)))


def check_perplexity() -> None:
    """Catches the coefficient left in, a mean over documents for that over words, and unsmoothed unigrams."""
    model = machine(seed=4)
    rows, oracles = mixed_rows(model)
    log_p = np.array([each.log_p_of_words(row) for each, row in zip(oracles, rows, strict=True)])
    lengths, train = rows.sum(axis=1), np.array([[3, 0, 0], [1, 1, 0]])
    found = boltz.perplexity(model, rows, train)
    near(found.by_document, np.exp(-np.mean(log_p / lengths)))
    near(found.by_corpus, np.exp(-log_p.sum() / lengths.sum()))
    frequency = np.array([5, 2, 1]) / 8
    near(found.unigram_by_document, np.exp(-np.mean(rows @ np.log(frequency) / lengths)))
    near(found.unigram_by_corpus, np.exp(-(rows @ np.log(frequency)).sum() / lengths.sum()))
    assert (found.documents, found.words, found.kind, found.trusted) == (7, int(lengths.sum()), "exact", True)
    assert boltz.perplexity(model, rows).unigram_by_corpus is None
    annealed = {each.length: boltz.ais(model.of_length(each.length), 200, 40) for each in oracles}
    assert boltz.perplexity(model, rows, log_z=annealed).kind == "lower"


def check_gibbs_law() -> None:
    """40,000 chains that start at exact draws of two lengths keep law and lengths; chi-square tests, alpha 1e-6.

    Catches words drawn from another law than that of the hidden units, and lengths that chains lose.
    """
    model, rng = machine(seed=5), np.random.default_rng(6)
    exacts = [oracle(model, n) for n in (2, 4)]
    starts = []
    for exact in exacts:
        chosen = rng.choice(len(exact.law), 20_000, p=exact.law.sum(axis=1))
        starts.append(exact.counted[0][chosen])
    end = boltz.sample(model, 40_000, sweeps=3, start={"v": np.concatenate(starts)}, seed=7)["v"]
    for exact, part in zip(exacts, (end[:20_000], end[20_000:]), strict=True):
        assert (part.sum(axis=1) == exact.length).all(), "chains do not keep the lengths of documents"
        place = {tuple(row): i for i, row in enumerate(exact.counted[0])}
        counts = np.bincount([place[tuple(row)] for row in part], minlength=len(place))
        stats.accept(stats.chi_square(counts, exact.law.sum(axis=1)), "chains leave the law of documents")


def check_chains_of_one_length_start_anywhere() -> None:
    """All starts of a machine of one length have it, and 20 sweeps from them lead to its law, alpha 1e-6."""
    model = machine(seed=8).of_length(3)
    exact = oracle(model, 3)
    place = {tuple(row): i for i, row in enumerate(exact.counted[0])}
    for start in ("uniform", "bias"):
        end = boltz.sample(model, 10_000, sweeps=20, start=start, seed=9)["v"]
        counts = np.bincount([place[tuple(row)] for row in end], minlength=len(place))
        stats.accept(stats.chi_square(counts, exact.law.sum(axis=1)), f"chains from {start} miss the law")
    drawn = boltz.exact_samples(model, 20_000, seed=10)["v"]
    counts = np.bincount([place[tuple(row)] for row in drawn], minlength=len(place))
    stats.accept(stats.chi_square(counts, exact.law.sum(axis=1)), "exact samples miss the law")


def check_annealing_is_unbiased() -> None:
    """The mean weight of 1,000 chains over 30 temperatures against the exact Z, alpha 1e-6 a machine.

    Catches weights that forget the length, and a start with another log Z.
    """
    for i, kind in enumerate(STATES):
        model = machine(kind, 11 + i)
        exact = oracle(model, 6)
        rows = exact.counted[0][:: max(len(exact.counted[0]) // 9, 1)]
        found = boltz.ais(model.of_length(6), chains=1000, betas=30, base=rows, seed=2)
        ratio = np.exp(found.log_weights - exact.log_z)
        z = (ratio.mean() - 1) / (ratio.std(ddof=1) / np.sqrt(len(ratio)))
        stats.accept(float(2 * laws.norm.sf(abs(z))), f"annealing is biased for documents and {kind}")


def check_mean_field_bound() -> None:
    """Bounds of fixed points of all layers, summed over every sequence; catches the entropy of counts for words."""
    model = machine(seed=14).of_length(4)
    exact = oracle(model, 4)
    means, bounds = relaxed(model, {"h1": np.array([[0.0, 1.0], [1.0, 1.0]])})
    for i in range(2):
        h = means["h1"][i]
        hidden = np.prod(np.where(exact.hidden_states == 1, h, 1 - h), axis=1)
        near(means["v"][i].sum(), 4.0)
        near(bounds[i], exact.bound(means["v"][i] / 4, hidden))
        assert bounds[i] <= exact.log_z + TOLERANCE


def check_contrastive_divergence_keeps_lengths() -> None:
    """The gradients of word biases sum to 0, as documents and their chains are equally long; catches chains that start
    from what an earlier batch left.
    """
    model = machine(seed=15, words=5)
    rng = np.random.default_rng(16)
    rule = Contrastive(Settings(rule="cd", k=2, center=False))
    work = rule.workspace(model)
    for step in range(3):
        rows = rng.multinomial(rng.integers(1, 40, 30), np.full(5, 0.2)).astype(model.dtype)
        with workers(model.arena) as pool:
            found = rule.gradient(work, rows, {}, Clock(Key.from_seed(17), step, 0.0, np.arange(30)), pool)
        near(found["layer/v/bias"].sum(), 0.0)
        assert np.abs(found["edge/v-h1/weight"]).max() > 0


def check_persistent_chains_keep_lengths() -> None:
    """Persistent chains have the lengths of the rows they start at, from noise, too."""
    model, rows = machine(seed=18, words=5), np.array([[1, 0, 2, 0, 0], [0, 4, 0, 0, 3]], np.float64)
    for start in ("data", "noise"):
        rule = Contrastive(Settings(rule="pcd", chains=6, chain_start=start))
        state = rule.init(model, rows, Key.from_seed(19), 2)
        work = rule.workspace(model)
        for step in range(3):
            with workers(model.arena) as pool:
                rule.gradient(work, rows, state, Clock(Key.from_seed(20), step, 0.0, np.arange(2)), pool)
        assert state["chain/v"].sum(axis=1).tolist() == [3, 7, 3, 7, 3, 7]


def check_negative_phase() -> None:
    """The gradient of persistent chains from exact draws is the exact one, t tests over 60 keys, alpha 1e-6."""
    model = machine(seed=21).of_length(4)
    rows = oracle(model, 4).counted[0][[0, 5, 7]]
    expected, rule = exact_gradient(model, rows), Contrastive(Settings(chains=400, center=False))
    found = []
    for seed in range(60):
        state = {f"chain/{n}": x for n, x in boltz.exact_samples(model, 400, seed=seed).items()}
        work = rule.workspace(model)
        with workers(model.arena) as pool:
            rule.gradient(work, rows, state, Clock(Key.from_seed(1000 + seed), 0, 0.0, np.arange(3)), pool)
        found.append(work.gradient.copy())
    table, wanted = np.array(found), np.concatenate([expected[name].reshape(-1) for name in model.params])
    z = (table.mean(axis=0) - wanted) / (table.std(axis=0, ddof=1) / np.sqrt(len(table)))
    stats.accept(min(float(2 * laws.t.sf(np.abs(z), len(table) - 1).min()) * z.size, 1.0), "gradient of documents")


def check_biases_start_at_log_frequencies() -> None:
    """Dense and sparse documents start word biases alike, with one word of each added."""
    rows = np.array([[3, 0, 1], [1, 0, 0], [0, 0, 2]])
    for x in (rows, scipy.sparse.csr_matrix(rows), scipy.sparse.coo_array(rows), rows.astype(np.float64)):
        model = boltz.rbm(3, 2, x, units="counts", dtype=np.float64)
        near(model.bias("v"), np.log(np.array([5, 1, 4]) / 10))
        assert (model.bias("h1") == 0).all()


def check_training_measures() -> None:
    """The reconstruction is as long as each document, and held-out documents judge by the exact log Z, nearly."""
    model, rows = machine(seed=22), np.array([[2, 0, 2], [0, 8, 0], [1, 1, 2]], np.float64)
    measures = Monitor(rows, rows, Key.from_seed(0)).measure(model, MeanField(), {})
    h = 1 / (1 + np.exp(-(rows @ model.visible_weights + model.bias("h1"))))
    field = h @ model.visible_weights.T + model.bias("v")
    back = rows.sum(axis=1, keepdims=True) * np.exp(field) / np.exp(field).sum(axis=1, keepdims=True)
    near(measures["reconstruction_error"], ((rows - back) ** 2).sum(axis=1).mean())
    assert measures["free_energy_gap"] is None
    found = undirected(model, rows, rows, MeanField(), Key.from_seed(1))
    near(found, boltz.log_likelihood(model, rows).value, 0.1)


def check_means_of_samples() -> None:
    """Means of drawn documents are as long as these; decoded ones have no length and are those of one word."""
    model, rows = machine(seed=23), np.array([[2, 0, 2], [0, 8, 0], [1, 1, 2]])
    drawn = boltz.sample(model, 6, sweeps=2, data=rows, means=True)
    near(drawn["v"].sum(axis=1), [4, 4, 8, 8, 4, 4])
    near(boltz.decode(model, drawn["h1"]).sum(axis=1), 1.0)
    near(boltz.decode(model.of_length(7), drawn["h1"]).sum(axis=1), 7.0)


def check_rates_of_documents() -> None:
    """Rates kept with a machine are word counts of a mean document, and follow the length; they survive a file."""
    rows = np.array([[3, 0, 1], [1, 0, 0], [0, 0, 1]])
    model = boltz.train(boltz.rbm(3, 2, rows, units="counts"), rows, rule="cd", epochs=1, batch_size=2).model
    near(model.rates["v"], 2.0 * np.array([5, 1, 3]) / 9)
    near(model.of_length(12).rates["v"], 12 * np.array([5, 1, 3]) / 9)


def check_coefficients() -> None:
    """log D! - sum log v! of documents."""
    model, rows = machine(seed=24), np.array([[2.0, 0, 2], [0, 8, 0]])
    nothing = {"v": rows, "h1": np.zeros((2, 2))}
    expected = -(rows @ model.bias("v")) - np.array([gammaln(5) - 2 * gammaln(3), 0.0])
    near(model.energy(nothing), expected)


def check_borders() -> None:
    """What is no document, and what needs a length, is told in one sentence."""
    model, rows = machine(seed=25), np.array([[1, 0, 2], [0, 4, 0]])
    wide = machine(seed=26, units=25)
    many = np.concatenate([np.eye(3, dtype=int)[[0]] * n for n in range(1, 42)])
    cases = [
        (
            lambda: boltz.log_likelihood(model, np.array([[1, 0, 2], [0, 0, 0]])),
            "at least one word in each row",
        ),
        (lambda: boltz.features(model, [[1.5, 0, 2]]), r"whole numbers from 0 to .*, got 1.5 at index \(0, 0\)"),
        (lambda: boltz.train(model, [[1, 0, -2]], epochs=1), r"got -2 at index \(0, 2\)"),
        (lambda: boltz.train(model, [[1, 0, np.nan]], epochs=1), r"got nan at index \(0, 2\)"),
        (lambda: boltz.train(model, scipy.sparse.csr_matrix((2, 3)), epochs=1), "got none in row 0: leave it out"),
        (lambda: boltz.rbm(3, 2, [[0, 0, 0]], units="counts"), "at least one word"),
        (lambda: boltz.log_likelihood(model.of_length(4), rows), "must have 4 words in each row, .*, got 3 in row 0"),
        (lambda: boltz.sample(model, 4), r"give data=rows, or take model.of_length\(n\)"),
        (lambda: boltz.sample(model, 4, start="uniform"), "data must hold documents"),
        (lambda: boltz.ais(model, 10, 10), r"take model.of_length\(n\)"),
        (lambda: boltz.exact_log_z(model), r"take model.of_length\(n\)"),
        (lambda: boltz.complete(model, rows, [1, 0, 1]), "no unknown counts"),
        (lambda: boltz.log_likelihood(model, rows, 3.0), "log_z must map lengths"),
        (lambda: boltz.log_likelihood(model, rows, {3: 1.0}), "must hold log Z of documents of 4 words"),
        (lambda: boltz.log_likelihood(wide, many), "at most 40 lengths"),
        (lambda: boltz.perplexity(boltz.rbm(3, 2), rows), "visible units of kind counts"),
        (lambda: boltz.rbm(3, 2).of_length(4), "must be of kind counts"),
        (lambda: model.of_length(0), "words must be a whole number of at least 1"),
        (lambda: boltz.rbm(3, 2, units="bernoulli", hidden_units="counts"), "only one are counts"),
        (lambda: boltz.rbm(3, 2, units="counts:0"), "a number of words of a document"),
    ]
    for call, said in cases:
        with pytest.raises(InputError, match=said):
            call()
