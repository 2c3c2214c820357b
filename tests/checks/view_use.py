"""Checks of what a diagnosis says of each of several views, against sums over all joint states and plain numpy."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
from checks.any_graph import machine
from checks.known_parts import truth

import boltz
from boltz.diagnostics.layers import IDLE
from boltz.diagnostics.views import ViewUse, pathway, views_of_rows
from boltz.estimators import unknown_units
from boltz.sampling.meanfield import MeanField, mean_field


def check_hearing() -> None:
    """log p(x, y) - log p(x) - log p(y) of each row, by sums over all joint states; where marginals are sampled, with
    100 samples a row of 60 rows, within 0.05 nats, which is 5 of their errors; without an edge between views it is 0.
    """
    for name in ("views", "uneven", "tied"):
        model = machine(name, scale=1.5)
        drawn = boltz.exact_samples(model, 60, seed=1)
        rows = np.concatenate([drawn[n] for n in model.graph.views], axis=1)
        first = np.arange(rows.shape[1]) < model.units["x"]
        each = [truth(model, rows, np.tile(known, (60, 1))) for known in (first | True, first, ~first)]
        wanted = each[0] - each[1] - each[2]
        log_z = boltz.exact_log_z(model)
        for found in views_of_rows(model, rows, log_z):
            assert found.exact and found.gain is not None and found.interval is not None
            np.testing.assert_allclose(found.gain, wanted.mean(), atol=1e-9)
            half = 1.959964 * wanted.std(ddof=1) / 60**0.5
            np.testing.assert_allclose(found.interval, (wanted.mean() - half, wanted.mean() + half), atol=1e-6)
        with mock.patch.object(unknown_units, "MOST_UNITS", -1):
            for found in views_of_rows(model, rows, log_z, seed=2):
                assert found.gain is not None and abs(found.gain - wanted.mean()) < 0.05
                assert not found.exact
        assert all(found.gain is None for found in views_of_rows(model, rows, None))
    apart = machine("views", scale=1.5)
    apart.params["edge/b-j/weight"][...] = 0
    rows = np.concatenate([boltz.exact_samples(apart, 40)[n] for n in "xy"], axis=1)
    for found in views_of_rows(apart, rows, boltz.exact_log_z(apart)):
        assert found.gain is not None and abs(found.gain) < 1e-9 and not found.works
        assert "Hearing" in str(found) and found.finding().verdict == "attention"


def check_drives() -> None:
    """Drives of pathways and idle units against plain numpy, in machines with and without a layer above all."""
    model = machine("views", scale=1.0)
    drawn = boltz.exact_samples(model, 50, seed=2)
    rows = np.concatenate([drawn["x"], drawn["y"]], axis=1)
    state = {**model.evidence(rows), **mean_field(model, rows, MeanField(1e-3, 100))}
    w = {name.split("/")[1]: x for name, x in model.params.items() if name.startswith("edge")}
    x, y = views_of_rows(model, rows, None)
    np.testing.assert_allclose(
        x.drive, (state["j"] @ w["a-j"].T).std(0).mean() / (state["x"] @ w["x-a"]).std(0).mean(), rtol=1e-9
    )
    np.testing.assert_allclose(
        y.drive, (state["j"] @ w["b-j"].T).std(0).mean() / (state["y"] @ w["y-b"]).std(0).mean(), rtol=1e-9
    )
    assert x.idle == {"a": ((state["a"].std(0) < IDLE).sum(), 2)} and list(y.idle) == ["b"]
    deep = boltz.multimodal({"p": 3, "q": 4}, {"p": [2, 3], "q": [3, 2]}, 2)
    assert pathway(deep.graph, "p") == ("p_h1", "p_h2") and pathway(deep.graph, "q") == ("q_h1", "q_h2")
    uneven = machine("uneven")
    assert pathway(uneven.graph, "x") == ("a",) and pathway(uneven.graph, "y") == ("b",)
    tied = machine("tied", scale=1.0)
    drawn = boltz.exact_samples(tied, 50, seed=3)
    one, other = views_of_rows(tied, np.concatenate([drawn["x"], drawn["y"]], axis=1), None)
    assert one.drive is None and not one.idle and not other.idle


def check_words() -> None:
    """A view that hears others, one that does not, and one of which no gain is known."""
    heard = ViewUse("x", ("y", "z"), 0.4, {"x_h1": (3, 40)}, 1.25, (1.0, 1.5), True)
    assert str(heard) == (
        "Hearing y and z is worth 1.25 nats a row (1.00 to 1.50). In its pathway 3 of the 40 units of x_h1 are idle. "
        "Layers outside drive it 0.40 times as much as it does itself."
    )
    assert heard.works and heard.finding().verdict == "fine" and not heard.finding().advice
    sampled = replace(heard, exact=False, interval=(-0.1, 0.3), gain=0.1)
    assert "(-0.10 to 0.30, estimated)" in str(sampled) and not sampled.works and sampled.finding().advice
    deaf = replace(heard, gain=None, interval=None, drive=0.01)
    assert not deaf.works and replace(deaf, drive=0.3).works and "Hearing" not in str(deaf)
