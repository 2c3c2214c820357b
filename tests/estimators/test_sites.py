"""Mutation scores and couplings: would catch wrong numbers (tests/checks/sites.py), and bad input that passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import sites as checks

import boltz

CODES = np.array([0, 2, 1, 1])
POTTS = boltz.rbm(4, 3, units=("categorical", 3), hidden_units="spin", initial_scale=0.7, seed=5)
SPINS = boltz.rbm(4, 3, units="spin", hidden_units="gaussian", initial_scale=0.7, seed=6)


def test_mutation_scores() -> None:
    checks.check_mutation_scores()


def test_couplings() -> None:
    checks.check_couplings()


def test_couplings_by_real_hidden_units() -> None:
    checks.check_couplings_by_real_hidden_units()


def test_couplings_of_an_ising_model() -> None:
    checks.check_couplings_of_an_ising_model()


def test_weights_beyond_reach() -> None:
    checks.check_weights_beyond_reach()


def test_scores_of_pairs() -> None:
    checks.check_scores_of_pairs()


def test_planted_pairs() -> None:
    checks.check_planted_pairs()


@pytest.mark.parametrize(
    "sequence",
    [CODES.tolist(), CODES.astype(float), CODES[None], np.eye(3)[CODES], np.eye(3)[CODES].reshape(-1), "GATT"],
    ids=["list", "floats", "a row", "one-hot", "one-hot in a line", "letters"],
)
def test_a_sequence_is_read_in_any_form(sequence: Any) -> None:
    """Catches letters that are counted from another end, and one-hot columns taken for states."""
    wanted = boltz.mutation_scores(POTTS, CODES)
    found = boltz.mutation_scores(POTTS, sequence, "GTA" if isinstance(sequence, str) else None)
    assert wanted.shape == (4, 3) and np.ptp(wanted) > 0.1 and (found == wanted).all()


def test_letters_are_states_of_spins() -> None:
    found = boltz.mutation_scores(SPINS, "-++-", "-+")
    assert (found == boltz.mutation_scores(SPINS, [-1, 1, 1, -1])).all() and (found[:, 1][[1, 2]] == 0).all()


@pytest.mark.parametrize(
    ("sequence", "alphabet", "said"),
    [
        ([0, 1, 2], None, "sequence must hold a state of each site, (4,), or one-hot columns (4, 3), got shape (3,)."),
        ([0, 1, 2, 3], None, "sequence must hold whole numbers from 0 to 2"),
        (np.full((4, 3), 1 / 3), None, "sequence must hold"),
        ([[0, 1], [0]], None, "sequence must be an array of numbers, got list."),
        ("GATC", "GAT", "sequence must hold 4 letters of the alphabet 'GAT', got the letter 'C'."),
        ("GAT", "GAT", "sequence must hold 4 letters of the alphabet 'GAT', got 3 letters."),
        ("GATT", None, "alphabet must be text with a letter of its own for each of 3 states, got None."),
        ("GATT", "GAA", "alphabet must be text with a letter of its own for each of 3 states, got 'GAA'."),
        (CODES, "GAT", "alphabet goes with a sequence of letters, got an array"),
        (None, None, "sequence must hold a state of each site"),
    ],
)
def test_what_is_no_sequence_is_refused(sequence: Any, alphabet: Any, said: str) -> None:
    with pytest.raises(boltz.InputError) as caught:
        boltz.mutation_scores(POTTS, sequence, alphabet)
    assert str(caught.value).startswith(said), str(caught.value)


def test_grey_rows_have_no_states() -> None:
    """Catches probabilities of binary units that are taken for states of them."""
    with pytest.raises(boltz.InputError, match=r"^sequence must hold states of bernoulli units, 0 and 1"):
        boltz.mutation_scores(boltz.rbm(3, 2), [0.5, 0, 1])
    with pytest.raises(boltz.InputError, match=r"^x must hold states of bernoulli units, 0 and 1"):
        boltz.couplings(boltz.rbm(3, 2), [[0.5, 0, 1]])


def test_machines_without_such_numbers_are_refused() -> None:
    deep, real = boltz.dbm([4, 15, 2]), boltz.rbm(4, 3, units="gaussian", hidden_units="spin")
    with pytest.raises(boltz.InputError, match=r"at most 14 units to enumerate in h1, got 15"):
        boltz.mutation_scores(deep, [0, 1, 0, 1])
    with pytest.raises(boltz.InputError, match=r"^model must be an RBM"):
        boltz.couplings(deep, [[0, 1, 0, 1]])
    for call in (boltz.mutation_scores, boltz.couplings):
        with pytest.raises(boltz.InputError, match=r"^model must have visible units with states that can be counted"):
            call(real, np.zeros((1, 4)))
    wide = boltz.rbm(4, 2, hidden_units=("categorical", 3))
    with pytest.raises(boltz.InputError, match=r"^model must have hidden units of a single column"):
        boltz.couplings(wide, [[0, 1, 0, 1]])
    with pytest.raises(boltz.InputError, match=r"^gap must be a whole number of at least 0 and at most 2"):
        boltz.couplings(POTTS, CODES[None], 3)


def test_nothing_depends_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few numbers at a time, so that hidden units go in several parts; catches parts that are left out or shared."""
    from boltz.estimators import couplings, mutations

    rows, before = np.random.default_rng(8).integers(0, 3, (9, 4)), boltz.threads()
    wanted, scores = boltz.couplings(POTTS, rows), boltz.mutation_scores(POTTS, CODES)
    monkeypatch.setattr(couplings, "TOGETHER", 1)
    monkeypatch.setattr(mutations, "BLOCK", 9)
    try:
        for count in (1, 2):
            boltz.threads(count)
            np.testing.assert_allclose(boltz.couplings(POTTS, rows).couplings, wanted.couplings, rtol=0, atol=1e-6)
            assert np.abs(boltz.mutation_scores(POTTS, CODES) - scores).max() < 1e-12
    finally:
        boltz.threads(before)


def test_pictures() -> None:
    """The numbers that are drawn are those that were given, and letters stand beside their states."""
    found = boltz.couplings(POTTS, CODES[None])
    (axes, _) = boltz.plot_couplings(found).axes
    assert (np.asarray(axes.images[0].get_array()) == found.scores).all()
    scores = boltz.mutation_scores(POTTS, CODES)
    (axes, _) = boltz.plot_mutations(scores, "GAT").axes
    assert (np.asarray(axes.images[0].get_array()) == scores.T).all()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["G", "A", "T"]
    assert repr(found) == "Couplings(4 sites of 3 states, 6 pairs)"
    with pytest.raises(boltz.InputError, match=r"^found must be a Couplings"):
        boltz.plot_couplings(found.scores)  # type: ignore[arg-type]
    with pytest.raises(boltz.InputError, match=r"^alphabet must be text with a letter for each of 3 states"):
        boltz.plot_mutations(scores, "GA")
    with pytest.raises(boltz.InputError, match=r"^scores must"):
        boltz.plot_mutations(np.zeros((0, 3)))
