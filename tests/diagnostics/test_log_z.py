"""Catches findings on log Z from both sides that miss unsound parts, or that doubt sound ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks.two_sided import blocks, both, ladder, made
from support.machines import SMALL, machine_of

from boltz.diagnostics import log_z
from boltz.diagnostics.findings import Diagnosis
from boltz.diagnostics.log_z import halved
from boltz.diagnostics.log_z import overlap as judged
from boltz.estimators import two_sided
from boltz.sampling import ladder_fitting

NAMES = [
    "log Z",
    "overlap lost",
    "swap acceptance",
    "round trips",
    "memory of copies",
    "forward/reverse gap",
    "doubling of the schedule",
]


def sound(**parts: Any) -> Any:
    words = {"lower": made(9.95), "middle": ladder(made(10.0)), "upper": made(10.05)} | parts
    return both(**words)


def verdicts(findings: Any) -> dict[str, str]:
    return {found.name: found.verdict for found in findings if found.verdict != "fine"}


def test_sound_parts_are_fine() -> None:
    found = judged(sound(), made(9.93, steps=500))
    assert [f.name for f in found] == NAMES and verdicts(found) == {}
    assert all(f.sentence.endswith(".") and not f.advice for f in found)
    assert [f.name for f in judged(sound())] == NAMES[:-1], "nothing to compare with"
    assert Diagnosis(tuple(found)).as_dict()["verdict"] == "fine"


def test_a_pair_without_overlap_is_named() -> None:
    found = judged(sound(middle=ladder(made(10.0), (0.6, 0.01, 0.4, 0.3))))
    assert verdicts(found) == {"overlap lost": "bad", "swap acceptance": "bad"}
    lost = found[1]
    assert lost.value == 1 and "between the rungs at 0.25 and 0.5:" in lost.sentence and lost.advice
    assert found[2].value == 0.01 and "0.01 between the rungs at 0.25 and 0.5" in found[2].sentence
    many = log_z.overlap_lost(ladder(made(10.0), (0.04, 0.01, 0.02, 0.0, 0.03)))
    assert many.value == 5 and "at 0.2 and 0.4, 0.4 and 0.6, 0.6 and 0.8 and 2 more:" in many.sentence
    exact = log_z.overlap_lost(ladder(made(10.0), (0.05, 0.5)))
    assert exact.verdict == "fine" and exact.value == 0


@pytest.mark.parametrize(("least", "verdict"), [(0.3, "fine"), (0.2, "fine"), (0.1, "attention"), (0.04, "bad")])
def test_swap_acceptance(least: float, verdict: str) -> None:
    found = log_z.swap_acceptance(ladder(made(10.0), (0.6, least)))
    assert (found.verdict, found.value) == (verdict, least) and bool(found.advice) == (verdict != "fine")


@pytest.mark.parametrize(
    ("trips", "share", "verdict"),
    [((1, 2), 1.0, "fine"), ((0, 2), 0.5, "fine"), ((0, 0, 5), 1 / 3, "attention"), ((0, 0), 0.0, "bad")],
)
def test_round_trips(trips: tuple[int, ...], share: float, verdict: str) -> None:
    found = log_z.round_trips(ladder(made(10.0), trips=trips))
    assert (found.verdict, found.value) == (verdict, share)
    assert f"{round(share * len(trips))} of {len(trips)} copies, {np.mean(trips):.1f} times" in found.sentence


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(9.5, 10.4, "fine"), (9.0, 10.4, "attention"), (10.2, 10.0, "fine"), (11, 9, "bad")]
)
def test_the_gap_of_annealing(low: float, high: float, verdict: str) -> None:
    found = log_z.gap_found(sound(lower=made(low), upper=made(high)))
    assert found.verdict == verdict and found.value == pytest.approx(high - low) and "0.07" in found.sentence
    assert ("missed a mode" in found.advice) == (verdict == "bad")


@pytest.mark.parametrize(("memory", "verdict"), [(-0.3, "fine"), (0.2, "fine"), (0.3, "attention"), (0.9, "bad")])
def test_memory_of_copies(memory: float, verdict: str) -> None:
    found = log_z.memory_found(ladder(made(10.0), memory=memory))
    assert (found.verdict, found.value) == (verdict, memory) and f"correlation of {memory:.2f}." in found.sentence
    assert bool(found.advice) == (verdict != "fine")


def test_doubling_of_the_schedule() -> None:
    def verdict(short: float, share: float) -> str:
        found = log_z.doubling(made(short, steps=500), made(10.0, ess=100 * share))
        assert found.value == pytest.approx(10.0 - short) and "From 500 to 1,000 temperatures" in found.sentence
        assert f"80% and {share:.0%} of its chains" in found.sentence
        assert bool(found.advice) == (found.verdict != "fine")
        return found.verdict

    assert [verdict(9.9, 0.8), verdict(9.0, 0.8), verdict(11.0, 0.8)] == ["fine", "attention", "attention"]
    assert [verdict(9.9, 0.2), verdict(9.9, 0.01), verdict(9.0, 0.01)] == ["attention", "bad", "bad"]


def test_the_value_itself() -> None:
    narrow, wide = sound(), sound(wanted=0.01)
    assert judged(narrow)[0].sentence == "log Z is 10.00 nats, 95 % interval 9.85 to 10.15, as narrow as was asked " \
        "for (+-0.25)."  # fmt: skip
    assert judged(wide)[0].verdict == "attention" and "not within the +-0.01" in judged(wide)[0].sentence
    doubted = judged(sound(upper=made(10.0, doubts=("made",))))[0]
    assert doubted.verdict == "bad" and "NOT trusted" in doubted.sentence and "--budget" in doubted.advice


def test_an_exact_log_z_has_one_finding() -> None:
    found = two_sided.from_both_sides(machine_of(SMALL["rbm"]))
    assert halved(machine_of(SMALL["rbm"]), found) is None
    (one,) = judged(found, None)
    assert one.verdict == "fine" and one.value == found.estimate.value and "enumeration" in one.sentence


def test_findings_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that mixes well, and of a ladder to it with two rungs, between which no swap passes."""
    monkeypatch.setattr(two_sided, "FIRST_ROUNDS", 60)
    monkeypatch.setattr(two_sided, "FIRST_STEPS", 100)
    monkeypatch.setattr(ladder_fitting, "PILOT_ROUNDS", 16)
    machine, _ = blocks(scale=0.5)
    found = two_sided.from_both_sides(machine, 0.5, 0.0)
    shorter = halved(machine, found)
    assert shorter is not None and (shorter.steps, shorter.chains, shorter.kind) == (50, 100, "lower")
    assert verdicts(judged(found, shorter)) == {}
    monkeypatch.setattr(ladder_fitting, "fitted_places", lambda make, places, *rest: np.array([0.0, 1.0]))
    off = {n: np.full(24, 0.02) for n in ("v", "h1")}
    bad = verdicts(judged(two_sided.from_both_sides(blocks(scale=3.0)[0], 0.5, 0.0, base=off)))
    assert bad["overlap lost"] == bad["swap acceptance"] == bad["log Z"] == "bad"
