"""Quick checks of programs: recorded primitives, and what is trained, sampled and annealed by them, against steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
from support.training import plain_train

import boltz
from boltz import kernels, parallel
from boltz.kernels import cpu
from boltz.kernels.cpu import programs, recorded
from boltz.kernels.cpu.programs import BATCH, DRAW, STEP
from boltz.kernels.cpu.runners import Count, Entry, Program, Runner
from boltz.rng import Key
from boltz.sampling import annealing, gibbs
from boltz.training import held_out, loop

Array = Any
ROWS, UNITS, COLUMNS = 29, 37, 103  # enough to be dealt to three threads
NEVER = 1 << 60
CHAINS = 300  # two blocks for one thread, and one that three threads share
SHORT: dict[str, Any] = {"epochs": 3, "batch_size": 20, "seed": 2, "learning_rate": 0.05}


def single(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def double(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def run(program: Program, times: int = 1, counts: tuple[int, int, int] = (5, 1, 3), team: int = 1) -> None:
    with ThreadPoolExecutor(3) as pool:
        Runner(program, pool if team > 1 else None, team).run(counts, times)


def check_primitives() -> None:
    """Each recorded primitive leaves the bits of the primitive itself, also where it is dealt to three threads, and
    nothing happens before the program runs.
    """
    for name, work in primitives().items():
        wanted: dict[str, Array] = {}
        work(cpu, wanted, lambda x: x, 3 * 5 + 2)
        for team in (1, 3):
            found: dict[str, Array] = {}
            program = Program(team=team)
            work(recorded, found, lambda x, program=program: recorded.recorded(x, program), Count(STEP, 3, 2))
            assert all(not np.array_equal(found[key], wanted[key]) for key in wanted), f"{name} was done while recorded"
            run(program, team=team)
            for key in wanted:
                assert np.array_equal(found[key], wanted[key]), f"{name} of a program for {team} threads: {key}"


def check_dealt() -> None:
    """Operations outside regions are dealt to a team, by columns or rows; those of a fixed point stay in one piece."""
    program = Program(team=3)
    x, weight, out = (recorded.recorded(single(*shape), program) for shape in ((29, 37), (37, 103), (29, 103)))
    recorded.product(x, weight, out)
    recorded.bernoulli_mean(out, 1.0, single(103))
    *_, pieces = program.table()
    assert [tuple(piece[2:]) for piece in pieces] == [(0, 3)] * 3 + [(3, 6)] * 3
    columns = [row[10] for row in program.operations[:3]]
    assert columns == [32, 32, 39] and [row[2] for row in program.operations[3:]] == [8, 8, 13]
    program.clear()
    with recorded.settling(program, 5, 0.0) as changes:
        changes.append(recorded.bernoulli_relax(out, 1.0, single(103), 0.0, single(29, 103)))
    assert len(program.operations) == 2 and len(program.table()[2]) == 1


def primitives() -> dict[str, Callable[[Any, dict[str, Array], Callable[[Array], Array], Any], None]]:
    """Work by each primitive: of a backend, on arrays that it names, made ready by a function, at a step."""

    def product(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        x, weight = (single(ROWS, UNITS) > 0).astype(np.float32), single(COLUMNS, UNITS, seed=1)
        arrays["out"] = out = single(ROWS, COLUMNS, seed=2)
        to.product(ready(x), weight.T, ready(out))
        arrays["turned"] = turned = single(UNITS, UNITS, seed=3)
        to.contraction(ready(x), ready(single(ROWS, UNITS, seed=4)), ready(turned))
        arrays["columns"] = columns = single(ROWS, 2 * COLUMNS, seed=5)
        to.product(ready(x), weight.T, ready(columns)[:, 7 : 7 + COLUMNS])

    def drawn(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        bias, stream = single(UNITS, seed=1), Key(7, 9).stream(step)
        arrays["field"], arrays["state"] = field, state = single(ROWS, UNITS), single(ROWS, UNITS, seed=2)
        to.bernoulli_sample(ready(field), 0.7, ready(bias), stream, 4, ready(state))
        arrays["from mean"], arrays["rows"] = other, last = single(ROWS, UNITS, seed=3), single(ROWS, UNITS, seed=4)
        to.bernoulli_from_mean(ready(field), stream, 11, ready(other))
        to.bernoulli_rows(ready(field), stream, np.arange(5, 5 + ROWS), ready(last))

    def means(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        arrays["field"], bias = single(ROWS, UNITS), single(ROWS, UNITS, seed=1)
        to.bernoulli_mean(ready(arrays["field"]), 2.0, ready(bias))
        arrays["mean"] = np.full((ROWS, UNITS), 0.5, np.float32)
        to.bernoulli_relax(ready(single(ROWS, UNITS, seed=2)), 2.0, ready(bias), 0.25, ready(arrays["mean"]))

    def moves(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        names = ("sum", "copy", "cut")
        arrays |= {name: single(ROWS, UNITS, seed=i) for i, name in enumerate(names)}
        arrays["turned"], source = single(UNITS, ROWS, seed=9), ready(single(ROWS, UNITS, seed=8))
        to.add(source, ready(single(UNITS, seed=7)), ready(arrays["sum"]))
        to.copy(source, ready(arrays["copy"]))
        to.cut(source, ready(arrays["cut"]))
        to.turn(source, ready(arrays["turned"]))
        arrays["bits"], numbers = np.zeros((2 * ROWS, -(-UNITS // 8)), np.uint8), np.arange(1, 2 * ROWS, 2)
        to.pack_rows(ready(arrays["cut"]), numbers, arrays["bits"])
        arrays["out of bits"] = single(ROWS, UNITS, seed=10)
        to.unpack_rows(arrays["bits"], numbers, ready(arrays["out of bits"]))

    def sums(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        signs, offset = single(ROWS, seed=1), single(UNITS, seed=2)
        names = ("totals", "weighed", "average", "outer", "through", "back")
        shapes = ((UNITS,), (ROWS, UNITS), (UNITS,), (ROWS, UNITS), (ROWS,), (UNITS,))
        arrays |= {name: single(*shape, seed=i) for i, (name, shape) in enumerate(zip(names, shapes, strict=True))}
        arrays["sum"], x = single(UNITS, seed=7), single(ROWS, UNITS, seed=8)
        to.totals(ready(signs), ready(x), ready(arrays["totals"]))
        to.weigh(ready(arrays["weighed"]), ready(signs), ready(offset), ready(arrays["sum"]))
        to.track(ready(x), 0.3, ready(arrays["average"]))
        to.outer(-1.5, ready(signs), ready(offset), ready(arrays["outer"]))
        to.through(-1.5, ready(x), ready(offset), ready(arrays["through"]))
        to.back(-1.5, ready(x), ready(signs), ready(arrays["back"]))

    def updates(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        gradient = single(UNITS, seed=1)
        arrays["parameter"], arrays["velocity"] = single(UNITS, seed=2), single(UNITS, seed=3)
        moved = [ready(x) for x in (arrays["parameter"], gradient, arrays["velocity"])]
        to.momentum_update(*moved, 0.1, 0.5, True, 1e-2, 1e-3)
        arrays["without"] = single(UNITS, seed=12)
        to.momentum_update(ready(arrays["without"]), ready(gradient), ready(gradient[:0]), 0.1, 0.0, False, 1e-2, 1e-3)
        arrays |= {name: np.abs(single(UNITS, seed=i)) for i, name in enumerate(("by adam", "first", "second"), 4)}
        parameter, *moments = (ready(arrays[name]) for name in ("by adam", "first", "second"))
        to.adam_update(parameter, ready(gradient), tuple(moments), 0.1, (0.9, 0.999), 1e-8, step, 1e-2, 1e-3)
        arrays["total"], arrays["single"] = single(UNITS, seed=4).astype(np.float64), single(UNITS, seed=5)
        arrays["scaled"] = single(UNITS, seed=6)
        to.accumulate(arrays["total"], ready(arrays["scaled"]), 0.1, arrays["single"])

    def activations(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        for i, kind in enumerate(programs.KINDS):
            arrays[f"{kind} slope"] = delta = single(ROWS, UNITS, seed=i)
            to.slope(kind, ready(single(ROWS, UNITS, seed=7)), ready(delta))
            if kind != "sigmoid":
                arrays[kind] = field = single(ROWS, UNITS, seed=8)
                to.activate(kind, ready(field), ready(single(UNITS, seed=9)))

    def gaussian(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        bias, rows = single(2 * UNITS, seed=1), np.arange(7, 7 + ROWS)
        shape, names = (ROWS, UNITS), ("normal", "state", "offset")
        arrays |= {name: single(*shape, seed=i) for i, name in enumerate(names)}
        arrays["path"] = single(ROWS, 2 * UNITS, seed=3)
        to.normal(Key(7, 9).stream(step), rows, ready(arrays["normal"]))
        field = ready(single(ROWS, 2 * UNITS, seed=11))
        to.gaussian_shift(field, ready(bias), ready(arrays["state"]), ready(arrays["offset"]))
        to.gaussian_path(ready(single(*shape, seed=12)), ready(single(*shape, seed=13)), ready(arrays["path"]))
        arrays["density"], arrays["prior"] = np.arange(2.0 * ROWS), np.arange(1.0 * ROWS)
        arrays["score"] = single(2 * ROWS, 2 * UNITS, seed=14)
        state = ready(single(ROWS, UNITS, seed=15))
        to.gaussian_score(ready(arrays["score"]), ready(bias), state, 1.25, arrays["density"])
        to.normal_score(state, arrays["prior"])
        arrays["binary"], arrays["logits"] = np.arange(2.0 * ROWS), single(2 * ROWS, UNITS, seed=16)
        to.bernoulli_score(ready(arrays["logits"]), ready(bias[:UNITS]), state, arrays["binary"])

    def rows(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        names = ("weighted", "more", "in place")
        arrays |= {name: single(ROWS, UNITS, seed=i) for i, name in enumerate(names)}
        arrays["repeated"], arrays["pooled"] = single(3 * ROWS, UNITS, seed=4), single(ROWS, UNITS, seed=5)
        arrays["sum"], weights = single(1, UNITS, seed=6), ready(single(ROWS, seed=7))
        wide, here = ready(single(ROWS, UNITS + 4, seed=8)), ready(arrays["in place"])
        to.weighted(wide, weights, False, ready(arrays["weighted"]))
        to.weighted(wide, weights, True, ready(arrays["more"]))
        to.weighted(here, weights, False, here)
        to.repeated(ready(single(ROWS, UNITS, seed=9)), ready(arrays["repeated"]))
        to.pooled(ready(single(3 * ROWS, UNITS, seed=10)), False, ready(arrays["pooled"]))
        to.pooled(ready(single(ROWS, UNITS, seed=11)), True, ready(arrays["sum"]))

    def samples(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        x, names = ready(double(ROWS, 7, seed=1)), ("softmax", "without", "means")
        arrays |= dict(zip(names, (double(ROWS, 7), double(ROWS, 7), double(ROWS)), strict=True))
        to.softmax(x, arrays["softmax"])
        to.without_one(x, arrays["without"])
        to.row_means(x, arrays["means"])

    def arithmetic(to: Any, arrays: Any, ready: Any, step: Any) -> None:
        wide, narrow = ready(double(ROWS, 7, seed=1)), ready(single(ROWS, 7, seed=2))
        arrays |= {f"wide {i}": double(ROWS, 7) for i in range(4)} | {f"narrow {i}": single(ROWS, 7) for i in range(4)}
        arrays["below"] = double(2 * ROWS, 7)
        ready(arrays["wide 0"])[...] = wide - ready(double(ROWS, seed=3))[:, None] * 0.3
        ready(arrays["wide 1"])[...] = (1 - wide) / ready(double(7, seed=4))
        ready(arrays["wide 2"])[...] = narrow.astype(np.float64)
        ready(arrays["wide 3"])[:, 2:5] += double(3, seed=5)
        ready(arrays["narrow 0"])[...] = narrow * np.float32(0.7) - narrow[:, ::-1]
        ready(arrays["narrow 1"])[...] = -narrow / narrow[:, :1]
        ready(arrays["narrow 2"])[...] = wide.reshape(-1).astype(np.float32).reshape(ROWS, 7)
        ready(arrays["narrow 3"])[:, 1:] *= narrow[:, 1:]
        ready(arrays["below"])[...] = np.concatenate([wide, wide + wide])

    kinds = (product, drawn, means, moves, sums, updates, activations, gaussian, rows, samples, arithmetic)
    return {each.__name__: each for each in kinds}


def check_accumulated() -> None:
    """Steps are scaled in single precision and added up in double, and the weights follow."""
    total, gradient, weights = np.full(5, 1.0), single(5), single(5, seed=1)
    scaled = gradient * np.float32(1e-9)
    kernels.accumulate(total, gradient, 1e-9, weights)
    assert np.array_equal(total, 1.0 + scaled.astype(np.float64)) and (total != 1).all()
    assert np.array_equal(weights, total.astype(np.float32)) and np.array_equal(gradient, scaled)


def check_zeros() -> None:
    """Zeros of float64 that a program sums into are zeros again each time."""
    program = Program()
    state = recorded.recorded(single(ROWS, UNITS), program)
    total = np.zeros_like(state, shape=(ROWS,), dtype=np.float64)
    recorded.normal_score(state, total)
    wanted = np.zeros(ROWS)
    cpu.normal_score(np.asarray(state), wanted)
    run(program, 3)
    assert np.array_equal(np.asarray(total), wanted)


def check_apart() -> None:
    """What is compiled for nets refuses the operations that it lacks, as they would be taken for others."""
    program = Program()
    x = recorded.recorded(single(ROWS, UNITS), program)
    recorded.activate("relu", x, single(UNITS))
    assert program.nets
    recorded.weigh(x, single(ROWS), None, None)
    refused = False
    try:
        Runner(program, None, 1)
    except TypeError:
        refused = True
    assert refused


def check_counts() -> None:
    """Ten times in one call and in three: draws by the number of the step, rows by that of the batch, rates by both."""
    data, order = np.arange(400, dtype=np.uint8).reshape(40, 10), np.random.default_rng(1).permutation(40)
    rates, program = np.linspace(1, 2, 9), Program()
    sums, batch = np.zeros((20, 10), np.float32), recorded.recorded(np.zeros((20, 10), np.float32), program)
    state, total = (recorded.recorded(x, program) for x in (np.zeros((20, 10), np.float32), sums))
    rows = Count(BATCH, 2, 1)
    recorded.gather(batch, data, (order, rows), 255.0)
    recorded.bernoulli_rows(batch, Key(1, 2).stream(Count(DRAW, 1, 1)), (order, rows), state)
    recorded.bernoulli_mean(batch, Entry(rates, Count(BATCH, 1, 1)), np.zeros(10, np.float32))
    recorded.add(total, state, total)
    recorded.add(total, batch, total)
    found = []
    for calls in ((8,), (3, 4, 1)):
        sums[...], done = 0, 0
        for times in calls:
            run(program, times, (0, done, 6))
            done += times
        found.append(sums.copy())
    wanted = np.zeros((20, 10), np.float32)
    for i in range(8):
        part = order[2 * i + 1 : 2 * i + 21]
        mean, drawn = data[part] / np.float32(255), np.empty((20, 10), np.float32)
        cpu.bernoulli_rows(mean, Key(1, 2).stream(7), part, drawn)
        cpu.bernoulli_mean(mean, rates[i + 1], np.zeros(10, np.float32))
        wanted += drawn
        wanted += mean
    assert np.array_equal(found[0], wanted), "rows, draws or rates of another time"
    assert np.array_equal(found[1], wanted), "a call goes on elsewhere than the last one ended"


def check_regions() -> None:
    """Pieces that read what the region before wrote: two thousand times by one thread and by three, without a miss."""
    for team in (1, 3):
        program = Program()
        x, y = (recorded.recorded(np.ones((4, 300), np.float32), program) for _ in range(2))
        base = np.ones(300, np.float32)
        count = recorded.recorded(np.zeros((1, 300), np.float32), program)

        program.region(partial(_next, y, base, x), list(range(4)))
        program.region(partial(_next, x, base, y), list(range(4)))
        recorded.add(count, base, count)
        for _ in range(5):
            run(program, 400, team=team)
        assert (np.asarray(x) == 4000).all() and (np.asarray(y) == 4001).all(), "a region began before its time"
        assert (np.asarray(count) == 2000).all(), "a piece was done twice, or never"


def _next(source: Any, base: Array, target: Any, k: int) -> None:
    """Row k of the target is the row after it of the source and the base."""
    recorded.add(source[(k + 1) % 4 : (k + 1) % 4 + 1], base, target[k : k + 1])


def check_pieces() -> None:
    """Work outside of regions is a region of one piece; pieces of a region know where it begins and ends."""
    program = Program()
    x, one = recorded.recorded(np.zeros((4, 3), np.float32), program), np.ones(3, np.float32)
    recorded.add(x, one, x)
    recorded.add(x, one, x)
    program.region(lambda k: recorded.add(x[k : k + 1], one, x[k : k + 1]), [0, 1, 2])
    program.region(lambda k: None, [0, 1])
    recorded.add(x, one, x)
    wanted = [(0, 2, 0, 1), (2, 3, 1, 4), (3, 4, 1, 4), (4, 5, 1, 4), (5, 6, 4, 5)]
    assert [tuple(row) for row in program.table()[2].tolist()] == wanted


def check_open() -> None:
    """Of two pieces a thread gets its own first, then the other, then none; and again the next time."""
    pieces = np.array([[0, 1, 0, 2], [1, 2, 0, 2], [2, 3, 2, 3]])
    counters = np.zeros(programs.CLAIMS + programs.GAP * 3, np.int64)
    address = counters.ctypes.data
    for time in range(3):
        assert [programs._open(address, pieces, (1, 2), 3 * time) for _ in range(3)] == [1, 0, -1]
        assert [programs._open(address, pieces, (0, 2), 3 * time + 2) for _ in range(2)] == [2, -1]


def check_settling() -> None:
    """A loop ends where the change is small enough and not before, at once where it is, and at most after so many."""
    for tolerance, most, wanted in ((0.1, 50, 4), (2.0, 50, 1), (0.0, 7, 7)):
        program = Program()
        field, mean, count = (recorded.recorded(x, program) for x in (single(1, 1), single(1, 1), single(1, 1)))
        np.asarray(mean)[...], np.asarray(count)[...] = 1, 0
        with recorded.settling(program, most, tolerance) as changes:
            field[...] = -40
            changes.append(recorded.bernoulli_relax(field, 1.0, np.zeros(1, np.float32), 0.5, mean))
            recorded.add(count, np.ones(1, np.float32), count)
        run(program)
        assert np.asarray(count)[0, 0] == wanted


def check_refused() -> None:
    """What no operation does is refused while it is recorded, and is not done at once in silence."""
    program = Program()
    x = recorded.recorded(single(4, 5), program)
    for wrong in (
        lambda: np.exp(x),
        lambda: x.sum(),
        lambda: x**2,
        lambda: np.hstack([x, x]),
        lambda: np.concatenate([x, x], axis=1),
        lambda: x.__setitem__((0, 0), 1.0),
        lambda: x.astype(np.int64),
        lambda: x + np.ones(5, np.int64),
        lambda: recorded.softmax(x, x),
        lambda: recorded.recorded(np.zeros(3, np.int64), program),
        lambda: recorded.product(x, single(5, 3), recorded.recorded(single(4, 3), program)),
    ):
        refused = False
        try:
            wrong()
        except recorded.NotRecordedError:
            refused = True
        assert refused


@contextmanager
def by_steps() -> Iterator[None]:
    """Everything step by step, as it is where nothing can be recorded."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (loop, gibbs, annealing):
            patch.setattr(module, "WORTH", NEVER)
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads, to which work is dealt however little it is."""
    before = boltz.threads()
    boltz.threads(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "LITTLE", 0)
        try:
            yield
        finally:
            boltz.threads(before)


def machine(*units: int) -> boltz.BoltzmannMachine:
    found = boltz.dbm(list(units), seed=1)
    found.arena[...] = 0.3 * single(found.arena.size, seed=5)
    return found


def trained(units: tuple[int, ...], count: int, make: Any = machine, **settings: Any) -> tuple[Array, Any, list[Array]]:
    """Parameters, records but for times, and snapshots of a short training on grey rows."""
    x = np.random.default_rng(3).integers(0, 256, (450, units[0])).astype(np.uint8)
    with threads(count):
        model = make(*units)
        directed = isinstance(model, boltz.HelmholtzMachine)
        settings = SHORT | ({} if directed else {"chains": 14, "snapshots": 6}) | settings
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(held_out, "STEPS", 30)  # of a look at held-out rows, of 300
            found = plain_train(model, x, held_out=x[:30], **settings)
    records = [{k: v for k, v in each.items() if k not in ("seconds", "rows_per_second")} for each in found.history]
    return found.model.arena, records, [each.arena for each in found.trajectory]


def check_training(
    units: tuple[int, ...] = (40, 23), make: Any = machine, counts: tuple[int, ...] = (1, 2, 3), **settings: Any
) -> None:
    """A training by programs, with one, two and three threads, has the bits of one by steps."""
    with by_steps():
        wanted = trained(units, 1, make, **settings)
    assert len(wanted[2]) > 3 or make is not machine
    for count in counts:
        found = trained(units, count, make, **settings)
        assert np.array_equal(found[0], wanted[0]), f"parameters with {count} threads"
        assert found[1] == wanted[1], f"records with {count} threads"
        assert all(np.array_equal(a, b) for a, b in zip(found[2], wanted[2], strict=True)), "snapshots"


RULES: dict[str, dict[str, Any]] = {
    "pcd": {"rule": "pcd", "center": False},
    "centred": {"rule": "pcd", "center": True, "k": 2, "schedule": "linear", "batch_size": 70, "chains": 66},
    "cd": {"rule": "cd", "k": 3, "momentum": 0.9},
    "adam": {"rule": "pcd", "optimizer": "adam", "learning_rate": 0.003, "binarize": "threshold"},
    "decay": {"rule": "cd", "optimizer": "nesterov", "l2": 1e-2, "l1": 1e-3, "binarize": "none"},
}
DEEP: dict[str, dict[str, Any]] = {
    "tolerance": {"mean_field_tolerance": 0.01, "mean_field_sweeps": 30, "binarize": "fixed"},
    "sweeps": {"mean_field_tolerance": 0.0, "mean_field_sweeps": 3, "center": True},
    "cd from draws": {"rule": "cd", "k": 2, "positive": "gibbs", "center": True},
    "gibbs": {"positive": "gibbs", "positive_draws": 2, "center": True, "binarize": "dynamic"},
    "collapsed": {
        **{"positive": "collapsed", "positive_draws": 2, "mean_field_tolerance": 0.0, "mean_field_sweeps": 2},
        **{"center": True, "learning_rate": (0.02, 0.05), "l2": (1e-4, 1e-3), "averaging": "last"},
    },
}


def check_centred_training() -> None:
    check_training(**RULES["centred"])


def check_adam_training() -> None:
    check_training(**RULES["adam"])


def check_deep_divergence() -> None:
    """Its chains begin where the positive phase ends, and not with what stood in a buffer before."""
    check_training((40, 23, 11), **DEEP["cd from draws"])


def check_deep_training() -> None:
    check_training((40, 23, 11), **DEEP["tolerance"])


AUTOENCODERS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "vae": ((40, 9), {"objective": "vae", "batch_size": 70}),
    "several samples": ((530, 9), {"objective": "vae", "samples": 4, "batch_size": 90, "optimizer": "momentum"}),
    "two layers": ((40, 11, 9), {"objective": "vae", "samples": 2, "binarize": "threshold"}),
    "sticking the landing": ((40, 11, 9), {"objective": "stl", "l2": 1e-3}),
}


def autoencoder(*units: int, activation: str = "tanh") -> boltz.HelmholtzMachine:
    """Of one Gaussian layer above two dense ones, or of several above one each, nothing at its start."""
    nets = [units[0], 16, 12] if len(units) == 2 else [units[0], *([14 + i] for i in range(len(units) - 1))]
    found = boltz.vae(nets, list(units[1:]), seed=1, activation=activation)
    found.arena[...] = 0.1 * single(found.arena.size, seed=5)
    return found


def belief_net(*units: int) -> boltz.HelmholtzMachine:
    found = boltz.sbn(list(units), (), seed=1)
    found.arena[...] = 0.1 * single(found.arena.size, seed=5)
    return found


def check_directed(units: tuple[int, ...], make: Any, **settings: Any) -> None:
    """A directed machine by programs has the bits of that by steps, and programs are made."""
    made: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        steps = loop.Steps
        patch.setattr(loop, "Steps", lambda *given: made.append(given) or steps(*given))
        check_training(units, make, (1, 3), learning_rate=0.003, epochs=4, **settings)
    assert len(made) == 2, "no program was made"


def check_autoencoders() -> None:
    for i, (units, settings) in enumerate(AUTOENCODERS.values()):
        check_directed(units, partial(autoencoder, activation=programs.KINDS[i % 3]), **settings)


OBJECTIVES: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "iwae": ((40, 9), autoencoder, {"objective": "iwae", "samples": 50, "batch_size": 20}),
    "doubly reparameterised": ((40, 11, 9), autoencoder, {"objective": "dreg", "samples": 5, "alpha": 0.3}),
    "piwae": ((40, 11, 9), autoencoder, {"objective": "piwae", "samples": 3, "groups": 2}),
    "ciwae": ((40, 9), autoencoder, {"objective": "ciwae", "samples": 3, "beta": 0.3}),
    "vimco": ((40, 13, 11), belief_net, {"objective": "vimco", "samples": 5, "batch_size": 90}),
    "reweighted wake-sleep": ((40, 13, 11), belief_net, {"objective": "rws", "samples": 5}),
    "wake-sleep": ((40, 11, 9), autoencoder, {"objective": "wake-sleep"}),
    "wake-sleep of binary layers": ((40, 13, 11), belief_net, {"objective": "wake-sleep", "batch_size": 70}),
    "reinforce": ((40, 13, 11), belief_net, {"objective": "reinforce", "samples": 2}),
    "nvil": ((40, 13, 11), belief_net, {"objective": "nvil", "samples": 2}),
}


def check_iwae() -> None:
    check_directed(OBJECTIVES["iwae"][0], OBJECTIVES["iwae"][1], **OBJECTIVES["iwae"][2])


def check_nvil() -> None:
    check_directed(OBJECTIVES["nvil"][0], OBJECTIVES["nvil"][1], **OBJECTIVES["nvil"][2])


def check_sampling() -> None:
    """Chains by programs, in blocks of their own and dealt to threads, have the bits of chains step by step."""
    for units in ((40, 23), (40, 23, 11)):
        model = machine(*units)
        with by_steps():
            wanted = boltz.sample(model, CHAINS, 70, seed=4)
        for count in (1, 3):
            with threads(count):
                found = boltz.sample(model, CHAINS, 70, seed=4)
            assert all(np.array_equal(found[n], wanted[n]) for n in wanted), f"{units}, {count} threads"


def check_annealing() -> None:
    """log-weights of annealing by programs have the bits of those step by step, also where biases make a detour."""
    for units in ((40, 23), (40, 23, 11)):
        model = machine(*units)
        for betas in (45, "adaptive:60"):
            with by_steps():
                wanted = boltz.ais(model, CHAINS, betas, seed=4)
            for count in (1, 3):
                with threads(count):
                    found = boltz.ais(model, CHAINS, betas, seed=4)
                assert np.array_equal(found.log_weights, wanted.log_weights), f"{units}, {betas}, {count} threads"


def check_stopped() -> None:
    """A program whose parameters leave the range of numbers ends the training in one sentence."""
    with pytest.raises(boltz.NumericalError, match="not finite"):
        trained((40, 23), 1, learning_rate=1e6, l2=1e6)
