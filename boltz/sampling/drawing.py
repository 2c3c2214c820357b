"""How each class of machine is drawn: the table of sampling. A further class of machine is one row more in DRAWING."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from boltz.models.blueprint import row_of
from boltz.models.boltzmann import BoltzmannMachine, State
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.rng import Key
from boltz.sampling import ancestral, gibbs
from boltz.sampling.clamped import Chains, gibbs_starter
from boltz.sampling.evidence import Evidence
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import FIXED, solve
from boltz.sampling.metropolis import metropolis_chains
from boltz.sampling.passes import passed_down
from boltz.sampling.states import States
from boltz.units.states import as_long_as

Array = NDArray[Any]
M = TypeVar("M")
WANDER = 5  # a fifth as many sweeps again that accept every proposal come first


@dataclass(frozen=True)
class Drawing(Generic[M]):
    """How machines of one class are drawn.

    states(machine, chains, sweeps, seed, start, data): as boltz.sample, sweeps None being the default.
    visible_means(machine, state): means (rows, columns) of the visible units given the layers in state.
    decoded(machine, state): the same given one hidden layer.
    shown(machine, layer, state): what a picture shows of a hidden layer (rows, units), and its name in words.
    clamped(machine, evidence, sweeps, key): what makes the chains of a block of rows with their known units clamped.
    """

    states: Callable[[M, Any, Any, Any, Any, Any], States]
    visible_means: Callable[[M, State], Array]
    decoded: Callable[[M, State], Array]
    shown: Callable[[M, str, State], tuple[Array, str]]
    clamped: Callable[[M, Evidence, int, Key], Callable[[slice], Chains]]


def _gibbs_states(machine: BoltzmannMachine, chains: Any, sweeps: Any, seed: Any, start: Any, data: Any) -> States:
    return gibbs.sample(machine, chains, ancestral.SWEEPS if sweeps is None else sweeps, seed, start, data)


def _means_above(machine: BoltzmannMachine, state: State) -> Array:
    found = {}
    for view in machine.graph.views:
        kind = machine.unit_type(view)
        kind = as_long_as(kind, state[view]) if view in state else kind
        found[view] = kind.mean(machine.field(view, state))
    return machine.rows(found)


def _solved(machine: BoltzmannMachine, given: State) -> Array:
    return machine.rows(solve(machine, given, FIXED, Scratch(machine.arena)))


def _hidden_means(machine: BoltzmannMachine, layer: str, state: State) -> tuple[Array, str]:
    return machine.unit_type(layer).mean(machine.field(layer, state)), "means"


def _from_lowest(machine: HelmholtzMachine, state: State) -> Array:
    """Visible means given the lowest hidden layer in state."""
    names = [layer.name for layer in machine.layers]
    lowest = min((name for name in state if name != machine.visible), key=names.index)
    return passed_down(machine, lowest, state[lowest])


def _hidden_states(_: HelmholtzMachine, layer: str, state: State) -> tuple[Array, str]:
    return state[layer], "states"


def _metropolis_starter(
    machine: HelmholtzMachine, evidence: Evidence, sweeps: int, key: Key
) -> Callable[[slice], Chains]:
    return lambda block: metropolis_chains(machine, evidence.part(block), key, block.start, sweeps // WANDER)


DRAWING: dict[type[Any], Drawing[Any]] = {
    BoltzmannMachine: Drawing[BoltzmannMachine](_gibbs_states, _means_above, _solved, _hidden_means, gibbs_starter),
    HelmholtzMachine: Drawing[HelmholtzMachine](
        ancestral.from_prior, _from_lowest, _from_lowest, _hidden_states, _metropolis_starter
    ),
}


def drawing_of(model: Model) -> Drawing[Any]:
    """How a machine is drawn."""
    return row_of(DRAWING, model)
