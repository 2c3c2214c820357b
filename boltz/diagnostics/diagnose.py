"""`diagnose`: findings on the chains and the units of a trained machine, in words with a verdict.

Half of the chains start at the particles of the run, or at data rows, and half where every state is equally likely;
those of a machine that mixes forget which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import beside, host
from boltz.diagnostics import mixing
from boltz.diagnostics import units as machine_health
from boltz.diagnostics.active_units import active_units
from boltz.diagnostics.findings import Diagnosis, Finding
from boltz.diagnostics.traces import Recording, record
from boltz.diagnostics.units import Rates
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine, State, checked_model
from boltz.models.files import Model, checked_machine, visible_rows
from boltz.models.graph import Edge, Graph
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.ancestral import descend
from boltz.sampling.gibbs import check_states, mixed_start
from boltz.sampling.meanfield import MeanField, variational_free_energy
from boltz.sampling.recognition import sampled
from boltz.sampling.sample import sample
from boltz.units.states import fair, has_two, largest_state, own_lengths, two_states

Array = NDArray[Any]
Floats = NDArray[np.float64]
CHAINS, SWEEPS, LEAST_SWEEPS, SAMPLES = 50, 1000, 20, 1000
PARTICLES, MODES = "the particles of the run", "the modes of mean field and the biases"
NEED_ROWS = (
    "free energy of particles",
    "visible activity",
    "dead units",
    "duplicated units",
    "constant pixels",
    "largest field",
)  # findings on machines with an RBM that rest on data


@dataclass(frozen=True)
class Course:
    """How the chains are run: sweeps, random key, sweeps a training step (None if not known), and given particles."""

    sweeps: int
    key: Key
    k: int | None
    particles: State | None


def diagnose(
    model: Model,
    x: Any,
    particles: State | None = None,
    sweeps: int = SWEEPS,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """What is wrong with a trained machine, judged on visible rows x (rows, units) and on 100 Gibbs chains.

    Rows of a machine of several visible layers are arrays by view, or columns side by side. particles are states of all
    layers (chains, units) that the chains start from, such as the persistent chains of its training, for a deep belief
    net those of its RBM; without them the start is at rows of x. settings are those of its training, by name. Machines
    without an RBM have no chains: only their hidden units are judged. Raises InputError, and NumericalError for an
    overflow.
    """
    model = checked_machine(model, any_units=True, any_graph=True, any_factors=True)
    sweeps = checks.integer(sweeps, "sweeps", LEAST_SWEEPS, 10**7)
    key = Key.from_seed(seed).derive("diagnose")
    rows, x = x, host(visible_rows(model, x))
    undirected, directed = model.undirected, model.directed
    given = None if particles is None else _particles(undirected, particles)
    course = Course(sweeps, key, _sweeps_a_step(model, settings), given)
    if directed is None:
        return _boltzmann(checked_model(model, any_units=True, any_graph=True), x, course)
    if not model.hidden_layers:
        return Diagnosis(())
    active = machine_health.inactive_units(active_units(model, rows, seed), model.units)
    if undirected is None and not any(layer.kind == "bernoulli" for layer in directed.structure.latent):
        return Diagnosis((active,))
    states = _recognised(directed, x, key)
    if undirected is None:
        rates = _rates(directed, states, sample(model, SAMPLES, seed=seed))
        return Diagnosis((machine_health.dead_units(rates), active))
    return _belief_net(directed, states, course).extended(active)


def diagnose_chains(
    model: Model,
    particles: State | None = None,
    sweeps: int = SWEEPS,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """What diagnose finds of a machine with an RBM without any data: how its chains mix, and how its weights grew.

    Without particles the start is that of boltz.sample, modes of mean field among it. The rest is as in diagnose.
    Raises InputError, and NumericalError for an overflow.
    """
    model = checked_machine(model, any_units=True, any_graph=True)
    if model.undirected is None:
        raise InputError("model must have chains to be diagnosed without rows, but it is a directed machine: give x.")
    sweeps = checks.integer(sweeps, "sweeps", LEAST_SWEEPS, 10**7)
    key, given = Key.from_seed(seed).derive("diagnose"), None
    if particles is not None:
        given = _of_top(model, _particles(model.undirected, particles))
    course = Course(sweeps, key, _sweeps_a_step(model, settings), given)
    machine = _top(model.directed) if model.directed is not None else checked_model(model, True, True)
    _refuse_lengths(machine)
    near = mixed_start(machine, CHAINS, key.derive("near")) if given is None else given
    name = MODES if given is None else PARTICLES
    seen = _watched(machine, {layer: x[:CHAINS] for layer, x in near.items()}, course)
    here = machine.to("cpu")
    return _mixing(seen, course, name).extended(
        machine_health.frozen_chains(seen.changes), machine_health.weight_norms(here)
    )


def _dead(machine: BoltzmannMachine, rates: Rates) -> list[Finding]:
    """The finding on dead units of layers whose units have two states, as shares of the second one; none of others."""
    shares = dict(rates)
    for layer, found in rates.items():
        if layer in machine.units and not has_two(machine.unit_type(layer)):
            del shares[layer]
        elif layer in machine.units:
            low, high = two_states(machine.unit_type(layer))
            shares[layer] = ((found[0] - low) / (high - low), (found[1] - low) / (high - low))
    return [machine_health.dead_units(shares)] if shares else []


def _refuse_lengths(machine: BoltzmannMachine) -> None:
    """Raise InputError for a machine of documents that have lengths of their own, which chains do not change."""
    if any(own_lengths(machine.unit_type(view)) for view in machine.graph.views):
        raise InputError(
            "diagnose needs documents of one length, since chains keep theirs: give model.of_length(n) and rows of n "
            "words each."
        )


def _boltzmann(
    machine: BoltzmannMachine, x: Array, course: Course, below: Callable[[Recording], Rates] | None = None
) -> Diagnosis:
    """Findings on an undirected machine with data x (rows, units) in [0, 1]; below gives rates of layers beneath it."""
    _refuse_lengths(machine)
    rows, here = _drawn(machine, x, course.key.derive("rows")), machine.to("cpu")
    free, means = _inferred(machine, rows)
    state = {n: host(part) for n, part in machine.evidence(rows).items()} | means
    near, name = _near(state, course)
    seen = _watched(machine, near, course)
    activity = {layer: found.mean(axis=0) for layer, found in seen.activity.items()}
    rates = {} if below is None else dict(below(seen))
    rates |= {n: (means[n].mean(axis=0, dtype=np.float64), activity[n]) for n in machine.graph.hidden}
    most = {view: largest_state(machine.unit_type(view)) for view in machine.graph.views}
    shown = {view: (x[:, part] / most[view], activity[view] / most[view]) for view, part in here.graph.columns.items()}
    units = (
        *_dead(machine, rates),
        *([machine_health.duplicated_units(here, means)] if means else []),
        machine_health.constant_pixels(shown),
        machine_health.frozen_chains(seen.changes),
        machine_health.largest_field(here, state),
        machine_health.weight_norms(here),
    )
    states, half = course.particles, len(seen.changes) // 2
    final = machine.rows({n: found[:half] for n, found in seen.state.items()} if states is None else states)
    both = {
        view: (state[view].mean(axis=0, dtype=np.float64) / top, seen.activity[view][:half].mean(axis=0) / top)
        for view, top in most.items()
    }
    placed = (
        mixing.energy_gap(free, _inferred(machine, final)[0], "chains" if states is None else name),
        mixing.activity_gap(both),
    )
    return _mixing(seen, course, name).extended(*placed, *units)


def _drawn(machine: BoltzmannMachine, x: Array, key: Key) -> Array:
    """Rows (rows, units) with binary visible units drawn once, since these may be given by their rates."""
    rows = x.copy()
    for i, (view, part) in enumerate(machine.graph.columns.items()):
        if machine.visible_layers[i].binary:
            mean = np.ascontiguousarray(x[:, part])
            drawn, stream = np.empty_like(mean), (key.derive(view) if i else key).stream(0)
            machine.unit_type(view).draw(mean, stream, 0, drawn)
            rows[:, part] = drawn
    return rows


def _mixing(seen: Recording, course: Course, name: str) -> Diagnosis:
    """Findings on how recorded chains mix, the first half of them from name."""
    half = seen.statistics.shape[1] // 2
    settled = 0 if course.particles is not None else course.sweeps // 2  # particles have run long; data rows have not
    mine = seen.statistics[:, :half, settled:]
    found = mixing.scores(mine)
    groups = np.stack([seen.statistics[:, :half], seen.statistics[:, half:]], axis=1)
    start, nested = mixing.start_forgotten(groups, name)
    shape = mine.shape[1:]
    findings = (
        mixing.mixing_time(found["integrated_time"], course.k, shape),
        mixing.agreement(found["split_rhat"]),
        mixing.effective_draws(found["chain_ess"], shape),
        start,
    )
    measures = {"chains": 2 * half, "sweeps": course.sweeps, "start": name, "k": course.k, **found}
    return Diagnosis(findings, {**measures, "nested_rhat": nested})


def _near(data: State, course: Course) -> tuple[State, str]:
    """Where the first half of the chains starts, and its name: the particles, or data (means of all layers)."""
    given = course.particles
    if given is not None:
        return {layer: x[:CHAINS] for layer, x in given.items()}, PARTICLES
    rows = len(next(iter(data.values())))
    chosen = np.arange(CHAINS) * max(rows // CHAINS, 1) % rows
    return {layer: x[chosen] for layer, x in data.items()}, "data"


def _watched(machine: BoltzmannMachine, near: State, course: Course) -> Recording:
    """Chains from some states or means (chains, units), and as many from independent units.

    The latter take all states alike, so that they may find modes far from the data.
    """
    start = {}
    for layer in machine.graph.sides[0]:
        here, kind = host(near[layer]), machine.unit_type(layer)
        mean = np.concatenate([here, host(fair(kind, near[layer]))])  # a state as mean is drawn so
        start[layer] = np.empty_like(mean)
        kind.draw(mean, course.key.derive("start", layer).stream(0), 0, start[layer])
    return record(machine, start, course.sweeps, course.key.derive("chains"))


def _inferred(machine: BoltzmannMachine, rows: Array) -> tuple[Array, dict[str, Array]]:
    """Free energies (rows,), variational ones where layers stack, and posterior means, layer -> (rows, units)."""
    x = beside(rows, machine.arena)
    with workers(x) as pool:
        slices = blocks(len(x), like=x)
        parts = pool.map(lambda part: variational_free_energy(machine, x[part], MeanField()), slices)
    means = {n: np.concatenate([host(mean[n]) for _, mean in parts]) for n in machine.graph.hidden}
    return np.concatenate([host(free) for free, _ in parts]), means


def _belief_net(model: HelmholtzMachine, states: State, course: Course) -> Diagnosis:
    """Findings on the RBM on top, its data being recognised states (rows, units), and on the layers below it."""
    machine, lower = _top(model), model.layers[-2]
    if course.particles is not None:
        course = replace(course, particles=_of_top(model, course.particles))

    def below(seen: Recording) -> Rates:
        samples = _fallen(model, seen.state[lower.name], course.key)
        return _rates(model, states, samples | {lower.name: seen.activity[lower.name]})

    return _boltzmann(machine, states[lower.name], course, below)


def _top(model: HelmholtzMachine) -> BoltzmannMachine:
    """The RBM on top, its layers called as in the machine."""
    top, (lower, upper) = model.prior_machine, model.layers[-2:]
    assert top is not None
    return BoltzmannMachine(Graph((lower, upper), (Edge(lower.name, upper.name),)), top.arena)


def _of_top(model: Model, particles: Mapping[str, Array]) -> dict[str, Array]:
    """Particles under the names of the layers of the machine, which for a deep belief net are those on top."""
    if model.directed is None:
        return dict(particles)
    names = {"v": model.layers[-2].name, "h1": model.layers[-1].name}
    return {names[layer]: x for layer, x in particles.items()}


def _fallen(model: HelmholtzMachine, top: Array, key: Key) -> dict[str, Array]:
    """States of the drawn hidden layers under states (chains, units) of the topmost of them."""
    tape, chains = Tape(model.arena), len(top)
    tape.get(f"state/{model.structure.latent[-1].name}", *top.shape)[...] = beside(top, model.arena)
    with workers():
        descend(model, tape.whole(chains), key.derive("fallen"), 0)
    return {n.name: host(tape.get(f"state/{n.name}", chains, n.units)) for n in model.structure.latent}


def _rates(model: HelmholtzMachine, states: State, samples: State) -> dict[str, tuple[Floats, Floats]]:
    """Mean activities (units,) of the binary hidden layers on data and in samples."""
    binary = [layer.name for layer in model.structure.latent if layer.kind == "bernoulli"]
    return {n: (states[n].mean(axis=0, dtype=np.float64), samples[n].mean(axis=0, dtype=np.float64)) for n in binary}


def _recognised(model: HelmholtzMachine, x: Array, key: Key) -> dict[str, Array]:
    """One draw of recognition a row, layer -> (rows, units)."""
    tape = Tape(model.arena)
    with workers(model.arena) as pool:
        sampled(model, tape, beside(x, model.arena), 1, (key.derive("recognised"), 0), pool)
    return {n.name: host(tape.get(f"state/{n.name}", len(x), n.units)) for n in model.structure.latent}


def _particles(machine: BoltzmannMachine | None, particles: State) -> dict[str, Array]:
    """Checked states of all layers of the undirected part."""
    if machine is None:
        raise InputError("particles must be None for a machine without an RBM, which has no chains.")
    found = machine.to("cpu").checked(particles, tuple(machine.graph.units), "particles")
    for layer, x in found.items():
        if len(x) == 0:
            raise InputError(f"particles[{layer!r}] must have at least one row, got none.")
        check_states(machine, layer, x, "particles")
    return found


def _sweeps_a_step(model: Model, settings: Mapping[str, Any] | None) -> int | None:
    """k at the end of the last stage of training that had one, None if that is not known."""
    if settings is None:
        return None
    if not isinstance(settings, Mapping):
        raise InputError(f"settings must map names to values (Settings.as_dict()), got {type(settings).__name__}.")
    pretrained = model.directed is not None and settings.get("epochs") == 0
    k = settings.get("pretrain_k" if pretrained else "k")
    last = k[-1] if isinstance(k, list | tuple) and k else k
    return None if last is None else checks.rising(last, "settings['k']", 1)[1]
