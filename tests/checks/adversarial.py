"""The game of an adversarial autoencoder against plain sums and finite differences, and its parts one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracles import adversarial as plain
from scipy.stats import norm
from support import stats

import boltz
import boltz.kernels as kernels
from boltz.nn.arena import Tape, views
from boltz.nn.code_priors import Box, Points, Ring, WideNormal
from boltz.nn.factors import Place
from boltz.parallel import ALONE, Workers
from boltz.rng import Key
from boltz.sampling.coding import Coder
from boltz.sampling.two_samples import kernel_slope, tested
from boltz.training.adversarial import Adversarial, GameWorkspace
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.players import NAME, Discriminator
from boltz.training.rules import Clock

Floats = NDArray[np.float64]
UNITS, LATENT, ROWS, LABELS = 5, 2, 6, 3
RATES = {"discriminator_rate": 0.5, "generator_rate": 0.25, "label_rate": 0.125}
PLAIN = {"game_optimizer": "momentum", "game_momentum": 0.0, "optimizer": "momentum", "schedule": "constant"}
NEAR = 2e-7  # of finite differences in float64
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "wide": {"prior_sigma": 3.0},
    "gaussian": {"encoder": "gaussian"},
    "implicit": {"encoder": "implicit", "noise": 3},
    "reals": {"visible": "gaussian"},
    "mixture": {"prior": "mixture", "labels": "prior", "classes": LABELS},
    "decoder": {"labels": "decoder", "classes": LABELS},
    "inferred": {"labels": "inferred", "classes": LABELS},
    "clusters": {"clusters": LABELS},
    "embedded": {"clusters": LABELS, "embed": True},
}


@dataclass(frozen=True)
class About:
    """What the oracle of reconstruction has to know."""

    latent: int
    noise: Floats | None
    shares: Floats | None
    gaussian: bool


def machine_of(kind: str) -> Any:
    """A tiny machine with weights of ordinary size, in float64."""
    machine = boltz.aae([UNITS, 4, 3], LATENT, activation="tanh", **KINDS[kind]).astype(np.float64)
    generator = np.random.default_rng(5)
    for name, x in machine.params.items():
        if x.any() or "bias" in name:
            x += generator.normal(0, 0.3, x.shape) * (x != 0 if "weight" in name else 1)
    if kind == "reals":
        machine.params["generative/v/2/bias"][UNITS:] = 0  # a spread of 1
    return machine


def rows_of(kind: str) -> Floats:
    """Some rows: 0 and 1, or real numbers."""
    generator = np.random.default_rng(2)
    return generator.normal(size=(ROWS, UNITS)) if kind == "reals" else 1.0 * (generator.random((ROWS, UNITS)) < 0.4)


@dataclass
class Game:
    """A machine before and after one step of the rule, with all that entered it."""

    kind: str
    settings: AdversarialSettings
    before: dict[str, Floats]
    state: dict[str, Floats]
    rule: Adversarial
    work: GameWorkspace
    clock: Clock
    rows: Floats
    labels: NDArray[np.int64] | None

    @property
    def coder(self) -> Coder:
        return self.work.coder

    def own(self, name: str) -> dict[str, Floats]:
        """A copy of the parameters of a discriminator before the step."""
        player = self.rule.players(self.work.machine)[name]
        return {key: x.copy() for key, x in views(player.shapes, self.state[player.key].copy()).items()}


def begun(kind: str, **settings: Any) -> Game:
    """A game before its first step."""
    chosen = AdversarialSettings(**{**PLAIN, **RATES, "input_noise": 0.0, "discriminator_widths": (4, 3), **settings})
    machine, rule, key = machine_of(kind), Adversarial(chosen), Key.from_seed(3)
    labels = np.array([0, 2, -1, 1, -1, 2]) if kind in ("mixture", "decoder", "inferred") else None
    rows = rows_of(kind)
    taught = None if kind != "inferred" else (rows[:2], np.array([0, 2]))
    state = rule.init(machine, rows, key, ROWS)
    for player in rule.players(machine).values():  # away from fields of 0, where rectified units have no slope
        state[player.key] += np.random.default_rng(8).normal(0, 0.3, state[player.key].shape)
    before = {name: x.copy() for name, x in machine.params.items()}
    clock = Clock(key, 0, 0.0, np.arange(ROWS), labels, taught)
    return Game(kind, chosen, before, state, rule, rule.workspace(machine), clock, rows, labels)


def heard(game: Game) -> tuple[Floats, Floats | None]:
    """What the encoder hears of the rows, and the noise of a Gaussian one."""
    numbers, key = np.arange(ROWS), game.clock.key
    beside = np.empty((ROWS, UNITS + game.coder.game.noise))
    kernels.normal(key.derive("noise").stream(0), numbers, beside)
    rows = np.concatenate([game.rows, beside[:, UNITS:]], axis=1)
    if game.coder.game.encoder != "gaussian":
        return rows, None
    noise = np.empty((ROWS, LATENT))
    kernels.normal(key.derive("code").stream(0), numbers, noise)
    return rows, noise


def draws_of(game: Game) -> tuple[Floats, Floats]:
    """Draws of the prior and of labels, as the rule takes them; their laws have checks of their own."""
    machine, numbers, key = game.work.machine, np.arange(ROWS), game.clock.key.derive("draws")
    draws, place = np.empty((ROWS, LATENT)), Place("prior", machine.params, Tape(machine.arena).whole(ROWS))
    prior = machine.factors["h1"]
    if game.kind == "mixture":
        prior.draw_from(place, draws, key.stream(0), numbers, game.labels)
        draws = np.concatenate([draws, np.eye(LABELS + 1)[game.labels]], axis=1)
    else:
        prior.draw(place, draws, key.stream(0), numbers)
    uniform = np.empty((ROWS, 1))
    kernels.normal(key.derive("label").stream(0), numbers, uniform)
    return draws, np.eye(LABELS)[np.floor(norm.cdf(uniform[:, 0]) * LABELS).astype(int)]


def points_of(game: Game, params: dict[str, Floats], name: str) -> Floats:
    """What a discriminator hears of the encoder."""
    rows, noise = heard(game)
    code, labels = plain.encoded(params, rows, LATENT, noise)
    if name == "game/label":
        assert labels is not None
        return np.exp(labels)
    told = [] if game.kind != "mixture" else [np.eye(LABELS + 1)[game.labels]]
    return np.concatenate([code, *told], axis=1)


def expected(game: Game) -> dict[str, Any]:
    """The whole step by hand: parameters of the discriminators, of the encoder, and the gradient of reconstruction."""
    params, found = {name: x.copy() for name, x in game.before.items()}, dict[str, Any]()
    encoder = [name for name in params if name.startswith("recognition/")]
    for name, draws in zip(game.rule.players(game.work.machine), draws_of(game), strict=False):
        own, points = game.own(name), points_of(game, params, name)
        told = partial(plain.told_apart, own, draws, points)
        steps = {key: plain.slopes(told, x) for key, x in own.items()}
        for key, slope in steps.items():
            own[key] += RATES["discriminator_rate"] * slope
        found[name] = own
    rises: dict[str, Floats] = {key: np.zeros_like(params[key]) for key in encoder}

    def fooled(name: str, own: dict[str, Floats]) -> float:
        return plain.fooled(own, points_of(game, params, name))

    for name, own in list(found.items()):
        for key in encoder:
            rises[key] += plain.slopes(partial(fooled, name, own), params[key])
    for key, slope in rises.items():
        params[key] += RATES["generator_rate"] * slope
    if game.clock.taught is not None:
        rows, labels = game.clock.taught

        def taught() -> float:
            said = plain.encoded(params, rows, LATENT, None)[1]
            assert said is not None
            return float(said[np.arange(len(rows)), labels].mean())

        for key, slope in {key: plain.slopes(taught, params[key]) for key in encoder}.items():
            params[key] += RATES["label_rate"] * slope
    rows, noise = heard(game)
    shares = None
    if game.kind == "decoder":
        assert game.labels is not None
        shares = np.eye(LABELS)[game.labels]
        shares[game.labels < 0] = 1 / LABELS
    about = About(LATENT, noise, shares, game.kind == "reals")
    value = lambda: plain.reconstruction(params, rows, game.rows, about)  # noqa: E731
    found["gradient"] = {key: plain.slopes(value, x) for key, x in params.items()}
    found["encoder"] = {key: params[key] for key in encoder}
    return found


def check_step(kind: str) -> None:
    """Catches a phase left out or out of order, a wrong sign, target or share, a head or noise that is not heard."""
    game = begun(kind)
    wanted = expected(game)
    named = game.rule.gradient(game.work, game.rows, game.state, game.clock, ALONE)
    for name in game.rule.players(game.work.machine):
        own = game.own(name)
        for key, x in wanted[name].items():
            np.testing.assert_allclose(own[key], x, atol=NEAR, err_msg=f"{name} {key}")
    held = {"recognition/h1/2/weight", "recognition/h1/2/bias"} if kind != "gaussian" else set()
    for key, x in wanted["encoder"].items():
        got, others = game.work.machine.params[key], x
        if key in held:  # spreads that are not learnt
            got, others = got[..., :LATENT], x[..., :LATENT]
        np.testing.assert_allclose(got, others, atol=NEAR, err_msg=key)
    for key, x in wanted["gradient"].items():
        got, others = named[key], x
        if key in held:
            got, others = got[..., :LATENT], x[..., :LATENT]
        if kind == "reals" and key.startswith("generative/v/2"):
            assert not got[..., UNITS:].any()
            got, others = got[..., :UNITS], x[..., :UNITS]
        np.testing.assert_allclose(got, others, atol=NEAR, err_msg=f"gradient of {key}")
    changed = [key for key, x in game.work.machine.params.items() if not np.array_equal(x, game.before[key])]
    assert all(key.startswith("recognition/") for key in changed) and changed


def check_spreads_stay() -> None:
    """Catches a game that learns what it leaves out: spreads of codes that are not drawn, and of Gaussian units."""
    for kind in ("plain", "reals", "implicit"):
        game = begun(kind)
        named = game.rule.gradient(game.work, game.rows, game.state, game.clock, ALONE)
        for part in ("weight", "bias"):
            name = f"recognition/h1/2/{part}"
            assert not named[name][..., LATENT:].any()
            now = game.work.machine.params[name][..., LATENT:]
            assert np.array_equal(now, game.before[name][..., LATENT:])


def check_smoothing() -> None:
    """Catches a target of draws that is 1 all the same, and one of codes that is not 0."""
    game = begun("plain", smoothing=0.25)
    own, draws = game.own("game/code"), draws_of(game)[0]
    points = points_of(game, game.before, "game/code")
    steps = {key: plain.slopes(lambda: plain.told_apart(own, draws, points, 0.25), x) for key, x in own.items()}
    start = {key: x.copy() for key, x in own.items()}
    game.rule.gradient(game.work, game.rows, game.state, game.clock, ALONE)
    for key, x in game.own("game/code").items():
        np.testing.assert_allclose(x, start[key] + RATES["discriminator_rate"] * steps[key], atol=NEAR)


def check_penalty() -> None:
    """Catches a penalty with another factor, on codes in the place of draws, or through units that are off."""
    with_it, without = (begun("plain", penalty=name, penalty_weight=0.7) for name in ("gradient", "none"))
    own, draws = with_it.own("game/code"), draws_of(with_it)[0]
    for game in (with_it, without):
        game.rule.gradient(game.work, game.rows, game.state, game.clock, ALONE)
    for key, x in own.items():
        slope = plain.slopes(lambda: 0.5 * plain.squared_slope(own, draws), x)
        change = with_it.own("game/code")[key] - without.own("game/code")[key]
        np.testing.assert_allclose(change, -0.7 * RATES["discriminator_rate"] * slope, atol=1e-5, err_msg=key)


def check_spectral() -> None:
    """Catches norms that are not bounded, vectors that are not kept, and small weights blown up."""
    player, key = Discriminator("game/code", 4, (6, 5)), Key.from_seed(0)
    state = {**player.begin(key, np.zeros(1)), **player.vectors(np.zeros(1))}
    params = player.learner(state).params
    for i, scale in enumerate((5.0, 0.1, 3.0)):
        params[f"{NAME}/{i}/weight"][...] *= scale / np.linalg.norm(params[f"{NAME}/{i}/weight"], 2)
    for _ in range(200):
        player.bound(state)
    norms = [np.linalg.norm(params[f"{NAME}/{i}/weight"], 2) for i in range(3)]
    np.testing.assert_allclose(norms, [1, 0.1, 1], rtol=1e-6)


def check_noise() -> None:
    """Catches noise that does not fall, and noise that both sides of the game do not hear."""
    settings = AdversarialSettings(input_noise=0.4, noise_epochs=10)
    assert [settings.noise_at(done) for done in (0, 5, 10, 12)] == [0.4, 0.2, 0, 0]
    assert AdversarialSettings(input_noise=0.4).noise_at(50) == 0.4
    player, tape, points = Discriminator("game/code", 3, (2,)), Tape(np.zeros(1)), np.zeros((4000, 3))
    player.fill(tape, points, (Key.from_seed(1), 0, 0.5))
    found = tape.get("points", 4000, 3)
    p_value = stats.ratio_test(float(np.square(found).mean()), 0.25, 0.25 * np.sqrt(2 / found.size), found.size)
    stats.accept(p_value, "noise of the discriminators has another variance than it should")


def check_kernel_slope() -> None:
    """Catches a wrong sign or factor of the slope of the kernel distance, and a kernel that is not that of the test."""
    generator = np.random.default_rng(4)
    x, y = generator.normal(size=(5, 2)), generator.normal(1, 1, size=(4, 2))
    scale = float(np.mean([np.square(a - b).sum() for i, a in enumerate(y) for j, b in enumerate(y) if i != j]))
    slope = plain.slopes(lambda: plain.kernel_distance(x, y, scale), x)
    np.testing.assert_allclose(kernel_slope(x, y), -slope, atol=1e-8)
    found, both = tested(x, y, 100, generator).distance, np.concatenate([x, y])
    scale = float(np.mean([np.square(a - b).sum() for i, a in enumerate(both) for j, b in enumerate(both) if i != j]))
    np.testing.assert_allclose(found, plain.kernel_distance(x, y, scale), atol=1e-12)
    far = tested(x + 1e6, y + 1e6, 100, generator).distance
    np.testing.assert_allclose(far, found, atol=1e-6)


def check_two_samples() -> None:
    """Catches p-values that are too small where both are alike, and a test that sees no difference.

    Of 200 tests at 5 % between 0 and 27 reject, but in one case of a million.
    """
    generator, rejected = np.random.default_rng(0), 0
    for _ in range(200):
        x, y = generator.normal(size=(2, 20, 2))
        rejected += tested(x, y, 100, generator).p_value <= 0.05
    stats.accept(stats.binomial_table([rejected], 200, [0.05]), "the two-sample test does not keep its level")
    assert tested(generator.normal(size=(60, 2)), generator.normal(1.5, 1, size=(60, 2)), 200, generator).p_value < 0.01


PRIORS: dict[str, Any] = {
    "wide": WideNormal(2, sigma=1.7),
    "mixture": Ring(2, components=4, radius=1.5, along=0.6, across=0.3),
    "uniform": Box(2),
}


def prior_place(count: int) -> Place:
    return Place("prior", {}, Tape(np.zeros(1)).whole(count))


def check_prior_density(name: str) -> None:
    """Catches a density that does not integrate to 1 and a slope that is not its own."""
    prior = PRIORS[name]
    edges = np.linspace(-14, 14, 401) if name == "wide" else np.linspace(-5, 5, 401)
    middle = (edges[1:] + edges[:-1]) / 2
    grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    density = np.exp(prior.score(prior_place(len(grid)), grid).log_density)
    assert abs(density.sum() * (edges[1] - edges[0]) ** 2 - 1) < 1e-6
    z = np.random.default_rng(1).normal(0, 0.8, size=(7, 2)).clip(-0.99, 0.99)
    slope, sign = prior.score(prior_place(7), z).by_state()
    wanted = plain.slopes(lambda: float(prior.score(prior_place(7), z).log_density.sum()), z)
    np.testing.assert_allclose(sign * slope, wanted, atol=1e-6)


def check_prior_draws(name: str) -> None:
    """Catches draws that are not from the density: counts in 36 cells against its integral."""
    prior, count = PRIORS[name], 20_000
    draws = np.empty((count, 2))
    prior.draw(prior_place(count), draws, Key.from_seed(2).stream(0), np.arange(count))
    edges, fine = np.array([-np.inf, -1.2, -0.5, 0, 0.5, 1.2, np.inf]), np.linspace(-10, 10, 801)
    middle, step = (fine[1:] + fine[:-1]) / 2, fine[1] - fine[0]
    grid = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = (np.abs(grid) < 1).all(axis=1) / 4
    mass = inside if name == "uniform" else np.exp(prior.score(prior_place(len(grid)), grid).log_density)
    mass = mass * step**2
    cells = [np.digitize(part[:, 0], edges[1:-1]) * 6 + np.digitize(part[:, 1], edges[1:-1]) for part in (grid, draws)]
    wanted = np.bincount(cells[0], mass, 36)
    assert abs(wanted.sum() - 1) < 2e-3
    stats.accept(
        stats.chi_square(np.bincount(cells[1], minlength=36), wanted / wanted.sum()), "draws do not follow the density"
    )


def check_named_components() -> None:
    """Catches labels that name another component, and rows without a label that all get one."""
    ring, count = PRIORS["mixture"], 8000
    labels, draws = np.repeat([0, 1, 2, -1], count // 4), np.empty((count, 2))
    ring.draw_from(prior_place(count), draws, Key.from_seed(2).stream(0), np.arange(count), labels)
    for label, angle in ((0, 0), (1, np.pi / 2), (2, np.pi)):
        mean = draws[labels == label].mean(axis=0)
        np.testing.assert_allclose(mean, 1.5 * np.array([np.cos(angle), np.sin(angle)]), atol=0.1)
    assert np.abs(draws[labels == -1].mean(axis=0)).max() < 0.15  # 5 standard errors
    points = Points(1, count=12, components=3)
    place = Place("prior", {"prior/points": np.arange(12.0)[:, None]}, Tape(np.zeros(1)).whole(count))
    found = np.empty((count, 1))
    points.draw_from(place, found, Key.from_seed(2).stream(0), np.arange(count), np.repeat([0, 1, 2, -1], count // 4))
    for label, wanted in ((0, range(4)), (1, range(4, 8)), (2, range(8, 12)), (3, range(12))):
        counts = np.bincount(found[label * 2000 : (label + 1) * 2000, 0].astype(int), minlength=12)
        stats.accept(stats.chi_square(counts[list(wanted)], np.full(len(wanted), 1 / len(wanted))), "points of a part")
        assert counts.sum() == counts[list(wanted)].sum()


def check_labelled_sum() -> None:
    """Catches labels of other weights in log p(v), and a slope that is not its own."""
    for kind in ("decoder", "embedded"):
        machine, rows = machine_of(kind), rows_of(kind)
        part = Tape(machine.arena).whole(ROWS)
        code = part.get("state/h1", LATENT)
        code[...] = np.random.default_rng(1).normal(size=code.shape)
        place = Place("generative/v", machine.params, part, "state/h1")

        def by_hand(machine: Any = machine, rows: Floats = rows, code: Floats = code) -> Floats:
            each = [
                plain.log_rows(plain.decoded(machine.params, code, np.eye(LABELS)[[label] * ROWS]), rows, False)
                for label in range(LABELS)
            ]
            return np.asarray(np.logaddexp.reduce(each, axis=0) - np.log(LABELS))

        found = machine.factors["v"].score(place, rows)
        np.testing.assert_allclose(found.log_density, by_hand(), atol=1e-10)
        slope = found.pull(None, True, False)
        wanted = plain.slopes(lambda by_hand=by_hand: float(by_hand().sum()), code)
        np.testing.assert_allclose(slope, wanted, atol=1e-7)
        means = machine.factors["v"].mean(place)
        each = [
            1 / (1 + np.exp(-plain.decoded(machine.params, code, np.eye(LABELS)[[label] * ROWS])))
            for label in range(LABELS)
        ]
        np.testing.assert_allclose(means, np.mean(each, axis=0), atol=1e-7)


def check_labelled_draws() -> None:
    """Catches draws of visible units given another label than the one drawn: a unit that tells the label."""
    machine = boltz.aae([3, 2], 1, labels="decoder", classes=3)
    machine.arena[...] = 0
    machine.params["generative/v/0/weight"][...] = 0
    machine.params["generative/v/0/weight"][1:, :] = [[4, 0], [0, 4], [0, 0]]
    machine.params["generative/v/1/weight"][...] = [[5, 0, 0], [0, 5, 0]]
    machine.params["generative/v/1/bias"][...] = [-10, -10, 0]
    count = 6000
    v = boltz.sample(machine, count, seed=1)["v"]
    p = 1 / (1 + np.exp(-10.0))
    cells = (v[:, 0] * 2 + v[:, 1]).astype(int)
    q = 1 - p
    wanted = np.array([(q * p + p * q + q * q * 0) * 0, 0, 0, 0], float)
    on = {0: (p, q), 1: (q, p), 2: (q, q)}  # q = sigma(-10) where a unit is not told
    wanted = sum(np.array([(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b]) for a, b in on.values()) / 3
    stats.accept(stats.chi_square(np.bincount(cells, minlength=4), wanted), "visible units hear another label")


def check_threads() -> None:
    """Catches sums that depend on the number of threads, to the last bit."""
    found = []
    for workers in (ALONE, None):
        rows = (np.random.default_rng(0).random((200, 12)) < 0.3).astype(np.float32)
        machine, rule = boltz.aae([12, 40, 40], 3, clusters=4), Adversarial(AdversarialSettings())
        state, work = rule.init(machine, rows, Key(1, 2), 200), rule.workspace(machine)
        if workers is not None:
            with boltz.parallel.team(1):
                rule.gradient(work, rows, state, Clock(Key(1, 2), 0), workers)
        else:
            from concurrent.futures import ThreadPoolExecutor

            with boltz.parallel.team(2), ThreadPoolExecutor(1) as pool:
                rule.gradient(work, rows, state, Clock(Key(1, 2), 0), Workers(2, pool))
        found.append((work.gradient.copy(), machine.arena.copy(), {name: x.copy() for name, x in state.items()}))
    assert np.array_equal(found[0][0], found[1][0]) and np.array_equal(found[0][1], found[1][1])
    assert all(np.array_equal(x, found[1][2][name]) for name, x in found[0][2].items())


def check_likelihood(kind: str) -> None:
    """Catches priors, labels or proposals that bias log p(v): samples and annealing against a grid of codes.

    The error of the grid is below 1e-6. Samples lie within 6 standard errors but in one case of 1e9.
    """
    machine, rows = machine_of(kind), rows_of(kind)[:3]
    machine.params["recognition/h1/2/weight"][...] *= 0.3
    machine.params["recognition/h1/2/bias"][...] = [0, 0, *[np.log(3.5 if kind == "wide" else 1.2)] * LATENT]
    edges = np.linspace(-18, 18, 361) if kind == "wide" else np.linspace(-7, 7, 281)
    middle = (edges[1:] + edges[:-1]) / 2
    grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    place = Place("prior", machine.params, Tape(machine.arena).whole(len(grid)))
    prior = machine.factors["h1"].score(place, grid).log_density + 2 * np.log(edges[1] - edges[0])
    shares = [None] if kind in ("plain", "wide", "mixture") else list(np.eye(LABELS)[:, None])
    wanted = []
    for row in rows:
        each = [
            plain.log_rows(
                plain.decoded(machine.params, grid, None if one is None else np.repeat(one, len(grid), axis=0)),
                row[None],
                False,
            )
            for one in shares
        ]
        wanted.append(np.logaddexp.reduce(prior + np.logaddexp.reduce(each, axis=0) - np.log(len(shares))))
    by_samples = boltz.log_likelihood(machine, rows, samples=20_000 if kind == "mixture" else 4000, seed=1)
    by_annealing = boltz.posterior_ais(machine, rows, 60, 20, seed=1)
    for found in (by_samples, *([] if kind == "mixture" else [by_annealing])):  # chains do not cross between components
        error = found.standard_error
        assert error < 0.1, f"{kind}: too rough to tell"
        assert abs(found.value - np.mean(wanted)) < 6 * error + 1e-3, f"{kind}: {found.value} {np.mean(wanted)} {error}"


check_step_plain, check_step_gaussian, check_step_implicit, check_step_mixture, check_step_decoder = (
    partial(check_step, kind) for kind in ("plain", "gaussian", "implicit", "mixture", "decoder")
)
check_step_inferred, check_step_embedded, check_step_reals = (
    partial(check_step, kind) for kind in ("inferred", "embedded", "reals")
)
check_density_wide, check_density_mixture = (partial(check_prior_density, name) for name in ("wide", "mixture"))
check_draws_mixture, check_draws_uniform = (partial(check_prior_draws, name) for name in ("mixture", "uniform"))
