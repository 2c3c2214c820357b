"""Gibbs chains that keep traces: the energy, or any function of the state, every so many sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host
from boltz.errors import InputError, NumericalError
from boltz.models.boltzmann import BoltzmannMachine, State, affordable_chains, checked_model
from boltz.models.files import states_outside
from boltz.parallel import blocks, shares, workers
from boltz.sampling.gibbs import Walk, sampling_key, started
from boltz.sampling.states import States, warn_of_same_numbers
from boltz.units import Units
from boltz.units.states import states_of

Array = NDArray[Any]
Floats = NDArray[np.float64]
Function = Callable[[dict[str, Array]], Any]
LARGEST_BETA, MOST_BETAS = 1e6, 10_000


@dataclass(frozen=True, eq=False, repr=False)
class ChainRun:
    """Chains that were run, and what was seen of them.

    traces holds arrays (records, chains) by name; states the last ones, layer -> (chains, units). Where beta has
    several values, both have a leading axis of temperatures. The k-th record was made after k * every sweeps.
    """

    traces: Mapping[str, Floats]
    states: States
    beta: float | tuple[float, ...]
    sweeps: int
    every: int

    @property
    def trace(self) -> Floats:
        """The only trace; raises InputError where there are several."""
        if len(self.traces) != 1:
            raise InputError(f"trace needs a single trace, got {checks.few(self.traces)}: take one of .traces.")
        return next(iter(self.traces.values()))

    def __repr__(self) -> str:
        *_, records, chains = next(iter(self.traces.values())).shape
        beta = f"{self.beta:g}" if isinstance(self.beta, float) else f"{len(self.beta)} values"
        names = ", ".join(str(name) for name in list(self.traces)[:3]) + ", ..." * (len(self.traces) > 3)
        return f"ChainRun({names}: {records} records of {chains} chains, {self.sweeps} sweeps, beta {beta})"


def run_chains(
    model: BoltzmannMachine,
    sweeps: int,
    chains: int = 100,
    every: int = 1,
    record: Function | Mapping[str, Function] | None = None,
    beta: float | Sequence[float] = 1.0,
    start: State | str | None = None,
    seed: int = 0,
    data: Any = None,
) -> ChainRun:
    """Run block Gibbs chains for so many sweeps, and record them after every so many of these.

    record: None for the energy in nats, trace "energy"; a function record(state) -> (chains,), trace "record"; or
    several functions by name. state maps layers to arrays (chains, units), which the function may keep.

    beta: an inverse temperature, or several. The chains sample p(x) = exp(-beta E(x)) / Z(beta) over all units, where E
    is the energy of the machine: all weights and biases are multiplied by beta. 0 makes all states equally likely. The
    recorded energy is E itself, not beta E. Chains at different temperatures are independent.

    start, data and the random numbers are those of boltz.sample: with beta = 1 the last states are the same, bit for
    bit, whatever is recorded. States given as start serve all temperatures, or have a leading axis of temperatures.
    boltz.integrated_time, split_rhat and chain_ess take the run itself where it has one trace at one temperature, else
    a trace (records, chains) with axis=0. Raises InputError, and NumericalError for an overflow.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    functions, betas = _functions(record), _betas(beta)
    sweeps = checks.integer(sweeps, "sweeps", 1, checks.MOST_STEPS)
    every = checks.integer(every, "every", 1, sweeps)
    key, count = sampling_key(seed), len(betas)
    chains = checks.affordable(affordable_chains(model, chains), "chains", _bytes(model, count))
    checks.affordable(sweeps // every, "sweeps // every", 8 * chains * count * len(functions))
    warn_of_same_numbers(start, key, 3)
    traces, states = [], []
    for i, b in enumerate(betas):
        walk = started(_at(model, b), chains, key, _start_at(start, i, count), data, i * chains)
        traces.append(_recorded(model, walk, sweeps, every, functions))
        states.append(states_outside(model, {n: host(x) for n, x in walk.state.items()}))
    if isinstance(beta, int | float | np.number):
        return ChainRun(traces[0], States(states[0], key), betas[0], sweeps, every)
    together = {name: np.stack([one[name] for one in traces]) for name in functions}
    last = States({n: np.stack([one[n] for one in states]) for n in model.units}, key)
    return ChainRun(together, last, betas, sweeps, every)


def _functions(record: Any) -> dict[str, Function | None]:
    """What is recorded, by name; None stands for the energy. Raises InputError."""
    if record is None:
        return {"energy": None}
    if callable(record):
        record = {"record": record}
    if not isinstance(record, Mapping) or not record or not all(isinstance(name, str) for name in record):
        raise InputError(
            f"record must be a function, a dict of functions by name, or None, got {checks.brief(record)}."
        )
    for name, function in record.items():
        what = "record" if name == "record" else f"record[{checks.brief(name)}]"
        if function is None:
            raise InputError(f"{what} must be a function, got None: model.energy records the energy.")
        checks.callback(function, what, 1)
    return dict(record)


def _betas(beta: Any) -> tuple[float, ...]:
    """The inverse temperatures, at least one; raises InputError."""
    if isinstance(beta, list | tuple) or (isinstance(beta, np.ndarray) and beta.ndim > 0):
        listed = checks.sequence(beta, "beta", MOST_BETAS)
        if not listed:
            raise InputError("beta must hold at least one inverse temperature, got none.")
        return tuple(checks.number(b, f"beta[{i}]", 0.0, LARGEST_BETA) for i, b in enumerate(listed))
    return (checks.number(beta, "beta", 0.0, LARGEST_BETA),)


def _bytes(model: BoltzmannMachine, temperatures: int) -> int:
    """Memory of one chain at all temperatures, with room for as much again."""
    return 2 * model.dtype.itemsize * sum(model.units.values()) * temperatures


def _at(model: BoltzmannMachine, beta: float) -> BoltzmannMachine:
    """The machine of exp(-beta E): all parameters times beta; raises InputError for units with base energies."""
    if beta == 1:
        return model
    ranges = [layer for layer in model.layers if _has_own_energy(model.unit_type(layer.name))]
    if ranges:
        raise InputError(f"beta must be 1 for layer {ranges[0].name}, whose units are {ranges[0].kind}, got {beta:g}.")
    with np.errstate(over="ignore"):  # states that are not finite are told
        return replace(model, arena=model.arena * model.dtype.type(beta))


def _has_own_energy(kind: Units) -> bool:
    """Whether states of a unit differ in energy without any field, which no inverse temperature of ours scales."""
    states = states_of(kind)
    return states is None or len(np.unique(kind.base_energy(states))) > 1


def _start_at(start: Any, number: int, temperatures: int) -> Any:
    """The start at one of the temperatures: states with a leading axis of temperatures hold one for each."""
    if not isinstance(start, Mapping) or not all(
        getattr(x, "ndim", 0) == 3 and len(x) == temperatures for x in start.values()
    ):
        return start
    return {n: x[number] for n, x in start.items()}


def _recorded(
    model: BoltzmannMachine, walk: Walk, sweeps: int, every: int, functions: Mapping[str, Function | None]
) -> dict[str, Floats]:
    """Carry chains over all sweeps; traces (records, chains) by name, energies being those of model."""
    chains, records = len(walk.state[model.visible]), sweeps // every
    traces = {name: np.empty((records, chains)) for name in functions}
    parts = shares(chains, model.arena) if model.graph.layered else blocks(chains)

    energies = traces["energy"] if None in functions.values() else None

    def work(steps: range, energy: Array | None, block: slice) -> None:
        mine = walk.advance(steps, block)
        if energy is not None:
            energy[block] = host(model.full_energy(mine))

    with workers(model.arena) as pool:
        for k in range(records):
            energy = None if energies is None else energies[k]
            pool.map(partial(work, range(k * every, (k + 1) * every), energy), parts)
            for name, function in functions.items():
                if function is not None:
                    traces[name][k] = _value(function, name, states_outside(model, walk.state), chains)
        pool.map(partial(work, range(records * every, sweeps), None), parts)
    walk.check()
    if energies is not None and not np.isfinite(energies).all():
        raise NumericalError("The energies of the chains are not finite: the weights are too large for their type.")
    return traces


def _value(function: Function, name: str, state: Mapping[str, Array], chains: int) -> Array:
    """What a function makes of the states of the chains, of which it gets copies; raises InputError."""
    found = function({n: host(x).copy() for n, x in state.items()})
    return checks.numbers(found, f"the value of record {name!r:.40}", (chains,))
