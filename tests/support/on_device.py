"""What must hold on a device, emulated or real: the work of the CPU with the same random bits, equal but for rounding.

Every check runs the same public call on a machine of the CPU and on the same machine moved to the device. In float64
sums differ by some 1e-16 of their size, so that a draw differs with probability 1e-16 and results agree to 1e-8 even
where a trajectory or a training run amplifies them; in float32 a draw differs with probability 1e-7, and figures agree
to 1e-3. A fault of the code above the kernels shows as an error of CuPy or as a difference of order 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from support.training import plain_train

import boltz
from boltz.diagnostics.diagnose import diagnose
from boltz.estimators.estimate import Estimate
from boltz.estimators.likelihood import variational_bound
from boltz.rng import Key
from boltz.sampling.base_rate import base_rates
from boltz.sampling.ladders import Temperatures
from boltz.sampling.replica_exchange import exchange, replicas_of
from boltz.targets import path_to
from boltz.training.held_out import SCORE, best_epoch

Call = Callable[[Any], Any]
AGREE = {np.float64: 1e-8, np.float32: 1e-3}


def rows(count: int, units: int = 12, seed: int = 0) -> Any:
    return (np.random.default_rng(seed).random((count, units)) < 0.3).astype(np.float32)


X = rows(40)
KNOWN = rows(40, seed=1) == 0


def boltzmann(sizes: tuple[int, ...] = (12, 7, 5), dtype: Any = np.float64) -> boltz.BoltzmannMachine:
    """A machine with weights of standard deviation 0.6."""
    model = boltz.dbm(list(sizes), x=rows(50, sizes[0]), dtype=dtype)
    weights = sum(a * b for a, b in pairwise(sizes))
    model.arena[:weights] *= 60
    return model


def helmholtz(kind: str, dtype: Any = np.float64) -> Any:
    """A small directed machine of a kind, with twice its usual weights where that leaves its chains finite."""
    made = {
        "vae": lambda: boltz.vae([12, 8], latent=3, x=X),
        "deep": lambda: boltz.vae([12, [8], [6]], latent=[4, 2], x=X),
        "grey": lambda: boltz.vae([12, 8], latent=3, x=X, visible="gaussian", activation="relu"),
        "sbn": lambda: boltz.sbn([12, 6, 5], x=X),
        "wide": lambda: boltz.sbn([12, 6, 5], widths=[7], x=X, activation="softplus"),
        "mixed": lambda: boltz.helmholtz([12, 6, 3], ["bernoulli", "bernoulli", "gaussian"], x=X),
        "dbn": lambda: boltz.dbn([12, 7, 5, 6], x=X),
    }[kind]()
    model = made.astype(dtype)
    model.arena[...] *= 1 if kind == "grey" else 2
    return model


def classifier_of(model: Any) -> boltz.Network:
    """The classifier of a machine, where it lives, with output weights that are not zero."""
    network = boltz.classifier(model.to("cpu"), ["a", "b", "c"])
    top = network.output().arena
    top[...] = np.random.default_rng(5).normal(size=top.size)
    return network.to(model.device)


def exchanged(model: boltz.BoltzmannMachine) -> Any:
    """Replica exchange on four rungs."""
    ladder = Temperatures(path_to(model, base_rates(model, X, 0)), np.array([0, 0.3, 0.7, 1.0]))
    found = exchange(replicas_of(ladder, 8, 2, Key(1, 2)), 10, 2)
    return [found.up, found.down, found.height, found.trips, *found.samples.values()]


def chains_run(model: boltz.BoltzmannMachine, beta: Any, record: Any = None) -> Any:
    """Traces and states of chains that turn round in their 33rd sweep."""
    found = boltz.run_chains(model, 35, 20, 5, record, beta)
    return [found.trace, found.states]


def rbm_beside(model: boltz.BoltzmannMachine) -> boltz.BoltzmannMachine:
    """An RBM where a machine lives."""
    return boltzmann((12, 7), model.dtype).to(model.device)


UNDIRECTED: dict[str, Call] = {
    "sample": lambda m: boltz.sample(m, 30, 120, start={"v": X[:30]}),
    "run chains": lambda m: chains_run(m, [1.0, 0.5]),
    "run chains, a function": lambda m: chains_run(m, 0.5, lambda state: state["h1"].sum(axis=1)),
    "means": lambda m: boltz.sample(m, 30, 12, means=True),
    "decode": lambda m: boltz.decode(m, X[:, :7], 1),
    "pseudo-likelihood": lambda m: [boltz.pseudo_likelihood(x, X) for x in (m, rbm_beside(m))],
    "exact gradient": lambda m: boltz.gradient(m, X),
    "gradient": lambda m: [boltz.gradient(rbm_beside(m), X, rule, 2, 20) for rule in ("cd", "pcd")],
    "unknown units": lambda m: boltz.log_likelihood(m, X, mask=KNOWN),
    "complete": lambda m: [boltz.complete(m, X, KNOWN, method, 12) for method in ("sample", "mean", "mean-field")],
    "complete, grey": lambda m: boltz.complete(m, 0.5 * X, KNOWN, "mean", 12),
    "features, missing values": lambda m: boltz.features(m, X, "all", KNOWN),
    "features": lambda m: boltz.features(m, X, "all"),
    "classify": lambda m: boltz.classify(classifier_of(m), X),
    "encode": lambda m: boltz.encode(boltz.autoencoder(m), X),
    "mean field": lambda m: boltz.mean_field(m, X, boltz.MeanField(tolerance=0.0, sweeps=20)),
    "ais": lambda m: boltz.ais(m, 50, 160, resample=0.9),
    "ais from rates": lambda m: boltz.ais(m, 50, 30, base={n: np.full(u, 0.3) for n, u in m.units.items()}),
    "adaptive ais": lambda m: boltz.ais(m, 20, "adaptive:50", base=X),
    "reverse ais": lambda m: boltz.reverse_ais(m, chains=50, betas=50),
    "exact log Z": boltz.exact_log_z,
    "exact rows": lambda m: boltz.log_likelihood(m, X),
    "importance": lambda m: boltz.log_likelihood(m, X, samples=20),
    "bounds": lambda m: boltz.importance_bounds(m, X, (1, 10)),
    "variational bound": lambda m: variational_bound(m, X, 0.0),
    "posterior ais": lambda m: boltz.posterior_ais(m, X, 3, 20),
    "posterior sandwich": lambda m: boltz.posterior_sandwich(m, 10, 3, 20).upper,
    "raise": lambda m: boltz.raise_likelihood(m, X, 3, 20),
    "tempered transitions": lambda m: boltz.tempered_transitions(m, 20, 2, 10)[0],
    "exchange": exchanged,
    "variances": lambda m: boltz.posterior_variances(m, X),
    "energy": lambda m: m.energy(boltz.sample(m, 5, 2)),
    "free energy": lambda m: m.free_energy({n: x for n, x in boltz.sample(m, 5, 2).items() if n != "h1"}),
    "diagnosis": lambda m: [finding.value for finding in diagnose(m, X, sweeps=20).findings],
}
DIRECTED: dict[str, Call] = {
    "features": lambda m: boltz.features(m, X, "all"),
    "classify": lambda m: boltz.classify(classifier_of(m), X),
    "reconstruct": lambda m: boltz.reconstruct(boltz.autoencoder(m), X),
    "sample": lambda m: boltz.sample(m, 20),
    "means": lambda m: boltz.sample(m, 20, means=True),
    "decode": lambda m: boltz.decode(m, rows(20, m.layers[-1].units)),
    "complete": lambda m: [boltz.complete(m, X[:10], KNOWN[:10], method, 12) for method in ("sample", "mean")],
    "importance": lambda m: boltz.log_likelihood(m, X[:10], samples=30),
    "exact rows": lambda m: boltz.log_likelihood(m, X[:10]),
    "bounds": lambda m: boltz.importance_bounds(m, X[:10], (1, 10)),
    "posterior ais": lambda m: boltz.posterior_ais(m, X[:5], 3, 10),
    "posterior sandwich": lambda m: boltz.posterior_sandwich(m, 5, 3, 10).upper,
    "variances": lambda m: boltz.posterior_variances(m, X),
    "diagnosis": lambda m: [finding.value for finding in diagnose(m, X, sweeps=20).findings],
}
SWEPT = {"mean_field_tolerance": 0.0, "mean_field_sweeps": 10}  # the device looks seldom whether rows have settled
FEW = {"epochs": 2, "batch_size": 15, "seed": 3}
TRAINING: dict[str, tuple[str, Mapping[str, Any]]] = {
    "pcd": ("dbm", {"rule": "pcd", "chains": 30, **SWEPT}),
    "cd, momentum": ("rbm", {"rule": "cd", "k": 2, "optimizer": "nesterov", "momentum": 0.5, "l1": 1e-3}),
    "not centred, sparse": ("rbm", {"chains": 20, "center": False, "sparsity_cost": 0.1, "max_norm": 0.5}),
    "pretrained, adam": ("dbm", {"chains": 20, "pretrain_epochs": 1, "optimizer": "adam", **SWEPT}),
    "grey, threshold": ("rbm", {"chains": 20, "binarize": "threshold"}),
    "ptt": ("dbm", {"rule": "ptt", "chains": 20, "rungs": 3, **SWEPT}),
    "ucd": ("dbm", {"rule": "ucd", **SWEPT}),
    "multi-prediction": ("dbm", {"rule": "multi-prediction", **SWEPT}),
    "up-down": ("dbn", {"chains": 20, "k": 2, "pretrain_epochs": 1}),
    "up-down cd": ("dbn", {"chains": 20, "k": 2, "pretrain_epochs": 1, "rule": "cd"}),
    **{o: ("vae", {"objective": o, "samples": 4}) for o in ("vae", "stl", "iwae", "dreg", "ciwae")},
    **{o: ("deep", {"objective": o, "samples": 2, "groups": 2}) for o in ("miwae", "piwae")},
    "warm-up, free bits": ("deep", {"objective": "iwae", "samples": 3, "free_bits": 0.1, "warmup_epochs": 2.0}),
    "grey, gaussian": ("grey", {"objective": "iwae", "samples": 3}),
    **{o: ("sbn", {"objective": o, "samples": 3}) for o in ("vimco", "nvil", "reinforce")},
    **{f"{o}, widths": ("wide", {"objective": o, "samples": 3}) for o in ("wake-sleep", "rws", "vimco")},
    "nvil, mixed": ("mixed", {"objective": "nvil", "samples": 2}),
}


def agree(one: Any, other: Any, tolerance: float) -> None:
    """Equal structure, host arrays only, numbers equal within a tolerance relative to 1 or to their size."""
    if isinstance(one, Mapping):
        assert one.keys() == other.keys()
        for name in one:
            agree(one[name], other[name], tolerance)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            agree(a, b, tolerance)
    elif isinstance(one, Estimate):
        assert (one.kind, one.trusted, one.method) == (other.kind, other.trusted, other.method)
        names = ("value", "standard_error", "ess", "interval", "per_row", "log_weights")
        agree([getattr(one, n) for n in names], [getattr(other, n) for n in names], tolerance)
    elif one is None:
        assert other is None
    else:
        assert isinstance(other, np.ndarray | np.generic | float | int), type(other)
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)


def check_call(call: Call, model: Any) -> None:
    """A call gives on a device what it gives on the CPU."""
    agree(call(model), call(model.to("cuda")), AGREE[model.dtype.type])


def check_training(name: str, dtype: Any = np.float64) -> None:
    """Two epochs of training end at the parameters, and in the records, of the CPU; the machine stays on the device."""
    kind, settings = TRAINING[name]
    sizes = {"rbm": (12, 7), "dbm": (12, 7, 5)}
    model = boltzmann(sizes[kind], dtype) if kind in sizes else helmholtz(kind, dtype)
    model.arena[...] /= 4
    x = np.random.default_rng(1).random((40, 12)).astype(np.float32)  # grey, so that every batch is drawn
    runs = [plain_train(m, x, held_out=X, **FEW, **settings) for m in (model, model.to("cuda"))]
    assert runs[1].model.device == "cuda:0"
    tolerance = 100 * AGREE[dtype]  # of steps that a gradient takes, Adam's being as large where it is nearly zero
    agree(runs[0].model.arena, runs[1].model.to("cpu").arena, tolerance)
    timed = {"seconds", "rows_per_second"}
    records = [[{k: v for k, v in record.items() if k not in timed} for record in run.history] for run in runs]
    for one, other in zip(*records, strict=True):
        texts = {k for k, v in one.items() if isinstance(v, str)}
        assert {k: one[k] for k in texts} == {k: other[k] for k in texts}
        agree({k: one[k] for k in one.keys() - texts}, {k: other[k] for k in one.keys() - texts}, tolerance)


TUNING: dict[str, tuple[str, Mapping[str, Any]]] = {
    "dbm, dropout": ("dbm", {"dropout": 0.4, "input_dropout": 0.2, "refit": True, "validation": 0.3}),
    "vae, nesterov": ("vae", {"optimizer": "nesterov", "momentum": 0.5, "l2": 1e-2, "max_norm": 1.0}),
    "dbn, lbfgs": ("dbn", {"optimizer": "lbfgs", "l2": 1e-2, "binarize": "fixed"}),
    "grey autoencoder": ("grey", {"validation": 0.0}),
}


def check_fine_tuning(name: str, dtype: Any = np.float64) -> None:
    """Fine-tuning ends at the parameters, and in the records, of the CPU; the network stays on the device."""
    kind, settings = TUNING[name]
    model = boltzmann(dtype=dtype) if kind == "dbm" else helmholtz(kind, dtype)
    network = boltz.autoencoder(model) if kind == "grey" else classifier_of(model)
    x = np.random.default_rng(1).random((40, 12)).astype(np.float32)
    y = None if network.code else [("a", "b", "c")[int(3 * row[0])] for row in x]
    runs = [boltz.fine_tune(n, x, y, **FEW, learning_rate=0.01, **settings) for n in (network, network.to("cuda"))]
    assert runs[1].network.device == "cuda:0" and runs[0].epoch == runs[1].epoch
    agree(runs[0].network.arena, runs[1].network.to("cpu").arena, 100 * AGREE[dtype])
    for one, other in zip(*(run.history for run in runs), strict=True):
        told = ("train_loss", "loss", "error", "epoch")
        assert one["stage"] == other["stage"]
        agree({k: one[k] for k in told}, {k: other[k] for k in told}, 100 * AGREE[dtype])


STOPPING: dict[str, tuple[str, Mapping[str, Any]]] = {
    "rbm": ("rbm", {"chains": 20, "learning_rate": 0.5, "schedule": "constant"}),
    "dbn": ("dbn", {"chains": 20, "k": 1, "pretrain_epochs": 6, "learning_rate": 0.3, "pretrain_learning_rate": 0.5}),
    "vae": ("vae", {"learning_rate": 0.1}),
}


def check_early_stopping(name: str, parted: bool) -> None:
    """Held-out rows, given or a share of x, end a training and choose its epoch as on the CPU.

    The scores that choose it agree, and so does what is kept.
    """
    kind, settings = STOPPING[name]
    model = boltzmann((12, 7)) if kind == "rbm" else helmholtz(kind)
    x, patience = rows(40, seed=2), {"epochs": 40, "batch_size": 10, "patience": 3, "seed": 3}
    judges: dict[str, Any] = {"validation": 0.25} if parted else {"held_out": rows(60, seed=3)}
    runs = [plain_train(m, x, **patience, **judges, **settings) for m in (model, model.to("cuda"))]
    assert runs[1].model.device == "cuda:0"
    stages = [[record["stage"] for record in run.history] for run in runs]
    assert stages[0] == stages[1] and len(stages[0]) < patience["epochs"], "nothing was stopped"
    last = stages[0][-1]
    best = [best_epoch(run.history, last) for run in runs]
    assert best[0] == best[1] and stages[0].count(last) - (best[0] or 0) == patience["patience"]
    agree(*([record[SCORE] for record in run.history] for run in runs), 100 * AGREE[np.float64])
    agree(runs[0].model.arena, runs[1].model.to("cpu").arena, 100 * AGREE[np.float64])


def check_resume(folder: Path) -> None:
    """A run that stops on the device goes on on the CPU and there ends as one that never stopped."""
    x = np.random.default_rng(1).random((40, 12)).astype(np.float32)
    settings: dict[str, Any] = {"chains": 20, "batch_size": 10, "checkpoint_seconds": 0.0, "seed": 1, **SWEPT}
    whole = plain_train(boltzmann(), x, epochs=3, **settings)

    def stop(record: Mapping[str, Any]) -> None:
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    try:
        plain_train(boltzmann().to("cuda"), x, out=folder, epochs=3, watch=stop, **settings)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("the run was not stopped")
    there = boltz.resume(folder, x)
    assert there.model.device == "cpu" and [r["epoch"] for r in there.history][-1] == 3
    agree(whole.model.arena, there.model.arena, 1e-6)
    again = boltz.resume(folder, x, device="cuda")
    assert again.model.device == "cuda:0"
    agree(boltz.load(folder).arena, again.model.to("cpu").arena, 0.0)
