"""Fits by pseudo-likelihood: would catch another minimum, wrong penalties, zeros that are none, and bad input that
passes.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from checks import inverse as checks
from scipy.sparse import csr_array

import boltz
from boltz.training import pseudo_likelihood

SPINS = np.random.default_rng(1).choice([-1.0, 1.0], (50, 4))
CODES = np.random.default_rng(2).integers(0, 3, (60, 4))
ISING, POTTS = boltz.boltzmann(4, units="spin"), boltz.boltzmann(4, units=("categorical", 3))


def test_a_fit_is_the_minimum() -> None:
    checks.check_fit_is_the_minimum()


def test_gradients() -> None:
    checks.check_gradient()


def test_the_value_is_the_pseudo_likelihood() -> None:
    checks.check_value_is_the_pseudo_likelihood()


def test_l1() -> None:
    checks.check_l1()


def test_zero_sum_gauge() -> None:
    checks.check_zero_sum_gauge()


def test_sparse_fits() -> None:
    checks.check_sparse_fit()


def test_planted_couplings() -> None:
    checks.check_planted_couplings()


def test_default_penalties_follow_the_weights() -> None:
    """Catches rows that are counted without their weights, and weights whose scale matters."""
    weights = np.repeat([1.0, 0.25], [20, 40])
    for scale in (1.0, 1e-6, 300.0):
        fit = boltz.fit_pairwise(POTTS, CODES, weights=scale * weights)
        assert abs(fit.l2 - 0.01 * 2 * 3 / 30) < 1e-12 and abs(fit.l2_fields - 0.01 / 30) < 1e-12


def test_weights_are_copies_of_rows() -> None:
    """A row of weight 3 is three rows; catches weights that act in the gradient alone, or are squared."""
    weights = np.random.default_rng(3).integers(0, 4, len(SPINS))
    given = {"l2": 0.01, "l2_fields": 0.02, "tolerance": 1e-9}
    found = boltz.fit_pairwise(ISING.astype(np.float64), SPINS, weights=weights, **given)
    wanted = boltz.fit_pairwise(ISING.astype(np.float64), np.repeat(SPINS, weights, axis=0), **given)
    assert np.abs(found.model.arena - wanted.model.arena).max() < 1e-7
    assert abs(found.objective - wanted.objective) < 1e-12


def test_the_machine_that_is_given_does_not_matter() -> None:
    """Neither its parameters, nor whether rows are codes or one-hot; the machine itself stays as it is."""
    start = POTTS.arena.copy()
    found = boltz.fit_pairwise(POTTS, CODES)
    other = boltz.fit_pairwise(boltz.boltzmann(4, units=("categorical", 3), seed=9, initial_scale=2.0), CODES)
    one_hot = boltz.fit_pairwise(POTTS, np.eye(3)[CODES].reshape(60, 12))
    assert (found.model.arena == other.model.arena).all() and (found.model.arena == one_hot.model.arena).all()
    assert (POTTS.arena == start).all() and not POTTS.rates and found.model.dtype == np.float32


def test_nothing_depends_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows at a time, in many pieces, to the last bit; catches sums in an order that chance decides."""
    monkeypatch.setattr(pseudo_likelihood, "BLOCK", 8)
    monkeypatch.setattr(pseudo_likelihood, "AT_ONCE", 100)
    before, found = boltz.threads(), []
    try:
        for count in (1, 3):
            boltz.threads(count)
            found.append(boltz.fit_pairwise(POTTS, CODES).model.arena)
    finally:
        boltz.threads(before)
    assert (found[0] == found[1]).all()


def test_few_and_many_couplings_of_a_lattice_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same couplings by sparse products, in pieces, and by dense ones; catches pieces of pairs that are lost."""
    lattice = boltz.ising(boltz.lattice((6, 6)))
    rows = np.random.default_rng(4).choice([-1, 1], (70, 36))
    found = {}
    for few, size in ((0, 1 << 23), (10**9, 1 << 23), (0, 10_000)):
        monkeypatch.setattr(pseudo_likelihood, "FEW", few)
        monkeypatch.setattr(pseudo_likelihood, "AT_ONCE", size)
        found[few, size] = boltz.fit_pairwise(lattice, rows, 0.01, 0.01, tolerance=1e-9).model.arena
    first, *others = found.values()
    assert all(np.abs(first - other).max() < 1e-7 for other in others) and np.abs(first).max() > 0.05


def test_some_states_of_pairs_alone() -> None:
    """Pairs that couple equal states only keep their couplings, since there is no gauge; the law is the minimum's."""
    pattern = np.kron(1 - np.eye(4), np.eye(3))
    fit = boltz.fit_pairwise(boltz.potts(csr_array(pattern), 0.0, 3), CODES)
    dense = fit.model.matrix("edge/v-v/weight").toarray()
    assert (dense[pattern == 0] == 0).all() and np.abs(dense).max() > 0.01
    assert abs(boltz.pseudo_likelihood(fit.model, CODES).value - fit.pseudo_likelihood) < 1e-6


def test_whole_blocks_of_sparse_pairs_are_in_the_gauge() -> None:
    pattern = np.kron(np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1), np.ones((3, 3)))
    fit = boltz.fit_pairwise(boltz.potts(csr_array(pattern), 0.0, 3, np.float64), CODES, l2_fields=0.3)
    blocks = fit.model.matrix("edge/v-v/weight").toarray().reshape(4, 3, 4, 3)
    assert np.abs(blocks.sum(axis=3)).max() < 1e-12 and np.abs(blocks.sum(axis=1)).max() < 1e-12
    assert abs(boltz.pseudo_likelihood(fit.model, CODES).value - fit.pseudo_likelihood) < 1e-9


def test_it_says_whether_it_converged_and_tells_its_progress() -> None:
    told: list[tuple[str, int, int]] = []
    fit = boltz.fit_pairwise(ISING, SPINS, iterations=1, tolerance=1e-12, progress=lambda *each: told.append(each))
    assert not fit.converged and fit.iterations == 1 and "NOT converged after 1 iterations" in str(fit)
    assert len(told) == 1 and told[0][0].startswith("iteration: gradient") and told[0][1:] == (1, 1)
    good = boltz.fit_pairwise(ISING, SPINS, l1=0.1, progress=False)
    assert good.converged and "l1 0.1" in str(good) and good.gradient_norm <= 0.01 / np.sqrt(50)
    assert json.loads(json.dumps(good.as_dict()))["iterations"] == good.iterations and "model" not in good.as_dict()


def test_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    boltz.fit_pairwise(ISING, SPINS, progress=True)
    assert "iteration" in capsys.readouterr().err


def test_states_that_are_never_taken() -> None:
    """Their fields are finite by the penalty, and refused without one."""
    rows = np.where(CODES == 2, 0, CODES)
    fit = boltz.fit_pairwise(POTTS, rows)
    assert np.isfinite(fit.model.arena).all() and (fit.model.bias("v")[2::3] < -1).all()
    with pytest.raises(boltz.InputError, match=r"^l2_fields must be above 0, since column 2 of x is never 1, so that"):
        boltz.fit_pairwise(POTTS, rows, l2_fields=0.0)


def test_one_unit_and_one_row() -> None:
    """One unit has a field alone, that of its mean; one row has finite couplings."""
    one = boltz.fit_pairwise(boltz.boltzmann(1, dtype=np.float64), [[1], [1], [0], [1]], l2_fields=0.0, tolerance=1e-9)
    assert abs(one.model.bias("v")[0] - np.log(3)) < 1e-6
    assert np.isfinite(boltz.fit_pairwise(ISING, SPINS[:1]).model.arena).all()


def test_a_large_l1_leaves_independent_units() -> None:
    """Couplings are exactly 0, and fields those of the means."""
    fit = boltz.fit_pairwise(boltz.boltzmann(4, dtype=np.float64), SPINS > 0, l2_fields=0.0, l1=5.0, tolerance=1e-9)
    means = (SPINS > 0).mean(axis=0)
    assert fit.converged and not fit.model.params["edge/v-v/weight"].any()
    assert np.abs(fit.model.bias("v") - np.log(means / (1 - means))).max() < 1e-6


@pytest.mark.parametrize("kind", ["bernoulli", "spin", ("categorical", 3)])
def test_fits_are_kept_in_files(kind: Any, tmp_path: Any) -> None:
    """Also of rows that are all alike; and log Z by annealing from their means is the exact one."""
    model = boltz.boltzmann(4, units=kind)
    rows = {"bernoulli": SPINS > 0, "spin": SPINS}[kind] if isinstance(kind, str) else CODES
    fit, alike = boltz.fit_pairwise(model, rows), boltz.fit_pairwise(model, np.repeat(rows[:1], 60, axis=0))
    for machine in (alike.model, fit.model):
        machine.save(tmp_path / "fit.safetensors")
        found = boltz.load(tmp_path / "fit.safetensors")
        assert (found.arena == machine.arena).all() and (found.rates["v"] == machine.rates["v"]).all()
    log_z, exact = boltz.ais(fit.model, chains=200, betas=200), boltz.exact_log_z(fit.model)
    assert abs(log_z.value - exact.value) < 5 * log_z.standard_error + 1e-4


def test_rates_are_kept_off_the_ends() -> None:
    """Catches means of many rows that single precision rounds to an end, which no file may have."""
    from boltz.training.pairwise import _within

    for kind, low in (("bernoulli", 0), ("spin", -1)):
        rate = _within(boltz.boltzmann(2, units=kind).unit_type("v"), np.array([low, 1], np.float32))
        assert low < rate[0] < low + 1e-6 and 1 - 1e-6 < rate[1] < 1


@pytest.mark.parametrize(
    ("model", "x", "given", "said"),
    [
        (
            boltz.rbm(4, 2),
            SPINS,
            {},
            "model must have one visible layer with couplings within it and no other, got",
        ),
        (boltz.boltzmann(4, 2), SPINS, {}, "model must have one visible layer with couplings within it and no other"),
        (boltz.sbn([4, 2]), SPINS, {}, "model must be a BoltzmannMachine, got HelmholtzMachine"),
        (ISING, SPINS[:, :3], {}, "x must have shape (any, 4)"),
        (ISING, np.abs(SPINS) - 1, {}, "x must hold states of spin units, -1 and 1"),
        (boltz.boltzmann(4), np.full((3, 4), 0.5), {}, "x must hold states of bernoulli units, 0 and 1"),
        (ISING, np.where(SPINS > 0, np.nan, SPINS), {}, "x must be finite"),
        (ISING, SPINS, {"l2": -1.0}, "l2 must be a finite number"),
        (ISING, SPINS, {"l2_fields": np.nan}, "l2_fields must be a finite number"),
        (ISING, SPINS, {"l1": -0.1}, "l1 must be a finite number"),
        (ISING, SPINS, {"weights": np.zeros(50)}, "weights must be at least 0 and not all 0"),
        (ISING, SPINS, {"weights": np.ones(49)}, "weights must have shape (50)"),
        (ISING, SPINS, {"tolerance": -1.0}, "tolerance must be a finite number"),
        (ISING, SPINS, {"iterations": 0}, "iterations must be a whole number of at least 1"),
        (ISING, SPINS, {"progress": 3}, "progress must be True, a function"),
    ],
)
def test_bad_input_is_refused(model: Any, x: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(boltz.InputError) as caught:
        boltz.fit_pairwise(model, x, **given)
    assert str(caught.value).startswith(said), str(caught.value)
