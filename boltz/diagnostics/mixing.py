"""Checks of Gibbs chains: how fast they mix beside k sweeps a step, and whether they are where data are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from boltz.diagnostics.findings import Finding, graded
from boltz.diagnostics.traces import STATISTICS
from boltz.sampling.convergence import LEAST_TIMES, LEAST_TOTAL, chain_ess, integrated_time, nested_rhat, split_rhat

Floats = NDArray[np.float64]
Scores = Mapping[str, float]
SLOW, TOO_SLOW = 10.0, 100.0  # mixing times in units of k: persistent chains trail the weights by so many steps
APART, FAR_APART = 1.05, 1.2  # R-hat
FEW, TOO_FEW = 10.0, 2.0  # effective draws a chain
GAP, LARGE_GAP = 1.0, 3.0  # standard deviations of the free energy of data
UNLIKE, VERY_UNLIKE = 0.05, 0.1  # mean difference of activities


def scores(chains: Floats) -> dict[str, Scores]:
    """Integrated time, split R-hat and effective draws of each statistic, from chains (statistics, chains, sweeps)."""
    measures = {"integrated_time": integrated_time, "split_rhat": split_rhat, "chain_ess": chain_ess}
    return {
        name: {what: measure(x, axis=1) for what, x in zip(STATISTICS, chains, strict=True)}
        for name, measure in measures.items()
    }


def mixing_time(times: Scores, k: int | None, shape: tuple[int, int]) -> Finding:
    """The slowest integrated time of chains of this shape (chains, draws) beside k sweeps a training step."""
    slowest = max(times, key=lambda what: times[what])
    chains, draws = shape
    known, limit = np.isfinite(times[slowest]), min(draws / LEAST_TIMES, chains * draws / LEAST_TOTAL)
    time = times[slowest] if known else limit
    words = f"{time:.1f} sweeps" if known else f"more than {limit:.0f} sweeps, the longest that this run can show"
    sentence = f"The mixing time is {words} ({slowest})."
    verdict, advice = graded(time / (k or limit), SLOW, TOO_SLOW), []
    if k is not None:
        step = f"k = {k} sweep{'s' if k > 1 else ''} a step"
        sentence = f"{sentence[:-1]}, and training makes {step}."
        if verdict != "fine":
            advice.append(f"{step} is far below the mixing time: raise --k, or --chains, or lower the learning rate")
    if not known:
        verdict = "attention" if verdict == "fine" else verdict
        advice.append("run longer (--sweeps) to see the mixing time")
    return Finding("mixing time", verdict, times[slowest], sentence, f"{'; '.join(advice)}." if advice else "")


def agreement(rhats: Scores) -> Finding:
    """The largest split R-hat of the statistics."""
    worst = max(rhats, key=lambda what: rhats[what])
    verdict = graded(rhats[worst], APART, FAR_APART)
    sentence = f"Split R-hat between the chains is {rhats[worst]:.3f} ({worst})"
    if verdict == "fine":
        return Finding("agreement of chains", verdict, rhats[worst], f"{sentence}: they agree.")
    advice = (
        "each chain sees only a part of the distribution: run longer (--sweeps) to see how long it takes, "
        "sample with many chains, and train with more chains (--chains), a larger --k or smaller weights (--l2)."
    )
    return Finding("agreement of chains", verdict, rhats[worst], f"{sentence}: they stay apart.", advice)


def effective_draws(ess: Scores, shape: tuple[int, int]) -> Finding:
    """The smallest effective number of draws of the statistics, of chains of this shape (chains, draws)."""
    least = min(ess, key=lambda what: ess[what])
    chains, draws = shape
    verdict = graded(-ess[least] / chains, -FEW, -TOO_FEW)
    sentence = f"{ess[least]:,.0f} of {chains * draws:,} draws of {chains} chains are effective ({least})."
    advice = "" if verdict == "fine" else "run more sweeps between samples that are to be independent, or more chains."
    return Finding("effective draws", verdict, ess[least], sentence, advice)


def start_forgotten(groups: Floats, name: str) -> tuple[Finding, Scores]:
    """Whether chains from data or particles (called name) and from independent units agree in the later sweeps.

    groups (statistics, 2, chains, sweeps). Returns the nested R-hat of each statistic as well.
    """
    later = groups[..., groups.shape[-1] // 2 :]
    found = {what: nested_rhat(x) for what, x in zip(STATISTICS, later, strict=True)}
    worst = max(found, key=lambda what: found[what])
    verdict = graded(found[worst], APART, FAR_APART)
    what = f"Chains from {name} and chains from independent units"
    sentence = f"after {groups.shape[-1]:,} sweeps (nested R-hat {found[worst]:.3f}, {worst})."
    if verdict == "fine":
        return Finding("initial condition", verdict, found[worst], f"{what} agree {sentence}"), found
    advice = (
        "there are modes that Gibbs sampling does not leave, or does not find, in so many sweeps: do not trust samples "
        "or gradients from these chains; run longer (--sweeps), or train with a larger --k or smaller weights (--l2)."
    )
    return Finding("initial condition", verdict, found[worst], f"{what} differ {sentence}", advice), found


def energy_gap(data: Floats, chains: Floats, name: str) -> Finding:
    """Mean free energy of particles or chains (called name) less that of data rows, by the spread of the latter."""
    gap, spread = float(chains.mean() - data.mean()), float(data.std())
    value = gap / spread if spread > 0 else float(np.sign(gap)) * float("inf") if gap else 0.0
    verdict = graded(abs(value), GAP, LARGE_GAP)
    where = "above" if value > 0 else "below"
    sentence = f"The free energy of {name} lies {abs(value):.2f} standard deviations {where} that of data."
    advice = (
        "" if verdict == "fine" else f"{name} are not where the data are: train longer, with a larger k or more chains."
    )
    return Finding("free energy of particles", verdict, value, sentence, advice)


def activity_gap(views: Mapping[str, tuple[Floats, Floats]]) -> Finding:
    """Mean absolute difference between the mean activities (units,) of data and of chains in each visible layer, and
    the largest of these.

    They are shares of the largest state.
    """
    each = {view: float(np.abs(data - chains).mean()) for view, (data, chains) in views.items()}
    value = max(each.values())
    verdict = graded(value, UNLIKE, VERY_UNLIKE)
    told = " and that of ".join(f"a unit of {view} differs by {gap:.3f}" for view, gap in each.items())
    sentence = f"The activity of {told} on average between data and chains."
    advice = (
        "" if verdict == "fine" else "samples do not look like data: train longer, or with a larger k or more chains."
    )
    return Finding("visible activity", verdict, value, sentence, advice)
