"""Directed objectives as weights of one backward pass, functions of the log-weights log w (rows, samples) alone.

With log w_k = log p(x, z_k) - log q(z_k | x) and wn = softmax of it over k, the ascent direction is
  theta: sum_k a_k d log p(x, z_k)
  phi, reparameterised layers: sum_k b_k (d log w_k / d z_k) (d z_k / d phi) + c_k d log q(z_k) at fixed z_k
  phi, discrete layers: sum_k (c_k + score_k) d log q(z_k).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import checks
from boltz.arrays import constant
from boltz.errors import InputError
from boltz.models.structure import Structure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Knobs:
    """Samples a group and groups of samples, and the numbers that some objectives take."""

    samples: int = 1
    groups: int = 1
    alpha: float = 0.0
    beta: float = 0.5
    sleep_share: float = 0.5

    @property
    def total(self) -> int:
        """Samples a row in all."""
        return self.samples * self.groups


@dataclass(frozen=True)
class Weights:
    """Row weights (rows, samples); b None means no pathwise derivative at all, c None means -b."""

    a: Floats
    b: Floats | None
    c: Floats | None
    score: Floats | None = None

    @property
    def fixed(self) -> Floats:
        """c, written out."""
        if self.c is not None:
            return self.c
        assert self.b is not None
        return -self.b

    def over(self, rows: int) -> Weights:
        """The same for the mean over so many rows."""
        return self._each(lambda x: x / rows)

    def of(self, rows: slice, dtype: Any) -> Weights:
        """Those of some rows, one after the other, (rows * samples,), in another type."""
        return self._each(lambda x: x[rows].reshape(-1).astype(dtype))

    def _each(self, change: Callable[[Floats], Floats]) -> Weights:
        b, c, score = (None if x is None else change(x) for x in (self.b, self.c, self.score))
        return Weights(change(self.a), b, c, score)


def _softmax(log_w: Floats) -> Floats:
    """Weights of each row that sum to one."""
    found = np.empty_like(log_w)
    kernels.softmax(log_w, found)
    return found


def _even(log_w: Floats) -> Floats:
    """Equal weights that sum to one."""
    found: Floats = constant(1 / log_w.shape[1], log_w, *log_w.shape)
    return found


def _nothing(log_w: Floats) -> Floats:
    found: Floats = constant(0, log_w, *log_w.shape)
    return found


def _vae(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """The evidence lower bound, mean over the draws (Kingma & Welling 2014, eq. 7)."""
    even = _even(log_w)
    return Weights(even, even, None)


def _stl(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """Sticking the landing: the evidence lower bound without its score term (Roeder, Wu & Duvenaud 2017, eq. 8)."""
    even = _even(log_w)
    return Weights(even, even, _nothing(log_w))


def _iwae(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """The importance-weighted bound (Burda, Grosse & Salakhutdinov 2016, eq. 14)."""
    normalised = _softmax(log_w)
    return Weights(normalised, normalised, None)


def _dreg(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """Doubly reparameterised: alpha 0 for IWAE, 1 for reweighted wake-sleep (Tucker et al. 2019, section 4)."""
    normalised = _softmax(log_w)
    b = s.alpha * normalised + (1 - 2 * s.alpha) * normalised * normalised
    return Weights(normalised, b, _nothing(log_w))


def _grouped(log_w: Floats, groups: int) -> Floats:
    """Weights normalised within each of so many groups of consecutive samples, over the number of groups."""
    rows, count = log_w.shape
    inside = _softmax(log_w.reshape(rows * groups, count // groups)) / groups
    return inside.reshape(rows, count)


def _miwae(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """The mean of M importance-weighted bounds of K samples each (Rainforth et al. 2018, section 4)."""
    inside = _grouped(log_w, s.groups)
    return Weights(inside, inside, None)


def _ciwae(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """beta times the evidence lower bound plus 1 - beta times that of IWAE (Rainforth et al. 2018, section 4)."""
    mixed = s.beta / log_w.shape[1] + (1 - s.beta) * _softmax(log_w)
    return Weights(mixed, mixed, None)


def _piwae(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """IWAE over all M K samples for the generative side, MIWAE for recognition (Rainforth et al. 2018, section 4)."""
    return Weights(_softmax(log_w), _grouped(log_w, s.groups), None)


def _wake_sleep(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """The wake phase; recognition learns from dreams alone (Hinton, Dayan, Frey & Neal 1995)."""
    return Weights(_even(log_w), None, _nothing(log_w))


def _rws(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """Reweighted wake-sleep; the rest of phi learns from dreams (Bornschein & Bengio 2015, eqs. 4-9)."""
    normalised = _softmax(log_w)
    return Weights(normalised, None, (1 - s.sleep_share) * normalised)


def _reinforce(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """The score-function gradient of the evidence lower bound in every layer (Williams 1992; Paisley et al. 2012).

    baseline (rows,) is subtracted from log w; the one that is added back belongs to c.
    """
    even = _even(log_w)
    return Weights(even, None, -even, (log_w - baseline[:, None] + 1) * even)


def _nvil(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """As reinforce with a learned baseline, but pathwise where layers are smooth (Mnih & Gregor 2014, section 2).

    Without their variance normalisation, which Adam makes up for, and with one learning signal for all layers.
    """
    even = _even(log_w)
    return Weights(even, even, None, (log_w - baseline[:, None] + 1) * even)


def _vimco(log_w: Floats, s: Knobs, baseline: Floats) -> Weights:
    """The importance-weighted bound with geometric leave-one-out baselines (Mnih & Rezende 2016, eqs. 8-10)."""
    normalised = _softmax(log_w)
    signal = np.empty_like(log_w)
    kernels.without_one(log_w, signal)
    return Weights(normalised, normalised, None, signal)


@dataclass(frozen=True)
class Objective:
    """How weights come from log-weights, and what the objective asks of latent layers, samples and dreams.

    smooth: every latent layer must be reparameterised; discrete: some layer must not be. uses names the settings that
    mean something to it; dreams says that recognition also learns in a sleep phase; fixed that the weights are the same
    whatever log w is.
    """

    weights: Callable[[Floats, Knobs, Floats], Weights]
    smooth: bool = False
    discrete: bool = False
    least: int = 1
    uses: tuple[str, ...] = ()
    dreams: bool = False
    bound: str = "elbo"
    fixed: bool = False


MANY = 5  # samples where an objective weighs several and none are asked for
OBJECTIVES: dict[str, Objective] = {
    "vae": Objective(_vae, smooth=True, fixed=True),
    "stl": Objective(_stl, smooth=True, fixed=True),
    "iwae": Objective(_iwae, smooth=True, bound="iwae"),
    "dreg": Objective(_dreg, smooth=True, uses=("alpha",), bound="iwae"),
    "miwae": Objective(_miwae, smooth=True, uses=("groups",), bound="iwae"),
    "ciwae": Objective(_ciwae, smooth=True, uses=("beta",), bound="iwae"),
    "piwae": Objective(_piwae, smooth=True, uses=("groups",), bound="iwae"),
    "wake-sleep": Objective(_wake_sleep, dreams=True),
    "rws": Objective(_rws, uses=("sleep_share",), dreams=True, bound="iwae"),
    "reinforce": Objective(_reinforce),
    "nvil": Objective(_nvil, discrete=True),
    "vimco": Objective(_vimco, discrete=True, least=2, bound="iwae"),
}


def samples_for(objective: Any) -> int:
    """How many samples a row there are where none are asked for: 5 where an objective weighs several, else 1."""
    known = isinstance(objective, str) and objective in OBJECTIVES
    return MANY if known and OBJECTIVES[objective].bound == "iwae" else 1


def check(name: str, knobs: Knobs, structure: Structure) -> None:
    """Raise InputError with the reason where an objective is not defined for the machine or its settings."""
    objective = OBJECTIVES[checks.choice(name, "objective", OBJECTIVES)]
    plain = Knobs(samples=knobs.samples)
    for setting in ("groups", "alpha", "beta", "sleep_share"):
        if setting not in objective.uses and getattr(knobs, setting) != getattr(plain, setting):
            users = ", ".join(n for n, other in OBJECTIVES.items() if setting in other.uses)
            raise InputError(f"{setting} is a setting of the objective {users}, not of {name}.")
    if knobs.total < objective.least:
        raise InputError(f"the objective {name} must have at least {objective.least} samples, got {knobs.total}.")
    if structure.prior == "rbm":
        raise InputError(
            f"the objective {name} is not defined for a deep belief net: the gradient of its prior holds that of "
            "log Z; it is trained by pretraining and the up-down rule."
        )
    discrete = [layer.name for layer in structure.latent if layer.binary]
    if objective.smooth and discrete:
        raise InputError(
            f"the objective {name} is not defined for binary layers ({', '.join(discrete)}): a draw of theirs has no "
            "derivative; take vimco, nvil, reinforce, rws or wake-sleep."
        )
    if objective.discrete and not discrete:
        raise InputError(
            f"the objective {name} is not defined for a machine without binary layers, where it would be "
            f"{'iwae' if objective.bound == 'iwae' else 'vae'} itself; take that or reinforce."
        )
