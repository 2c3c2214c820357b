"""Training of adversarial autoencoders (Makhzani et al. 2016, sections 2 and 5): the phases of a step.

First the discriminators learn to tell codes from draws of the prior, and the encoder to fool them. Then labelled rows
teach the encoder their labels. Last, encoder and decoder learn to give back the rows; that gradient is the one that the
loop follows, and the other steps are taken here, by optimizers of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import numbers, on_device
from boltz.errors import InputError
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape, zeros
from boltz.nn.code_priors import CodePrior, chosen
from boltz.nn.factors import Place
from boltz.nn.labelled import Labelled
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.sampling.coding import Coder
from boltz.sampling.two_samples import kernel_slope
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.game_measures import measures
from boltz.training.players import Discriminator, Learner, Stand
from boltz.training.rules import WATCH, Clock, RuleState

Array = NDArray[Any]
Labels = NDArray[np.int64]
KEPT = 0.99  # of the running mean of what discriminators say


def encoder_of(coder: Coder) -> Learner:
    """The parameters of an encoder, views into the arena of its machine."""
    return Learner(coder.shapes, coder.machine.arena[coder.start :])


@dataclass
class GameWorkspace:
    """Buffers of the encoder, of labelled rows and of the discriminators, and the gradients."""

    machine: HelmholtzMachine
    gradient: Array = field(init=False)
    named: dict[str, Array] = field(init=False)
    coder: Coder = field(init=False)
    rows: Tape = field(init=False)
    labelled: Tape = field(init=False)
    heard: dict[str, Tape] = field(init=False)
    own: Array = field(init=False)

    def __post_init__(self) -> None:
        if on_device(self.machine.arena):
            raise InputError("an adversarial autoencoder is trained on the CPU: move the machine there, to('cpu').")
        arena = self.machine.arena
        self.gradient = np.zeros_like(arena)
        self.named = self.machine.views(self.gradient)
        self.coder = Coder(self.machine)
        self.rows, self.labelled = Tape(arena), Tape(arena)
        self.own = np.empty_like(arena[self.coder.start :])
        self.heard = {name: Tape(arena) for name in ("game/code", "game/label")}


@dataclass(frozen=True)
class Match:
    """What the game compares: points (rows, units) of the encoder, draws (rows, units), and their discriminator."""

    player: Discriminator
    points: Array
    draws: Array


@dataclass(frozen=True)
class Adversarial:
    """The rule: a game whose settings say how it is played, on the labels of the rows if there are any."""

    settings: AdversarialSettings

    @property
    def start_rows(self) -> int:
        return 1

    @property
    def generator(self) -> Stand:
        """How the encoder steps in the game."""
        return Stand("game/encoder", self.settings.of_player(self.settings.generator_rate))

    @property
    def teacher(self) -> Stand:
        """How the encoder steps by labelled rows."""
        return Stand("game/taught", self.settings.of_player(self.settings.label_rate, own=False))

    def opponent(self, player: Discriminator) -> Stand:
        """How a discriminator steps."""
        return Stand(f"{player.name}/moments", self.settings.of_player(self.settings.discriminator_rate))

    def players(self, machine: HelmholtzMachine) -> dict[str, Discriminator]:
        """The discriminators by name: of codes, and of inferred labels."""
        game, widths = machine.structure.game, self.settings.discriminator_widths
        assert game is not None
        units = machine.units[machine.hidden_layers[0].name]
        found = [Discriminator("game/code", units + (game.labels + 1) * (game.told == "prior"), widths)]
        if game.inferred:
            found.append(Discriminator("game/label", game.labels, widths))
        return {each.name: each for each in found}

    def recordable(self, machine: Any) -> bool:
        return False

    def replayable(self, machine: Any) -> bool:
        return False

    def init(self, machine: HelmholtzMachine, rows: Array, key: Key, total: int) -> RuleState:
        learner, s = encoder_of(Coder(machine)), self.settings
        found = self.generator.begin(learner)
        game = machine.structure.game
        assert game is not None
        if game.inferred:
            found |= self.teacher.begin(learner)
        if s.adversary == "mmd":
            return found
        for name, player in self.players(machine).items():
            found |= player.begin(key, machine.arena)
            found |= self.opponent(player).begin(player.learner(found))
            found |= {f"{WATCH}{name.removeprefix('game/')}_game": np.full(1, 2 * np.log(0.5))}
            if s.penalty == "spectral":
                found |= player.vectors(machine.arena)
        return found

    def workspace(self, machine: HelmholtzMachine) -> GameWorkspace:
        return GameWorkspace(machine)

    def gradient(
        self, work: GameWorkspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        coder, at = work.coder, (clock.done, clock.step + 1)
        work.rows.team = work.labelled.team = pool.count
        labels = np.full(len(batch), -1) if clock.labels is None else clock.labels
        coder.hear(work.rows, batch, clock.key, clock.step, self.settings.row_noise)
        pool.map(lambda part: coder.encode(part), coder.parts(work.rows, len(batch)))
        signals = [self._played(work, match, state, clock, pool) for match in self._matches(work, labels, clock)]
        coder.pull(work.rows, len(batch), (signals[0][:, : coder.units], *signals[1:]), pool)
        self.generator.step(encoder_of(coder), coder.gradient(work.rows, len(batch), pool, work.own), state, at, pool)
        if clock.taught is not None and coder.game.inferred:
            self._teach(work, clock, pool)
            self.teacher.step(
                encoder_of(coder), coder.gradient(work.labelled, len(clock.taught[0]), pool, work.own), state, at, pool
            )
        pool.map(lambda part: coder.encode(part), coder.parts(work.rows, len(batch)))
        self._reconstruct(work, batch, labels, pool)
        return work.named

    def measure(self, machine: HelmholtzMachine, train: Array, held_out: Array, key: Key) -> dict[str, float | None]:
        """The log-likelihood of reconstructed rows (nats a row), its gap to held-out rows, and how far codes are from
        the prior, with the p-value of that distance.
        """
        return measures(machine, train, held_out, key)

    def score(self, machine: HelmholtzMachine, train: Array, held_out: Array, key: Key) -> float | None:
        return None

    def _matches(self, work: GameWorkspace, labels: Labels, clock: Clock) -> list[Match]:
        """What the game compares in a step."""
        coder, players, n = work.coder, self.players(work.machine), len(labels)
        code = coder.codes(work.rows, n).copy()
        draws, rows, key = np.empty_like(code), numbers(0, n, code), clock.key.derive("draws")
        prior = work.machine.factors[work.machine.hidden_layers[0].name]
        place = Place("prior", work.machine.params, work.rows.whole(n))
        if coder.game.told == "prior":
            parted: CodePrior = prior  # type: ignore[assignment]  # the builder sees to it
            parted.draw_from(place, draws, key.stream(clock.step), rows, labels)
            told = np.eye(coder.game.labels + 1, dtype=code.dtype)[labels]  # the last one where there is no label
            code, draws = np.concatenate([code, told], axis=1), np.concatenate([draws, told], axis=1)
        else:
            prior.draw(place, draws, key.stream(clock.step), rows)
        found = [Match(players["game/code"], code, draws)]
        if coder.game.inferred:
            noise = np.empty_like(code, shape=(n, 1))
            kernels.normal(key.derive("label").stream(clock.step), rows, noise)
            drawn = np.eye(coder.game.labels, dtype=code.dtype)[chosen(noise[:, 0], None, coder.game.labels)]
            found.append(Match(players["game/label"], coder.shares(work.rows, n).copy(), drawn))
        return found

    def _played(self, work: GameWorkspace, match: Match, state: RuleState, clock: Clock, pool: Workers) -> Array:
        """Let a discriminator learn from a match; returns how the mean of what the encoder wants rises with its points,
        (rows, units).
        """
        n, s = len(match.points), self.settings
        if s.adversary == "mmd":
            return kernel_slope(match.points, match.draws)
        player, tape = match.player, work.heard[match.player.name]
        sigma, key = s.noise_at(clock.done), clock.key.derive("heard")
        learner = player.learner(state)
        player.fill(tape, np.concatenate([match.draws, match.points]), (key, clock.step, sigma))
        targets = np.zeros((2 * n, 1), match.points.dtype)
        targets[:n] = 1 - s.smoothing
        said = player.told(learner, tape, targets, pool)
        slope = player.gradient(learner, tape, 2 * n, pool)
        if s.penalty == "gradient":
            slope -= slope.dtype.type(s.penalty_weight) * player.penalty(learner, tape, 2 * n, n)
        slope /= n
        self.opponent(player).step(learner, slope, state, (clock.done, clock.step + 1), pool)
        if s.penalty == "spectral":
            player.bound(state)
        watched = state[f"{WATCH}{player.name.removeprefix('game/')}_game"]
        watched += (1 - KEPT) * (float(said.sum()) / n - watched)
        player.fill(tape, match.points, (key.derive("fooled"), clock.step, sigma))
        player.told(learner, tape, np.ones((n, 1), match.points.dtype), pool)
        return player.slope(learner, tape, n, pool) / n

    def _teach(self, work: GameWorkspace, clock: Clock, pool: Workers) -> None:
        """Leave the derivatives of the mean log-probability of known labels on the tape of labelled rows."""
        coder, taught = work.coder, clock.taught
        assert taught is not None
        rows, labels = taught
        coder.hear(work.labelled, rows, clock.key.derive("taught"), clock.step, self.settings.row_noise)
        pool.map(lambda part: coder.encode(part), coder.parts(work.labelled, len(rows)))
        shares_of = coder.shares(work.labelled, len(rows))
        wanted = np.eye(coder.game.labels, dtype=rows.dtype)[labels]
        coder.pull_fields(work.labelled, len(rows), (wanted - shares_of) / len(rows), pool)

    def _reconstruct(self, work: GameWorkspace, batch: Array, labels: Labels, pool: Workers) -> None:
        """Leave the gradient of the mean log-likelihood of rows given their codes in the workspace."""
        machine, coder, n = work.machine, work.coder, len(batch)
        net, name = machine.structure.generative[machine.visible], f"generative/{machine.visible}"
        factor, conditional = machine.factors[machine.visible], machine.conditionals[machine.visible]
        given, held = coder.given_shares(work.rows, labels), machine.layers[0].kind == "gaussian"
        by_code, by_shares = np.empty((n, coder.units), batch.dtype), list[Array]()
        if coder.game.inferred:
            by_shares.append(np.empty((n, coder.game.labels), batch.dtype))

        def work_on(part: Part) -> None:
            place, source = coder.place(name, part), coder.code
            if isinstance(factor, Labelled):
                assert given is not None
                source = factor.hear(place, given[part.rows])
            value, pullback = net.forward(name, machine.params, source, part)
            conditional.score(value, net.bias(name, machine.params), batch[part.rows], zeros(value))
            if held:
                value[:, machine.columns :] = 0
            value *= value.dtype.type(1 / n)
            signal = pullback(value)
            assert signal is not None
            by_code[part.rows] = signal[:, : coder.units]
            if by_shares and coder.game.embed:
                by_shares[0][part.rows] = signal @ machine.params[f"{name}/heads"].T
            elif by_shares:
                by_shares[0][part.rows] = signal[:, coder.units :]

        pool.map(work_on, coder.parts(work.rows, n))
        coder.pull(work.rows, n, (by_code, *by_shares), pool)
        coder.gradient(work.rows, n, pool, work.gradient[coder.start :])
        pool.map(lambda job: job(), self._decoder_products(work, given, n))

    def _decoder_products(self, work: GameWorkspace, given: Array | None, n: int) -> list[Any]:
        """The parameter gradients of the decoder as pieces of work."""
        machine, coder, whole = work.machine, work.coder, work.rows.whole(n)
        name, factor = f"generative/{machine.visible}", machine.factors[machine.visible]
        source = f"{name}/heard" if isinstance(factor, Labelled) else coder.code
        net = machine.structure.generative[machine.visible]
        jobs = net.products(name, (machine.params, work.named), source, whole)
        if coder.game.embed:
            assert given is not None
            jobs.append(lambda: self._heads(work, given, whole.get(f"{name}/signal", coder.units)))
        return jobs

    def _heads(self, work: GameWorkspace, given: Array, signal: Array) -> None:
        """The gradient of the points of embedded labels, which repel each other below a distance."""
        name = f"generative/{work.machine.visible}/heads"
        heads, found, least = work.machine.params[name], work.named[name], self.settings.head_distance
        kernels.contraction(np.ascontiguousarray(given), signal, found)
        if least == 0:
            return
        for mine, out in zip(heads, found, strict=True):
            apart = mine - heads
            distance = np.sqrt(np.square(apart).sum(axis=1, keepdims=True))
            near = (distance < least) & (distance > 0)
            out += np.where(near, apart / np.where(near, distance, 1), 0).sum(axis=0)
