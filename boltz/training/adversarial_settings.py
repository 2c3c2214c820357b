"""Settings of the game that trains an adversarial autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from boltz import checks
from boltz.training.meaning import above_zero, again, among, explained, setting
from boltz.training.settings import OPTIMIZERS, Averaged, Common

ADVERSARIES = ("gan", "mmd")
PENALTIES = ("none", "gradient", "spectral")
GAN = among("adversary", "gan")
GRADIENT = among("penalty", "gradient")


@explained
@dataclass(frozen=True, repr=False)
class AdversarialSettings(Averaged):
    """How an adversarial autoencoder is trained: reconstruction, and a game between encoder and discriminator.

    Each step has the phases of Makhzani et al. (2016): the discriminator learns to tell codes from draws of the prior,
    the encoder learns to fool it, labelled rows teach the encoder their labels, and decoder and encoder learn to
    give back the rows. optimizer, momentum and learning_rate are those of reconstruction and of labels.
    """

    learning_rate: float = again(Common, "learning_rate", 1e-3)
    optimizer: str = again(Common, "optimizer", "adam")
    binarize: str = again(Common, "binarize", "none")
    adversary: str = setting(
        "gan",
        "What codes are matched to the prior by: a discriminator (gan), or the kernel distance of two samples (mmd).",
        choices=ADVERSARIES,
    )
    discriminator_rate: float = setting(1e-3, "Learning rate of the discriminators.", GAN)
    generator_rate: float = setting(3e-4, "Learning rate of the encoder in the game.")
    label_rate: float = setting(1e-3, "Learning rate of the encoder by labelled rows, where there are any.")
    labelled_batch: int = setting(100, "Labelled rows of a step, where there are any.")
    game_optimizer: str = setting("adam", "How steps of the game are taken.", choices=OPTIMIZERS)
    game_momentum: float = setting(
        0.9, "Momentum of the game: that of momentum and nesterov, the decay of the first moments of adam and adamax."
    )
    discriminator_widths: tuple[int, ...] = setting((100, 100), "Hidden units of each discriminator.", GAN)
    input_noise: float = setting(0.1, "Standard deviation of the noise that discriminators hear at first.", GAN)
    noise_epochs: float = setting(
        0.0, "Epochs over which this noise falls to 0; 0 for all epochs alike.", above_zero("input_noise")
    )
    smoothing: float = setting(0.0, "What the target of draws of the prior is below 1.", GAN)
    penalty: str = setting(
        "none",
        "What keeps discriminators smooth: a penalty on the squared gradient by their inputs at draws of the prior, or "
        "spectral norms of at most 1.",
        GAN,
        choices=PENALTIES,
    )
    penalty_weight: float = setting(1.0, "Weight of half the squared gradient.", GRADIENT)
    row_noise: float = setting(0.0, "Standard deviation of the noise that is added to the rows the encoder hears.")
    head_distance: float = setting(
        0.0, "Distance of the points of embedded labels below which they repel each other; 0 for none."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        widths = checks.sequence(self.discriminator_widths, "discriminator_widths", 100)
        found = tuple(checks.integer(n, "discriminator_widths", 1, 10**6) for n in widths)
        object.__setattr__(self, "discriminator_widths", found)
        self._check(("discriminator_rate", "generator_rate", "label_rate"), 0, 1e6)
        self._check(("input_noise", "row_noise", "noise_epochs", "penalty_weight", "head_distance"), 0, 1e9)
        self._check(("smoothing",), 0, 0.5)
        self._check(("game_momentum",), 0, 0.999)
        self._check(("labelled_batch",), 1, 10**9, checks.integer)
        checks.choice(self.adversary, "adversary", ADVERSARIES)
        checks.choice(self.penalty, "penalty", PENALTIES)
        checks.choice(self.game_optimizer, "game_optimizer", OPTIMIZERS)

    def of_player(self, rate: float, own: bool = True) -> Common:
        """The settings of one player's steps at the start; own: with the optimizer of the game."""
        return _of_player(self, rate, own)

    def noise_at(self, done: float) -> float:
        """Standard deviation of the noise at the discriminators' input after so many epochs."""
        return self.input_noise * (max(1 - done / self.noise_epochs, 0.0) if self.noise_epochs else 1.0)


@lru_cache(maxsize=64)  # of the runs at work; a long process sees any number of settings
def _of_player(settings: AdversarialSettings, rate: float, own: bool) -> Common:
    found = replace(settings, l2=0.0, l1=0.0, l1b=0.0, max_norm=0.0, learning_rate=rate)
    if not own:
        return found
    momentum = settings.game_momentum
    found = replace(found, optimizer=settings.game_optimizer, momentum=momentum, initial_momentum=momentum)
    return replace(found, adam_beta1=momentum, adam_second=0.0)
