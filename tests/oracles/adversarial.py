"""One step of a game by plain sums and finite differences: tiny nets, float64, tanh machines, all from the formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]
Params = dict[str, Floats]
SMALL = 1e-6


def slopes(value: Callable[[], float], x: Floats) -> Floats:
    """The derivative of a value by an array that it reads, by central differences."""
    found = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        kept = x[i]
        x[i] = kept + SMALL
        up = value()
        x[i] = kept - SMALL
        found[i] = (up - value()) / (2 * SMALL)
        x[i] = kept
    return found


def dense(params: Params, name: str, x: Floats, act: Callable[[Floats], Floats] = np.tanh) -> tuple[Floats, Floats]:
    """Outputs of a dense net, and its last hidden layer."""
    depth, hidden = sum(key.startswith(f"{name}/") and key.endswith("weight") for key in params), x
    for i in range(depth):
        field = hidden @ params[f"{name}/{i}/weight"] + params[f"{name}/{i}/bias"]
        if i == depth - 1:
            return field, hidden
        hidden = act(field)
    raise AssertionError("a net has layers")


def encoded(params: Params, heard: Floats, latent: int, noise: Floats | None) -> tuple[Floats, Floats | None]:
    """Codes, and log-probabilities of labels where there is a head; noise of a Gaussian encoder."""
    own = {key: x for key, x in params.items() if key.startswith("recognition/h1")}
    out, hidden = dense(own, "recognition/h1", heard)
    code = out[:, :latent] if noise is None else out[:, :latent] + np.exp(out[:, latent:]) * noise
    if "recognition/label/0/weight" not in params:
        return code, None
    return code, log_softmax(hidden @ params["recognition/label/0/weight"] + params["recognition/label/0/bias"], axis=1)


def decoded(params: Params, code: Floats, shares: Floats | None) -> Floats:
    """Outputs of the decoder for codes and shares of labels."""
    if shares is not None and "generative/v/heads" in params:
        code = code + shares @ params["generative/v/heads"]
    elif shares is not None:
        code = np.concatenate([code, shares], axis=1)
    own = {key: x for key, x in params.items() if key.startswith("generative/v") and not key.endswith("heads")}
    return dense(own, "generative/v", code)[0]


def log_rows(outputs: Floats, rows: Floats, gaussian: bool) -> Floats:
    """log p(row | outputs), with spread 1 for Gaussian units."""
    if not gaussian:
        return np.sum(rows * outputs - np.logaddexp(0, outputs), axis=1)
    units = rows.shape[1]
    each = -0.5 * np.square(rows - outputs[:, :units]) - 0.5 * np.log(2 * np.pi)
    return np.sum(each, axis=1)


def reconstruction(params: Params, heard: Floats, rows: Floats, about: Any) -> float:
    """Mean log-likelihood of rows given their codes; about is a checks.adversarial.About."""
    code, labels = encoded(params, heard, about.latent, about.noise)
    shares = about.shares if about.shares is not None or labels is None else np.exp(labels)
    return float(log_rows(decoded(params, code, shares), rows, about.gaussian).mean())


def log_odds(params: Params, points: Floats) -> Floats:
    """What a discriminator with rectified units says, (rows,)."""
    return dense(params, "net", points, lambda field: np.maximum(field, 0))[0][:, 0]


def told_apart(params: Params, draws: Floats, points: Floats, smoothing: float = 0.0) -> float:
    """What a discriminator maximises: mean log-probabilities of draws as draws and of points as points."""
    of_draws, of_points = log_odds(params, draws), log_odds(params, points)
    target = 1 - smoothing
    real = -target * np.logaddexp(0, -of_draws) - (1 - target) * np.logaddexp(0, of_draws)
    return float(real.mean() - np.logaddexp(0, of_points).mean())


def fooled(params: Params, points: Floats) -> float:
    """What the encoder maximises: the mean log-probability that its points are draws."""
    return float(-np.logaddexp(0, -log_odds(params, points)).mean())


def squared_slope(params: Params, draws: Floats) -> float:
    """The mean squared derivative of the log-odds by the draws."""
    total = 0.0
    for x in draws:
        depth, hidden, slope = len(params) // 2, x, np.eye(len(x))
        for i in range(depth):
            field = hidden @ params[f"net/{i}/weight"] + params[f"net/{i}/bias"]
            slope = slope @ params[f"net/{i}/weight"]
            if i < depth - 1:
                hidden, slope = np.maximum(field, 0), slope * (field > 0)
        total += float(np.square(slope).sum())
    return total / len(draws)


def kernel_distance(x: Floats, y: Floats, scale: float) -> float:
    """The unbiased squared kernel distance of two samples by double sums."""

    def mean(a: Floats, b: Floats, same: bool) -> float:
        pairs = [
            scale / (scale + np.square(p - q).sum())
            for i, p in enumerate(a)
            for j, q in enumerate(b)
            if not (same and i == j)
        ]
        return float(np.mean(pairs))

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def softmax_rows(fields: Floats) -> Floats:
    """Probabilities of fields, (rows, labels)."""
    return np.asarray(softmax(fields, axis=1))
