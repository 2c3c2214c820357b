"""Quick checks of adversarial autoencoders for scikit-learn, each of what a planted fault would spoil."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
from scipy.special import expit, softmax

import boltz
from boltz.sklearn import AAEClassifier, AAEClusterer, AAETransformer

RNG = np.random.default_rng(14)
BITS = (RNG.random((40, 6)) < np.linspace(0.2, 0.8, 6)).astype(float)
GAME: dict[str, Any] = {"epochs": 1, "batch_size": 20, "discriminator_widths": (4,)}
NETS: dict[str, Any] = {"layers": (5,), "latent": 2, "random_state": 3}


def seeds(count: int, random_state: int = 3) -> list[int]:
    """The first seeds of a random_state."""
    generator = np.random.RandomState(random_state)
    return [int(generator.randint(0, 2**63 - 1, dtype=np.int64)) for _ in range(count)]


def trained(machine: Any, seed: int, **settings: Any) -> Any:
    return boltz.train(machine, BITS, seed=seed, schedule="linear", optimizer="adam", **GAME | settings).model


def check_classes_are_taught() -> None:
    """A fit is boltz.train with the classes numbered in order, and -1 for rows without a label; so is one that goes on.

    Classes are words, and numbers among which -2 is one and -1 is none.
    """
    first, second = seeds(2)
    codes = np.where(np.arange(40) < 25, np.arange(40) % 3, -1)
    machine = boltz.aae([6, 5], 2, BITS, first, labels="inferred", classes=3)
    wanted = trained(machine, first, labels=codes, learning_rate=0.002)
    onwards = trained(wanted, second, labels=codes, learning_rate=0.002)
    words, numbers = np.array(["a", "b", "c"], object), np.array([-2, 5, 7])
    for classes in (words, numbers):
        y = np.where(codes < 0, -1, classes[codes])
        found = AAEClassifier(**NETS, **GAME, warm_start=True).fit(BITS, y)
        assert found.classes_.tolist() == classes.tolist()
        assert found.machine_.arena.tobytes() == wanted.arena.tobytes()
        found.fit(BITS, y)
        assert found.machine_.arena.tobytes() == onwards.arena.tobytes() and len(found.history_) == 2


def encoded(machine: Any, rows: Any) -> tuple[Any, Any]:
    """Codes and probabilities of inferred labels, by the weights."""
    p = machine.params
    hidden = np.maximum(rows @ p["recognition/h1/0/weight"] + p["recognition/h1/0/bias"], 0)
    code = (hidden @ p["recognition/h1/1/weight"] + p["recognition/h1/1/bias"])[:, :2]
    return code, softmax(hidden @ p["recognition/label/0/weight"] + p["recognition/label/0/bias"], axis=1)


def decoded(machine: Any, heard: Any) -> Any:
    """Visible means of what the decoder hears, by the weights."""
    p = machine.params
    inner = np.maximum(heard @ p["generative/v/0/weight"] + p["generative/v/0/bias"], 0)
    return expit(inner @ p["generative/v/1/weight"] + p["generative/v/1/bias"])


def random(fitted: Any) -> Any:
    """A fitted estimator with random weights in the place of its own."""
    arena = fitted.machine_.arena
    arena[...] = np.random.default_rng(5).normal(size=arena.size)
    return fitted


def check_probabilities_of_classes() -> None:
    """By the weights of the encoder, each column that of its class."""
    fitted = random(AAEClassifier(**NETS, **GAME).fit(BITS, np.array(["u", "w", "v"])[np.arange(40) % 3]))
    shares = encoded(fitted.machine_, BITS)[1]
    np.testing.assert_allclose(fitted.predict_proba(BITS), shares, rtol=1e-4)
    assert fitted.predict(BITS).tolist() == np.array(["u", "v", "w"])[shares.argmax(axis=1)].tolist()


def check_clusters_and_what_the_decoder_hears() -> None:
    """By the weights: the most probable label, the code beside the probabilities or plus their heads, and the way back.

    embedding is the same of the machine itself.
    """
    for embed in (False, True):
        fitted = random(AAEClusterer(3, embed=embed, **NETS, **GAME).fit(BITS))
        code, shares = encoded(fitted.machine_, BITS)
        heard = np.hstack([code, shares])
        if embed:
            heard = code + shares @ fitted.machine_.params["generative/v/heads"]
        found = fitted.transform(BITS)
        np.testing.assert_allclose(found, heard, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(boltz.embedding(fitted.machine_, BITS), heard, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(boltz.label_probabilities(fitted.machine_, BITS), shares, rtol=1e-4)
        assert fitted.predict(BITS).tolist() == shares.argmax(axis=1).tolist()
        wanted = decoded(fitted.machine_, heard)
        np.testing.assert_allclose(fitted.inverse_transform(found), wanted, rtol=1e-3, atol=1e-6)


def check_labels_of_clusters() -> None:
    """labels_ are the clusters of the rows of the fit, or of those that came last."""
    fitted = AAEClusterer(3, **NETS, **GAME)
    assert np.array_equal(fitted.fit_predict(BITS), fitted.predict(BITS))
    assert np.array_equal(fitted.partial_fit(BITS[:7]).labels_, fitted.predict(BITS[:7]))


def check_codes() -> None:
    """transform is boltz.features of the machine that boltz.train makes, and inverse_transform is boltz.decode."""
    first = seeds(1)[0]
    wanted = trained(boltz.aae([6, 5], 2, BITS, first, prior="mixture"), first, learning_rate=0.002)
    fitted = AAETransformer(prior="mixture", **NETS, **GAME).fit(BITS)
    assert fitted.machine_.arena.tobytes() == wanted.arena.tobytes()
    found = fitted.transform(BITS)
    assert np.array_equal(found, boltz.features(wanted, BITS))
    np.testing.assert_allclose(fitted.inverse_transform(found), boltz.decode(wanted, found), rtol=1e-6)


def check_no_row_is_held_out() -> None:
    """Rows that are held out could not end a game, so that all of them teach, also where epochs follow the rows."""
    seen: list[Any] = []

    def told(*arguments: Any, **settings: Any) -> Any:
        seen.append(settings)
        return boltz.train(*arguments, **settings | {"epochs": 0})

    with mock.patch("boltz.sklearn.machines.train", told):
        AAETransformer((5,), 2, random_state=1).fit(BITS)
    assert seen[0]["validation"] == 0 and seen[0]["epochs"] > 1000
