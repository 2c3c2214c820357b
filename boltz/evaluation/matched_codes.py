"""How the codes of an adversarial autoencoder match its prior, as findings of a diagnosis."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from boltz.diagnostics.findings import Diagnosis, Finding, Verdict
from boltz.models.files import Model
from boltz.rng import Key
from boltz.training.game_notes import COLLAPSED, matched

Array = NDArray[Any]
SPREAD = "train it with a larger generator_rate, more input_noise, or adversary='mmd'."
LONGER = "train it for more epochs, or with a larger generator_rate; samples come from the prior, not from the codes."
TAUGHT = "rare classes may be the reason, else a larger label_rate, more labelled rows, or more epochs."
MORE_USE = "fewer clusters may do, or a larger generator_rate, by which the game of labels makes them even."


def with_codes(found: Diagnosis, model: Model, x: Array, seed: int, taught: bool = False) -> Diagnosis:
    """A diagnosis with findings on codes and inferred labels of rows x (rows, units); as it is for other machines.

    taught: inferred labels are classes that the machine was taught, no clusters.
    """
    if model.kind != "aae" or model.directed is None:
        return found
    told = matched(model.directed, x, Key.from_seed(seed).derive("codes"))
    near = (
        f"{told.covered:.0%} of the draws of the prior have a code near them, and {told.inside:.0%} of the codes a draw"
    )
    test = f"kernel distance {told.test.distance:.3f}, p = {told.test.p_value:.3f}"
    if told.covered < COLLAPSED:
        sentence = f"Mode collapse: {near} ({test}), so that samples come from where no row is."
        finding = Finding("codes", "bad", told.covered, sentence, SPREAD)
    elif told.test.differ:
        finding = Finding(
            "codes", "attention", told.covered, f"Codes are told apart from the prior ({test}): {near}.", LONGER
        )
    else:
        finding = Finding("codes", "fine", told.covered, f"Codes are not told apart from the prior ({test}): {near}.")
    findings = [finding]
    if told.used:
        verdict: Verdict = "attention" if told.unused else "fine"
        what = "taught classes" if taught else "inferred labels"
        sentence = f"{len(told.used) - told.unused} of {len(told.used)} {what} are in use"
        advice = TAUGHT if taught else MORE_USE
        shares = f"the most common one has {max(told.used):.0%} of the rows"
        findings.append(
            Finding("labels", verdict, float(told.unused), f"{sentence}; {shares}.", advice if told.unused else "")
        )
    return found.extended(*findings, codes=told.as_dict())
