"""Catches machines on any graph whose energies, sweeps, weights, gradients or files do not agree with plain sums."""

from __future__ import annotations

import numpy as np
import pytest
from checks import any_graph

import boltz
from boltz.errors import InputError

EVERY = pytest.mark.parametrize("name", any_graph.SHAPES)
HIDDEN = [n for n, (layers, _, views) in any_graph.SHAPES.items() if len(layers) > max(len(views), 1)]


@EVERY
def test_energies(name: str) -> None:
    any_graph.check_energies(name)


@EVERY
def test_exact_log_z(name: str) -> None:
    any_graph.check_exact_log_z(name, seeds=5)


@EVERY
def test_log_marginals(name: str) -> None:
    any_graph.check_log_marginals(name)


@EVERY
def test_transitions_and_their_reversals(name: str) -> None:
    any_graph.check_transitions(name)


@EVERY
def test_annealing_up_and_down(name: str) -> None:
    any_graph.check_annealing(name)


@pytest.mark.parametrize("name", HIDDEN)
def test_mean_field(name: str) -> None:
    any_graph.check_mean_field(name)


@pytest.mark.parametrize("name", ["visible", "both", "lateral", "potts", "views", "uneven", "triangle", "sparse"])
def test_completion(name: str) -> None:
    any_graph.check_completion(name)


@pytest.mark.parametrize("name", ["uneven", "tied"])
def test_known_units_are_back_before_others_hear_them(name: str) -> None:
    any_graph.check_completion(name, scale=1.5)


@EVERY
def test_gradient(name: str) -> None:
    any_graph.check_gradient(name, centred=False)


@EVERY
def test_centred_gradient(name: str) -> None:
    any_graph.check_gradient(name)


@EVERY
def test_annealed_densities(name: str) -> None:
    any_graph.check_densities(name)


@pytest.mark.parametrize("name", ["spins", "both", "triangle", "sparse potts", "views"])
def test_replica_exchange(name: str) -> None:
    any_graph.check_exchange(name)


def test_a_view_given_another() -> None:
    any_graph.check_given_view()


def test_models_from_arrays() -> None:
    any_graph.check_arrays()


@EVERY
def test_files(name: str) -> None:
    any_graph.check_files(name)


J = np.array([[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boltz.ising(np.ones((2, 3))), "as many rows as columns"),
        (lambda: boltz.ising(np.triu(np.ones((3, 3)), 1)), "give couplings \\+ couplings.T"),
        (lambda: boltz.ising(np.ones((3, 3))), "0 on the diagonal"),
        (lambda: boltz.ising(J, [1.0, 2.0, 3.0]), "fields must have shape"),
        (lambda: boltz.ising(J * np.nan), "finite"),
        (lambda: boltz.potts(J), "states"),
        (lambda: boltz.potts(np.ones((2, 2, 3, 3))), "0 between the 3 states of one site"),
        (lambda: boltz.potts(boltz.lattice((4, 4)), states=2), "for couplings between equal states give"),
        (lambda: boltz.ising(1e300 * J, dtype="float32"), "range of float32"),
        (lambda: boltz.multimodal({"b": 3, "a": (4, "counts")}, {"a": [2], "b": [2]}, 2), "the only one are counts"),
        (lambda: boltz.multimodal({"joint": 5, "text": 4}, {"joint": [2], "text": [2]}, 2), "name of a hidden layer"),
        (
            lambda: boltz.run_chains(boltz.rbm(3, 2, units="binomial:3"), 4, 5, beta=0.3),
            "beta must be 1 for layer v, whose units are binomial:3",
        ),
        (
            lambda: boltz.complete(boltz.multimodal({"a": 2, "b": 2}, {"a": [2], "b": [2]}, 2), {"a": 5}),
            "must be an array \\(rows, units\\), got 5",
        ),
        (
            lambda: boltz.complete(
                boltz.multimodal({"a": 2, "b": 2}, {"a": [2], "b": [2]}, 2), {"a": J}, mask={"b": J}
            ),
            "mask must hold arrays by view, some of a, got b",
        ),
        (lambda: boltz.ising(J, [1e50, 0], dtype="float32"), "range of float32"),
        (lambda: boltz.lattice(()), "shape must name at least one axis"),
        (lambda: boltz.lattice((3, 3), (1.0,)), "one for each of the 2 axes"),
        (lambda: boltz.boltzmann(3, lateral="hidden"), "lateral must be visible or both"),
        (lambda: boltz.boltzmann(3, 2, units="gaussian"), "to have couplings within it, got gaussian"),
        (lambda: boltz.graph({"v": 3}, [("v", "h")]), "edges must join two layers"),
        (lambda: boltz.graph({"v": 3, "h": 2}, [("v", "h"), ("v", "h")]), "different pairs"),
        (lambda: boltz.graph({"v": 3, "h": 2}, {("v", "h"): np.ones((3, 3))}), "must have shape"),
        (lambda: boltz.graph({"v": 3, "v/h": 2}, [("v", "v")]), "names of letters"),
        (lambda: boltz.graph({"v": 3}, [("v", "v")], "w"), "visible must name"),
        (lambda: boltz.graph({"v": 3}, {("v", "v"): np.triu(np.ones((3, 3)), 1)}), "must be symmetric"),
        (lambda: boltz.multimodal({"a": 3}, {"a": [2]}, 2), "at least two kinds of data"),
        (lambda: boltz.multimodal({"a": 3, "b": 2}, {"a": [2]}, 2), "pathways must name the views"),
        (lambda: boltz.multimodal({"a": 3, "b": 2}, {"a": [2], "b": [2, 2]}, 2), "as many hidden layers each"),
        (lambda: boltz.grow(boltz.boltzmann(3, 2), [4]), "but it has couplings within layer v"),
        (lambda: boltz.raise_likelihood(boltz.boltzmann(3, 2), np.ones((2, 3))), "full edges between layers"),
        (lambda: boltz.features(boltz.ising(J), np.ones((2, 2))), "hidden units to have features"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(call, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()


def test_the_entry_of_a_run_folder_keeps_the_edges() -> None:
    """Catches graphs that are no chain told as one: a star would come back as a chain of as many layers."""
    star = boltz.graph({"v": 3, "h1": 2, "h2": 2}, [("v", "h1"), ("v", "h2")]).graph
    assert star.kind == "bm" and star.entry["edges"] == [["v", "h1"], ["v", "h2"]]
    named = boltz.graph({"pixels": 3, "low": 2, "top": 2}, [("pixels", "low"), ("low", "top")]).graph
    assert named.kind == "dbm" and [layer[0] for layer in named.entry["layers"]] == ["pixels", "low", "top"]
    assert boltz.dbm([3, 2, 2]).graph.entry == {"units": [3, 2, 2], "kind": "bernoulli"}
