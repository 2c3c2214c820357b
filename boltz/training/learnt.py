"""What a reader should know of a machine at the end of its training: that it diverged, or learnt nothing, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.models import products
from boltz.models.files import Model
from boltz.models.products import COMPONENTS, NOTHING
from boltz.presets import LEAST_PARTED
from boltz.rng import Key
from boltz.sampling.features import side_by_side
from boltz.sampling.meanfield import MeanField, variational_free_energy
from boltz.training.game_notes import game_notes
from boltz.training.held_out import directed, quick_log_z, undirected
from boltz.training.overfitting import ADVICE, gap
from boltz.training.updown import recognised

Array = NDArray[Any]
ROWS = 500  # that are looked at
SEED = 0  # of the mixture that it is measured against
ERRORS = 3.0  # of what the mixture gains that may be chance
LARGEST = 1000.0  # weight that no machine needs: a change of one unit then decides another for certain
DIVERGED, LEARNT_NOTHING = "The machine has diverged", "The machine has learnt nothing"
FAR, FAR_TIMES = "so far that it must have diverged", 20.0  # times what independent units have: lost modes cost less
LITTLE = 0.02  # share of what a mixture gains that is little, not nothing: a machine that lost a mode may have as much
WORSE = "worse than independent units on its own training rows"
SHORT, SHARE, NOISE = 0.25, 0.02, 5.0  # nats, and share of its gain, that a mixture may lead by chance; nats of a row
SPREAD, CONSTANT = 1e-3, 0.95  # standard deviation of a constant unit, and share of such units in a layer


def notes(model: Model, rows: Array, unseen: Array, key: Key) -> tuple[str, ...]:
    """Sentences on a trained machine, given training rows and held-out rows (rows, units) as it sees them."""
    states = host(rows)
    if model.kind == "aae":  # which learns to match a prior, not to be likely
        return (*_by_heart(len(rows)), *_large(model), *game_notes(model, rows, key))
    few = rows[:: -(-len(rows) // ROWS)]
    stands = standing(model, states, few, key)
    found = (*_by_heart(len(rows)), *_large(model), *_constant(model, few), *_beyond(stands))
    if hopeless(found) or any(WORSE in note for note in found):
        return found
    return (*found, *_behind(model, (rows, few), stands), *_overfitted(model, rows, unseen, key))


def hopeless(notes: Sequence[str]) -> bool:
    """Whether notes say that a machine diverged or learnt nothing: then chains that left a mode count for nothing.

    A machine that is worse than independent units may be so because its chains left a mode.
    """
    return any(note.startswith((DIVERGED, LEARNT_NOTHING)) or FAR in note for note in notes)


def _overfitted(model: Model, rows: Array, unseen: Array, key: Key) -> tuple[str, ...]:
    found = gap(model, rows, unseen, key.derive("gap"))
    if found is None or not found.large:
        return ()
    return (f"{found.sentence}: it has learnt rows by heart. {ADVICE}",)


def _by_heart(rows: int) -> tuple[str, ...]:
    if rows >= LEAST_PARTED:
        return ()
    return (
        f"The machine was trained on {rows} row{'s' * (rows > 1)}: so few are learnt by heart, and what it says of "
        "others means little.",
    )


def _large(model: Model) -> tuple[str, ...]:
    found = {name: float(np.abs(host(x)).max(initial=0)) for name, x in model.params.items() if name.endswith("weight")}
    name = max(found, key=lambda each: found[each])
    if found[name] <= LARGEST:
        return ()
    return (
        f"{DIVERGED}, though its numbers are finite: a weight of {name} is {found[name]:.3g} in size. "
        "Train it with a smaller learning_rate.",
    )


def _constant(model: Model, rows: Array) -> tuple[str, ...]:
    if len(np.unique(host(rows), axis=0)) < 2:
        return ()
    told = []
    for layer in model.hidden_layers:
        spread = host(side_by_side(model, rows, [layer.name])).std(axis=0)
        still = int((spread < SPREAD).sum())
        if still >= CONSTANT * layer.units:
            told.append(
                f"{still:,} of the {layer.units:,} units of {layer.name} have the same posterior mean for every row: "
                "they tell nothing of it."
            )
    return tuple(told)


@dataclass(frozen=True)
class Standing:
    """Mean log-likelihoods of some rows in nats: own of the machine, by a quick look, and alone of independent units.

    gain is what a mixture of products adds to the latter on rows it was not fitted to, with error its standard error:
    whether there is anything to learn at all. mixture is that mixture, None where there are too few rows for it.
    """

    own: float
    alone: float
    gain: float
    error: float
    mixture: products.Products | None

    @property
    def least(self) -> float:
        """Nats below independent units that a sound machine may be, as the look is quick."""
        return max(NOTHING * self.gain, 0.5)

    @property
    def something(self) -> bool:
        """Whether there surely is something to learn."""
        return self.gain > ERRORS * self.error


def standing(model: Model, states: Array, rows: Array, key: Key) -> Standing | None:
    """How a machine stands beside independent units of states (any, units), on rows (rows, units) of them.

    None where units or rows are not binary. Rows lie where the machine does.
    """
    if len(model.visible_layers) > 1 or not model.layers[0].binary or not ((states == 0) | (states == 1)).all():
        return None
    own, seen = _log_likelihood(model, rows, key), host(rows)
    return Standing(own, float(products.independent(states).log_prob(seen).mean()), *_there_is(states))


def _beyond(found: Standing | None) -> tuple[str, ...]:
    """Whether the machine is worse than independent units on its own rows, or no better."""
    if found is None:
        return ()
    change = found.own - found.alone
    if not change >= -found.least:
        worse = f"{-change:.1f} nats a row" if np.isfinite(change) else "beyond all measure"
        far = f", {FAR}" if not -change <= FAR_TIMES * abs(found.alone) else ""
        return (f"The machine is {worse} {WORSE}{far}. Train it with a smaller learning_rate.",)
    if found.something and change <= NOTHING * found.gain:
        learnt = LEARNT_NOTHING if change <= LITTLE * found.gain else LEARNT_NOTHING.replace("nothing", "little")
        return (
            f"{learnt} beyond independent units on its own training rows ({change:+.2f} nats a row; a mixture "
            f"of {COMPONENTS} products {found.gain:+.2f}). Train it for more updates: more epochs, or smaller batches.",
        )
    return ()


def _behind(model: Model, rows: tuple[Array, Array], found: Standing | None) -> tuple[str, ...]:
    """Whether an RBM or DBM is worse than a mixture on rows that this was not fitted to; log Z is that of found.

    rows are all of them, and the few that found is of. A directed machine is measured by a bound, which may lie below a
    mixture where the machine does not.
    """
    rbm, (states, few) = model.undirected, rows
    if found is None or found.mixture is None or not found.something or rbm is None or model.directed is not None:
        return ()
    odd = states[1 :: 2 * -(-len(states) // (2 * ROWS))]
    less, more = (float(variational_free_energy(rbm, x, MeanField())[0].mean()) for x in (few, odd))
    short = float(found.mixture.log_prob(host(odd)).mean()) - (found.own + less - more)
    if not short > max(SHORT, SHARE * found.gain) + NOISE / np.sqrt(len(odd)):
        return ()
    return (
        f"The machine is {short:.1f} nats a row worse than a mixture of {COMPONENTS} products on its own training "
        "rows. Give it more hidden units, or train it for more epochs; boltz diagnose tells whether hidden units "
        "repeat each other.",
    )


def _there_is(states: Array) -> tuple[float, float, products.Products | None]:
    """What a mixture gains over independent units on every other row (nats a row), fitted to the rest, and its error.

    It says whether there is anything to learn at all. The mixture comes last.
    """
    train, unseen = states[::2], states[1::2]
    if len(unseen) < 2:
        return 0.0, 0.0, None
    alone = products.independent(train).log_prob(unseen)
    mixture = products.mixture(train, COMPONENTS, SEED)
    pairs = mixture.log_prob(unseen) - alone
    return float(pairs.mean()), float(pairs.std(ddof=1) / np.sqrt(len(pairs))), mixture


def _log_likelihood(model: Model, rows: Array, key: Key) -> float:
    """A quick mean log-likelihood of rows (rows, units) in nats; not finite where the machine diverged."""
    with np.errstate(all="ignore"):
        rbm, net = model.undirected, model.directed
        if net is None:
            assert rbm is not None
            return undirected(rbm, rows, rows, MeanField(), key)
        bound = directed(net, rows, key)
        if rbm is None:
            return bound
        return bound - quick_log_z(rbm, host(recognised(net, rows, key.derive("recognised"))), key)
