"""Catches coupled chains whose gradient is biased, and runs of theirs that cannot go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import coupled
from checks.training import coin_rows
from support.training import plain_train

import boltz
from boltz.errors import InputError

ROWS = coin_rows(60, 12, 200).astype(np.float32)
KINDS: dict[str, tuple[list[int], dict[str, Any]]] = {
    "rbm": ([12, 7], {"k": 2}),
    "centred": ([12, 6, 4], {"center": True, "sparsity_cost": 0.05}),
    "pretrained": ([12, 6, 4, 3], {"pretrain": "bottom", "pretrain_epochs": 1, "positive": "gibbs"}),
}


def train(kind: str, **more: Any) -> boltz.Run:
    units, settings = KINDS[kind]
    settings = {"rule": "ucd", "epochs": 2, "batch_size": 12, "learning_rate": 0.1, **settings, **more}
    return plain_train(boltz.dbm(units, ROWS), ROWS, **settings)


def test_unbiased() -> None:
    coupled.check_unbiased()


def test_deep_machine_is_unbiased() -> None:
    coupled.check_deep_machine_is_unbiased()


def test_terms() -> None:
    coupled.check_terms()


def test_gradient_is_the_sum_of_its_terms() -> None:
    coupled.check_gradient_is_the_sum_of_its_terms()


def test_chains_that_meet_stay_together() -> None:
    coupled.check_chains_that_meet_stay_together()


def test_meeting_is_likely() -> None:
    coupled.check_meeting_is_likely()


def test_chains_that_do_not_meet_are_told() -> None:
    coupled.check_chains_that_do_not_meet_are_told()


def test_steps_draw_anew() -> None:
    coupled.check_steps_draw_anew()


def test_never_replayed() -> None:
    coupled.check_never_replayed()


@pytest.mark.parametrize("kind", KINDS)
def test_machines_of_any_depth_and_resume(kind: str, tmp_path: Path) -> None:
    """A run that is stopped after its first epoch, and goes on, ends bit for bit as the unbroken one."""
    whole = train(kind)
    assert np.isfinite(whole.model.arena).all() and whole.history[-1]["mode_gap"] is None

    class StoppedError(Exception):
        pass

    def stop(record: Any) -> None:
        if record["stage"] == "joint":
            raise StoppedError

    with pytest.raises(StoppedError):
        train(kind, out=tmp_path / "run", watch=stop)
    assert boltz.resume(tmp_path / "run", ROWS).model.arena.tobytes() == whole.model.arena.tobytes()


def test_rule_is_refused_where_it_does_not_apply() -> None:
    with pytest.raises(InputError, match="rule must be"):
        plain_train(boltz.dbn([12, 4, 3]), ROWS, rule="ucd")
