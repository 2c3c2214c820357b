"""Nobody times a broken loop: every contender works on small machines with known answers, before any clock runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from contenders import LESSONS, Array, Contender, Lesson, Problem
from contenders.boltz_directed import drawn
from contenders.boltz_directed import lesson as reference

import boltz

VISIBLE, HIDDEN = 10, (9, 9, 9)  # more than eight, so that steps are recorded
DEPTHS = {"dbm": 2, "deep": 3}  # kind of work -> hidden layers, where it is not one
STEPS, GAIN_WITHIN = 400, 0.05
ROUNDING = 1e-5  # of the largest entry; float32 leaves about 1e-6
WITHIN = {"fit": 0.25}  # boltz keeps an average of the parameters, which is behind the last ones while they climb
MOST = 6.0  # standard errors; no sound loop is that far off, and every draw here has a fixed seed
NAMES = ("v", "h1", "h2", "h3")


@dataclass(frozen=True)
class Finding:
    """What a contender's loop gave on a small machine, and whether it passes."""

    contender: str
    kind: str
    text: str
    passed: bool


def _normal(*shape: int, key: int) -> Array:
    return np.random.default_rng(key).standard_normal(shape).astype(np.float32)


def small_problem(depth: int, chains: int, sd: float) -> Problem:
    """A random machine of 10 visible units, and rows that are three patterns with a tenth of their pixels turned."""
    units = (VISIBLE, *HIDDEN[:depth])
    weights = tuple(sd * _normal(a, b, key=i) for i, (a, b) in enumerate(pairwise(units)))
    biases = tuple(0.3 * sd * _normal(n, key=10 + i) for i, n in enumerate(units))
    layers = dict(zip(NAMES, units, strict=False))
    start = {name: (_normal(chains, n, key=20 + n) > 0).astype(np.float32) for name, n in layers.items()}
    rates = {name: np.full(n, 0.5) for name, n in layers.items()}
    return Problem(weights, biases, patterned_rows(), start, rates, batch=50, k=3, learning_rate=0.1)


def patterned_rows() -> Array:
    """500 rows in float32."""
    generator = np.random.default_rng(5)
    patterns = generator.random((3, VISIBLE)) < 0.5
    turned = generator.random((500, VISIBLE)) < 0.1
    return (patterns[generator.integers(3, size=500)] ^ turned).astype(np.float32)


def small_lesson(kind: str) -> Lesson:
    """A small machine of the kind, fresh, on the same rows."""
    rows = patterned_rows()
    machine = {
        "vae": lambda: boltz.vae([VISIBLE, 8, 6], 3, rows),
        "iwae": lambda: boltz.vae([VISIBLE, 8, 6], 3, rows),
        "iwae2": lambda: boltz.vae([VISIBLE, [8, 6], [5]], [4, 2], rows),
        "sbn": lambda: boltz.sbn([VISIBLE, 5, 4, 3], (), rows),
    }[kind]()
    return Lesson(machine, rows, LESSONS[kind], samples=1 if kind == "vae" else 5, batch=50, learning_rate=0.003)


def log_likelihood(parameters: tuple[Array, ...], rows: Array) -> float:
    """Mean log-likelihood of the rows in nats (its bound for several hidden layers), log Z by enumeration."""
    count = len(parameters) // 2
    model = boltz.from_arrays(parameters[:count], parameters[count:])
    return boltz.log_likelihood(model, rows, boltz.exact_log_z(model), samples=1).value


def gain(contender: Contender, kind: str) -> float:
    """Log-likelihood won by STEPS updates, in nats a row."""
    problem = small_problem(DEPTHS.get(kind, 1), 50, 0.01)
    whole = kind == "fit"
    if whole:
        problem = replace(problem, passes=STEPS * problem.batch // len(problem.rows))
    work = contender.makers[kind](problem, 1)
    work.run(1 if whole else STEPS)
    before = log_likelihood((*problem.weights, *problem.biases), problem.rows)
    return log_likelihood(work.result(), problem.rows) - before


def exact_means(problem: Problem) -> Array:
    """Mean activities of all units of an RBM, by enumeration of the visible states."""
    model = boltz.from_arrays(problem.weights, problem.biases).astype(np.float64)
    v = ((np.arange(2**VISIBLE)[:, None] >> np.arange(VISIBLE)) & 1).astype(np.float64)
    log_p = -model.free_energy(v)
    p = np.exp(log_p - log_p.max())
    return p @ np.hstack([v, boltz.mean_field(model, v)["h1"]]) / p.sum()


def gibbs_error(contender: Contender) -> float:
    """Largest distance of a mean activity from the exact one, in standard errors."""
    problem, rounds = small_problem(1, 400, 0.7), 20
    work, total = contender.makers["gibbs"](problem, 1), np.zeros(VISIBLE + HIDDEN[0])
    for _ in range(rounds):
        work.run(15)
        total += np.hstack([x.astype(np.float64) for x in work.result()]).mean(axis=0)
    exact = exact_means(problem)
    errors = np.sqrt(exact * (1 - exact) / (rounds * problem.chains))
    return float((np.abs(total / rounds - exact) / errors).max())


def ais_error(contender: Contender) -> float:
    """Distance of the mean weight from the exact Z, in standard errors."""
    problem = replace(small_problem(1, 400, 0.7), betas=300)
    work = contender.makers["ais"](problem, 1)
    work.run(1)
    exact = boltz.exact_log_z(boltz.from_arrays(problem.weights, problem.biases)).value
    ratio = np.exp(work.result()[0] - exact)
    return float(abs(ratio.mean() - 1) / (ratio.std() / np.sqrt(len(ratio))))


def slope_error(contender: Contender, kind: str) -> float:
    """Largest distance from boltz in float64 of the bound or a gradient, over its largest entry, on the same noise."""
    problem = small_lesson(kind)
    wide = replace(problem, machine=problem.machine.astype(np.float64), rows=problem.rows.astype(np.float64))
    noise = drawn(problem)
    (bound, found), (exact, wanted) = (
        work.probe(noise) for work in (contender.makers[kind](problem, 1), reference(wide, 1))
    )
    errors = [np.abs(found[name] - x).max() / np.abs(x).max() for name, x in wanted.items()]
    return float(np.max([abs(bound / exact - 1), *errors]))


def lesson_gain(contender: Contender, kind: str) -> float:
    """What STEPS updates win in the bound of 50 samples, in nats a row."""
    problem = small_lesson(kind)
    work, bounds = contender.makers[kind](problem, 1), []
    for steps in (0, STEPS):
        work.run(steps)
        arena = np.concatenate([x.reshape(-1) for x in work.result()])
        machine = boltz.HelmholtzMachine(problem.machine.structure, arena)
        bounds.append(boltz.log_likelihood(machine, problem.rows, samples=50).value)
    return bounds[1] - bounds[0]


def check(contenders: list[Contender], kinds: list[str]) -> list[Finding]:
    """A finding for every contender and kind of work; training must gain what boltz gains."""
    found: list[Finding] = []
    gains: dict[str, float] = {}
    for contender in contenders:
        for kind in [kind for kind in kinds if kind in contender.makers]:
            if kind in ("gibbs", "ais"):
                error = gibbs_error(contender) if kind == "gibbs" else ais_error(contender)
                text, passed = f"{error:.1f} standard errors from enumeration", error < MOST
            else:
                won = lesson_gain(contender, kind) if kind in LESSONS else gain(contender, kind)
                first = gains.setdefault(kind, won)
                text, passed = (
                    f"{won:+.3f} nats a row in {STEPS} steps",
                    abs(won / first - 1) < WITHIN.get(kind, GAIN_WITHIN),
                )
            if kind in LESSONS:
                error = slope_error(contender, kind)
                text, passed = f"{text}, gradient off by {error:.0e}", passed and error < ROUNDING
            found.append(Finding(contender.name, kind, text, passed))
    return found


def verify(contenders: list[Contender], kinds: set[str], say: Callable[[str], None]) -> bool:
    """Say what every contender's loop gives on a small machine, on one thread; True if all pass."""
    for contender in contenders:
        contender.use_threads(1)
    findings = check(contenders, sorted(kinds))
    for found in findings:
        say(f"check {found.kind:6s}{found.contender:15s}{found.text}{'' if found.passed else ': WRONG'}")
    return all(found.passed for found in findings)
