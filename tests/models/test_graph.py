"""Catches a layer graph with wrong names, neighbours or colour classes, or one that it should refuse."""

from __future__ import annotations

import pytest
from oracles import enumeration
from support.machines import SMALL, machine_of

import boltz
from boltz.models import Graph, Layer
from boltz.models.graph import Edge


def layers(*names: str) -> tuple[Layer, ...]:
    return tuple(Layer(name, i + 1) for i, name in enumerate(names))


def edges(*pairs: str) -> tuple[Edge, ...]:
    return tuple(Edge(*pair.split("-")) for pair in pairs)


def test_a_chain_names_its_layers_and_joins_neighbours() -> None:
    graph = Graph.chain([3, 4, 5, 6])
    assert graph.units == {"v": 3, "h1": 4, "h2": 5, "h3": 6} and graph.visible == "v"
    assert graph.hidden == ("h1", "h2", "h3") and graph.binary
    assert [edge.key for edge in graph.edges] == ["edge/v-h1/weight", "edge/h1-h2/weight", "edge/h2-h3/weight"]
    assert graph.colours == (("v", "h2"), ("h1", "h3"))
    assert graph == Graph.chain([3, 4, 5, 6]) != Graph.chain([3, 4, 5])


@pytest.mark.parametrize("name", SMALL)
def test_colours_and_neighbours_agree_with_the_oracle(name: str) -> None:
    table = SMALL[name]
    graph = machine_of(table).graph
    assert graph.colours == enumeration.colours(table)
    for layer, around in graph.neighbours.items():
        wanted = {(a, b, True) for a, b in table.edges if a == layer} | {
            (b, a, False) for a, b in table.edges if b == layer
        }
        found = {(layer, other, True) if lower else (layer, other, False) for _, other, lower in around}
        assert found == wanted and len(around) == len(wanted)
        assert all(key == f"edge/{layer}-{o}/weight" if low else f"edge/{o}-{layer}/weight" for key, o, low in around)


def test_two_machines_side_by_side_have_two_colours() -> None:
    graph = Graph(layers("v", "a", "b", "c"), edges("v-b", "c-a"))
    assert graph.colours == (("v", "a"), ("b", "c"))
    assert all((edge.lower in graph.colours[0]) != (edge.upper in graph.colours[0]) for edge in graph.edges)


@pytest.mark.parametrize(
    ("given", "pairs", "message"),
    [
        (layers("v", "h", "v"), edges("v-h"), "different names"),
        (
            (Layer("v", 1), Layer("h", 1, "gauss")),
            edges("v-h"),
            "units must be of kind bernoulli, spin, gaussian, .*, got 'gauss'",
        ),
        (layers("v", "h"), edges("v-q"), "layer"),
        (layers("v", "h"), edges("v-h", "h-q"), "edge h-q names a layer"),
        (layers("v", "h"), edges("v-h", "v-h"), "different pairs"),
        (layers("v", "h"), edges("v-h", "h-v"), "different pairs"),
        (layers("v"), (), "layer v must have an edge"),
        (layers("v", "h", "lone"), edges("v-h"), "layer lone must have an edge"),
        ((), (), "layers must hold"),
        ((Layer("v", 0), Layer("h", 1)), edges("v-h"), "layer v must have at least one unit, got 0"),
    ],
)
def test_a_graph_that_no_machine_can_have_is_refused(
    given: tuple[Layer, ...], pairs: tuple[Edge, ...], message: str
) -> None:
    with pytest.raises(boltz.InputError, match=message):
        Graph(given, pairs)
