"""Rows of several kinds of data from files, and what is drawn and measured of a machine of them, beside plain sums."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

import boltz
from boltz.data import again
from boltz.data.views import whole_rows
from boltz.estimators.two_sided import two_sided
from boltz.evaluation.view_reading import known_views, view_rows_asked
from boltz.training.view_rows import rows_for

Floats = NDArray[np.float64]
ERRORS = 5  # standard errors: one false alarm in two million
GENERATOR = np.random.default_rng(11)
ROWS = 12
REAL = GENERATOR.normal(3, 2, (ROWS, 3)).astype(np.float32)
GREY = GENERATOR.integers(0, 256, (ROWS, 2)).astype(np.uint8)
CODES = GENERATOR.integers(0, 3, (ROWS, 2))
CODES[0] = 0, 2
LABELS = np.arange(ROWS) % 4
VIEWS = {"real": ("x_real", "gaussian"), "grey": ("x_grey", "bernoulli"), "codes": ("x_codes", "categorical")}
NOTHING: dict[str, Any] = {"limit": None, "split": None, "levels": None, "label_column": None, "drop_columns": ()}


def by_hand() -> NDArray[Any]:
    """The columns of all views, one-hot ones of codes."""
    return np.concatenate([REAL, GREY / np.float32(255), np.eye(3)[CODES].reshape(ROWS, 6)], axis=1).astype(np.float32)


def check_columns() -> None:
    """Each view in its own columns, divided by its own levels, and the same rows by what run.toml keeps of them."""
    with tempfile.TemporaryDirectory() as folder:
        file, alone = Path(folder) / "rows.npz", Path(folder) / "codes.npy"
        np.savez(file, x_real=REAL, x_grey=GREY, x_codes=CODES, y=LABELS)
        np.save(alone, CODES)
        found = boltz.load_views(file, VIEWS)
        apart = boltz.load_views(file, {**VIEWS, "codes": (str(alone), "categorical:3")})
        for data in (found, apart, again(**found.request), again(**apart.request)):
            np.testing.assert_array_equal(data.x, by_hand())
            np.testing.assert_array_equal(data.labels, LABELS)
            assert [(v.name, v.columns, v.kind) for v in data.views] == [
                ("real", 3, "gaussian"),
                ("grey", 2, "bernoulli"),
                ("codes", 6, "categorical:3"),
            ]
            assert data.fingerprint == found.fingerprint and data.known is None
        views: dict[str, Any] = {"real": (3, "gaussian"), "grey": 2, "codes": (2, "categorical:3")}
        model = boltz.multimodal(views, {"real": [2], "grey": [2], "codes": [2]}, 2, x=found)
        arrays = {"real": REAL, "grey": GREY, "codes": CODES}
        assert rows_for(model, arrays, "x", False).fingerprint == found.fingerprint
        again_made = boltz.multimodal(views, {"real": [2], "grey": [2], "codes": [2]}, 2, x=arrays)
        np.testing.assert_array_equal(model.arena, again_made.arena)


def check_splits() -> None:
    """x_train and x_test in the place of x are splits, with labels of their own; limit takes the first rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npz"
        cut = {"x_real_train": REAL[:8], "x_real_test": REAL[8:], "x_codes_train": CODES[:8], "x_codes_test": CODES[8:]}
        np.savez(file, **cut, y_train=LABELS[:8], y_test=LABELS[8:])
        views = {"codes": ("x_codes", "categorical:3"), "real": ("x_real", "gaussian")}
        whole = np.roll(by_hand()[:, [0, 1, 2, 5, 6, 7, 8, 9, 10]], 6, axis=1)
        for split, rows in (("train", slice(0, 8)), ("test", slice(8, 12))):
            found = boltz.load_views(file, views, split)
            np.testing.assert_array_equal(found.x, whole[rows])
            np.testing.assert_array_equal(found.labels, LABELS[rows])
        few = again(**boltz.load_views(file, views, "train", 5).request)
        np.testing.assert_array_equal(few.x, whole[:5])
        np.testing.assert_array_equal(few.labels, LABELS[:5])


def check_missing() -> None:
    """NaN is unknown in its own column, all columns of a unit of codes; rows known in full are those without any."""
    with tempfile.TemporaryDirectory() as folder:
        file, holes = Path(folder) / "rows.npz", CODES.astype(np.float64)
        holes[3], holes[5, 1] = np.nan, np.nan
        real = REAL.copy()
        real[7] = np.nan
        np.savez(file, x_real=real, x_grey=GREY, x_codes=holes)
        found = boltz.load_views(file, VIEWS, missing=True)
        known = np.ones((ROWS, 11), bool)
        known[3, 5:], known[5, 8:], known[7, :3] = False, False, False
        np.testing.assert_array_equal(found.known, known)
        np.testing.assert_array_equal(np.asarray(found.x)[known], by_hand()[known])
        np.testing.assert_array_equal(whole_rows(found).x, by_hand()[known.all(axis=1)])


def check_given() -> None:
    """A file that holds one view, in an array of its name, is known there and nowhere else."""
    with tempfile.TemporaryDirectory() as folder:
        file, model = Path(folder) / "rows.npz", binary_machine()
        text = GENERATOR.integers(0, 2, (ROWS, 2)).astype(np.float32)
        np.savez(file, text=text)
        np.savez(Path(folder) / "both.npz", text=text, image=np.ones((ROWS, 3)))
        asked = {**NOTHING, "data": str(file), "given": ("text",), "missing": True}
        data, _ = view_rows_asked(None, model, asked)
        known = known_views(model, data, ("text",))
        np.testing.assert_array_equal(known, np.tile([False] * 3 + [True] * 2, (ROWS, 1)))
        found = boltz.features(model, np.asarray(data.x), "joint", known)
        np.testing.assert_array_equal(found, boltz.features(model, {"text": text}, "joint"))
        whole, _ = view_rows_asked(None, model, {**asked, "data": f"{folder}/both.npz"})
        np.testing.assert_array_equal(known_views(model, whole, ("text",)), known)
        assert known_views(model, whole, None).all()


def binary_machine(dtype: Any = np.float64) -> boltz.BoltzmannMachine:
    """A machine of two kinds of units of 0 and 1 with weights of all sizes."""
    model = boltz.multimodal({"image": 3, "text": 2}, {"image": [2], "text": [2]}, 2, dtype=dtype)
    model.arena[...] = np.random.default_rng(2).normal(size=model.arena.size)
    return model


def joint_sums(model: boltz.BoltzmannMachine) -> tuple[Floats, Floats, float]:
    """All visible rows of a machine of units of 0 and 1, log p*(v) of each, and log Z, by a sum over all states."""
    sizes, names = [layer.units for layer in model.layers], [layer.name for layer in model.layers]
    states = np.array(list(product([0.0, 1.0], repeat=sum(sizes))))
    parts = dict(zip(names, np.split(states, np.cumsum(sizes)[:-1], axis=1), strict=True))
    log_p = sum((parts[name] @ model.bias(name) for name in names), np.zeros(len(states)))
    for edge in model.graph.edges:
        log_p += np.einsum("ij,jk,ik->i", parts[edge.lower], model.params[edge.key], parts[edge.upper])
    seen, place = np.unique(states[:, : model.columns], axis=0, return_inverse=True)
    each = np.array([logsumexp(log_p[place == i]) for i in range(len(seen))])
    return seen, each, float(logsumexp(log_p))


def check_log_z_from_both_sides() -> None:
    """Annealing up and down and replica exchange, each beside a sum over all states."""
    model = binary_machine()
    exact = joint_sums(model)[2]
    both = two_sided(model, 0.1, 5.0, seed=3)
    assert both.estimate.interval[0] <= exact <= both.estimate.interval[1]
    for found in (both.lower, both.upper, both.estimate, boltz.reverse_ais(model, betas=300, seed=4)):
        assert abs(found.value - exact) < ERRORS * max(found.standard_error, 1e-3), (found, exact)


def check_importance_bounds() -> None:
    """L_k of many samples beside log p(v) by a sum over all states, and below it at one sample, row by row."""
    model = binary_machine()
    rows, log_p, log_z = joint_sums(model)
    one, many = boltz.importance_bounds(model, rows, [1, 5000], boltz.exact_log_z(model), seed=5)
    exact = (log_p - log_z).mean()
    assert abs(many.value - exact) < ERRORS * many.standard_error + 1e-3
    assert one.value < many.value + ERRORS * one.standard_error


def check_active_units() -> None:
    """Posterior means of a machine with weak weights are nearly exact, so that their variance over rows is, too."""
    model = binary_machine()
    model.arena[...] *= 0.3
    rows = joint_sums(model)[0]
    found = boltz.posterior_variances(model, rows)
    for layer in ("image_h1", "text_h1", "joint"):
        exact = exact_means(model, rows, layer).var(axis=0)
        np.testing.assert_allclose(found[layer], exact, rtol=0.1, atol=2e-5)


def exact_means(model: boltz.BoltzmannMachine, rows: Floats, layer: str) -> Floats:
    """Posterior means of a layer of binary_machine given rows (rows, 5), by a sum over the hidden states."""
    hidden = np.array(list(product([0.0, 1.0], repeat=6)))
    parts = {"image_h1": hidden[:, :2], "text_h1": hidden[:, 2:4], "joint": hidden[:, 4:]}
    given = {"image": rows[:, :3], "text": rows[:, 3:]}
    log_p = sum((parts[name] @ model.bias(name) for name in parts), np.zeros(len(hidden)))
    for top in ("image_h1", "text_h1"):
        log_p = log_p + np.einsum("ij,jk,ik->i", parts[top], model.params[f"edge/{top}-joint/weight"], parts["joint"])
    whole = np.tile(log_p, (len(rows), 1))
    for view, x in given.items():
        whole += x @ model.params[f"edge/{view}-{view}_h1/weight"] @ parts[f"{view}_h1"].T
    p = np.exp(whole - logsumexp(whole, axis=1, keepdims=True))
    return np.asarray(p @ parts[layer])


def check_samples_from_data() -> None:
    """Chains that start at rows and do not move are at these rows, each view at its own columns."""
    model = mixed_machine()
    x = {"real": REAL, "grey": (GREY > 127).astype(np.float32)}
    found = boltz.sample(model, ROWS, 0, start="data", data=x)
    np.testing.assert_array_equal(found["grey"], x["grey"])
    np.testing.assert_allclose(found["real"], REAL, rtol=1e-5, atol=1e-5)


def check_visible_means() -> None:
    """means=True: the mean of each view given the layer above it, Gaussian ones in the units of the data; and so do
    chains that go on from states in these units.
    """
    model = mixed_machine()
    states = boltz.sample(model, 6, 3, seed=1)
    found = boltz.sample(model, 6, 3, seed=1, means=True)
    scaling = model.scaling
    assert scaling is not None
    inner = states["real_h1"] @ model.params["edge/real-real_h1/weight"].T + model.bias("real")
    inner = inner * np.exp(model.params["layer/real/log_variance"])
    np.testing.assert_allclose(found["real"], inner * REAL.std(axis=0) + REAL.mean(axis=0), rtol=1e-4)
    on = expit(states["grey_h1"] @ model.params["edge/grey-grey_h1/weight"].T + model.bias("grey"))
    np.testing.assert_allclose(found["grey"], on, rtol=1e-4)
    still = boltz.sample(model, 6, 0, seed=2, start=dict(states))
    np.testing.assert_allclose(still["real"], states["real"], rtol=1e-5, atol=1e-5)


def mixed_machine() -> boltz.BoltzmannMachine:
    """A machine of real numbers, in the units of REAL, beside units of 0 and 1."""
    x = {"real": REAL, "grey": (GREY > 127).astype(np.float32)}
    views: dict[str, Any] = {"real": (3, "gaussian"), "grey": 2}
    model = boltz.multimodal(views, {"real": [2], "grey": [2]}, 2, x=x)
    model.arena[...] += np.random.default_rng(3).normal(0, 0.5, model.arena.size).astype(np.float32)
    return model
