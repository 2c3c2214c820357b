"""Catches machines on any graph that learn from wrong states, or whose pathways come together wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from checks import any_graph_training as checks

import boltz
from boltz.errors import InputError


@pytest.mark.parametrize("phase", ["collapsed", "gibbs"])
@pytest.mark.parametrize("name", ["both", "hidden", "triangle", "skip", "uneven"])
def test_positive_phases_draw_from_the_posterior(name: str, phase: str) -> None:
    checks.check_positive_phase(name, phase)


@pytest.mark.parametrize("view", ["x", "y"])
@pytest.mark.parametrize("name", ["views", "uneven", "tied"])
def test_views_that_lack_are_drawn(name: str, view: str) -> None:
    checks.check_lacking_views(name, view=view, scale=0.7 if name == "views" else 1.5)


def test_pathways() -> None:
    checks.check_pathways()


@pytest.mark.parametrize("name", checks.LEARNT)
def test_learning(name: str) -> None:
    checks.check_learning(name)


def test_rates_and_features() -> None:
    checks.check_rates_of_sums()


VIEWS = boltz.multimodal({"x": 3, "y": (2, "gaussian")}, {"x": [2], "y": [2]}, 2)
BM = boltz.boltzmann(3, 2)


@pytest.mark.parametrize(
    ("model", "x", "settings", "message"),
    [
        (VIEWS, {"x": np.ones((4, 3))}, {}, "x must hold arrays by view, x, y"),
        (VIEWS, {"x": np.ones((4, 3)), "y": np.ones((3, 2))}, {}, "x must hold equally many rows of each view"),
        (VIEWS, {"x": np.full((4, 3), 7.0), "y": np.ones((4, 2))}, {}, "numbers in \\[0, 1\\]"),
        (VIEWS, np.ones((4, 4)), {}, "shape"),
        (
            VIEWS,
            np.ones((4, 5)),
            {"pretrain": "two-stage", "pretrain_epochs": 1},
            "pretrain must be bottom",
        ),
        (
            VIEWS,
            np.ones((4, 5)),
            {"learning_rate": (0.1, 0.2)},
            "learning_rate must be one number",
        ),
        (VIEWS, np.ones((4, 5)), {"rule": "ptt"}, "rule ptt is for one visible layer"),
        (VIEWS, np.ones((4, 5)), {"binarize": "fixed"}, "binarize must be none"),
        (BM, np.ones((4, 3)), {"pretrain_epochs": 2}, "pretrain_epochs must be 0 for a machine of kind bm"),
        (BM, np.ones((4, 3)), {"rule": "ptt"}, "rule must be pcd or cd"),
        (BM, np.ones((4, 3)), {"sparsity_cost": 0.1}, "sparsity_cost must be 0"),
        (BM, np.full((4, 3), np.nan), {}, "missing|finite|NaN|nan"),
    ],
)
def test_what_cannot_be_learnt_is_refused_in_a_sentence(model, x, settings, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        boltz.train(model, x, epochs=1, **settings)
