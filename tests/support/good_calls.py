"""One good call of every public function, method and class: all its arguments by name, on machines of a few units."""

from __future__ import annotations

import contextlib
import inspect
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from support.trackers import with_fakes

import boltz
import boltz.sklearn

X = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1]], np.float32)
Y = np.array([0, 1, 0, 1])
COUNTS = np.array([[1, 0, 2], [0, 4, 0]])
MODEL, NETWORK, RUN, TUNING, DATA = "model.safetensors", "network.safetensors", "run", "tuning", "rows.npy"
TABLE = "rows.csv"
STOPPED, STOPPED_TUNING = "stopped", "stopped-tuning"
TINY = {"epochs": 1, "batch_size": 2}


@cache
def rbm() -> boltz.BoltzmannMachine:
    return boltz.rbm(4, 3, X)


@cache
def snapshot() -> boltz.BoltzmannMachine:
    return boltz.rbm(4, 3, X, seed=1)


@cache
def pairwise() -> boltz.BoltzmannMachine:
    return boltz.boltzmann(4, units="spin")


@cache
def sbn() -> boltz.HelmholtzMachine:
    return boltz.sbn([4, 3], x=X)


@cache
def documents() -> boltz.BoltzmannMachine:
    return boltz.rbm(3, 2, COUNTS, units="counts")


@cache
def classifier() -> boltz.Network:
    return boltz.classifier(rbm(), [0, 1])


@cache
def autoencoder() -> boltz.Network:
    return boltz.autoencoder(rbm())


@cache
def estimate() -> boltz.Estimate:
    return boltz.exact_log_z(rbm())


@cache
def ladder() -> boltz.LadderEstimate:
    return boltz.exchange_log_z(rbm(), copies=2, rounds=20)


@cache
def state() -> dict[str, Any]:
    return boltz.sample(rbm(), chains=4, sweeps=1)


def write_files() -> None:
    """The files that good calls read, in the working folder."""
    rbm().save(MODEL)
    classifier().save(NETWORK)
    np.save(DATA, X)
    Path(TABLE).write_text("a,b,c\n" + "\n".join(["3,0,1", "1,1,0", "2,1,1"]) + "\n")
    boltz.train(rbm(), X, out=RUN, **TINY)
    boltz.fine_tune(rbm(), X, Y, out=TUNING, validation=0.0, **TINY)
    with contextlib.suppress(StoppedError):
        boltz.train(rbm(), X, STOPPED, X, watch=stop, epochs=2, batch_size=2)
    with contextlib.suppress(StoppedError):
        boltz.fine_tune(rbm(), X, Y, (X, Y), STOPPED_TUNING, watch=stop, epochs=2, batch_size=2)


def resumed(x: Any, held_out: Any) -> boltz.Run:
    """A run that stopped early, continued anew at each call."""
    return boltz.resume(_again(STOPPED), x, held_out)


def tuning_resumed(x: Any, y: Any, held_out: Any) -> boltz.Tuned:
    """A fine-tuning that stopped early, continued anew at each call."""
    return boltz.resume_tuning(_again(STOPPED_TUNING), x, y, held_out)


def _again(folder: str) -> str:
    shutil.rmtree("again", ignore_errors=True)
    shutil.copytree(folder, "again")
    return "again"


class StoppedError(Exception):
    """Stops a training after its first epoch."""


def stop(record: Any) -> None:
    raise StoppedError


@dataclass(frozen=True)
class Good:
    """A call with all its arguments, apart from those that a caller never gives.

    paths: arguments that name files, of which a message names the file; record: a type whose fields the library fills,
    and whose constructor therefore trusts them.
    """

    call: Callable[..., Any]
    arguments: dict[str, Any]
    paths: tuple[str, ...] = ()
    record: bool = False


def settings(kind: type, **changed: Any) -> dict[str, Any]:
    """All fields of a class of settings."""
    return {each.name: getattr(kind(), each.name) for each in fields(kind)} | changed


def values(thing: Any) -> dict[str, Any]:
    """All fields of a record."""
    return {each.name: getattr(thing, each.name) for each in fields(thing)}


def good_calls() -> dict[str, Good]:
    """The good call of each public name, "Class.method" for a method and "name, variant" where one call is not all."""
    return functions() | wirings() | machines() | types() | estimators()


def wirings() -> dict[str, Good]:
    """Machines on any graph, and what is asked of them alone."""
    seed, couplings = {"seed": 0}, np.array([[0.0, 0.5], [0.5, 0.0]])
    shared = {"x": None, "dtype": np.float32, "initial_scale": 0.1, **seed}
    found = boltz.observables(boltz.ising(couplings), [2.0], copies=4, rounds=40)
    lateral = {"visible": 4, "hidden": 2, "units": "spin", "hidden_units": "bernoulli", "lateral": "both"}
    views = {"views": {"a": 2, "b": (2, "spin")}, "pathways": {"a": [2], "b": [2]}, "joint": 2}
    wired = {
        "layers": {"v": 4, "h": 2},
        "edges": [("v", "h"), ("v", "v")],
        "visible": None,
        "biases": {"h": [0.1, 0.2]},
    }
    return {
        "graph": Good(boltz.graph, wired | shared | {"x": X}),
        "graph, weights": Good(boltz.graph, wired | shared | {"edges": {("v", "h"): np.ones((4, 2))}, "visible": None}),
        "boltzmann": Good(boltz.boltzmann, lateral | shared | {"x": 2 * X - 1}),
        "multimodal": Good(boltz.multimodal, views | shared | {"x": {"a": X[:, :2], "b": 2 * X[:, 2:] - 1}}),
        "ising": Good(boltz.ising, {"couplings": couplings, "fields": [0.1, 0.2], "dtype": None}),
        "potts": Good(boltz.potts, {"couplings": np.zeros((2, 2, 3, 3)), "fields": 0.0, "states": None, "dtype": None}),
        "potts, matrix": Good(boltz.potts, {"couplings": np.zeros((6, 6)), "fields": 0.0, "states": 3, "dtype": None}),
        "lattice": Good(boltz.lattice, {"shape": (2, 3), "coupling": 0.5, "periodic": True}),
        "observables": Good(
            boltz.observables,
            {"model": boltz.ising(couplings), "temperatures": [2.0], "copies": 4, "rounds": 40, "progress": None}
            | seed,
        ),
        "Observables": Good(boltz.Observables, values(found), record=True),
        "Observables.as_dict": Good(found.as_dict, {}),
        "Observables.interval": Good(found.interval, {"name": "energy"}),
        "plot_observables": Good(boltz.plot_observables, {"result": found}),
    }


def functions() -> dict[str, Good]:
    model, directed, net, code = rbm(), sbn(), classifier(), autoencoder()
    seed = {"seed": 0}
    some = {"model": model, "x": X}
    annealed = {"model": model, "chains": 2, "betas": 3, "base": None, "progress": None, **seed}
    given = {"held_out": X, "watch": None, "progress": None}
    new = {"out": "new", "force": True}
    tuning = {**given, "held_out": (X, Y), "validation": 0.0, **TINY}
    loading = {"split": "train", "limit": 2, "levels": None, "machine_levels": None}
    loading |= {"label_column": None, "drop_columns": (), "units": None, "alphabet": None, "missing": False}
    loading |= {"vocabulary": None}
    log_z = {"model": model, "error": 0.5, "budget": 1.0, "base": None, "progress": None, **seed}
    log_z |= {"chains": 2, "betas": 3, "rounds": 20}
    measured = {"data": X, "split": None, "limit": 3, "binarize": "none", "train": X, "progress": None, **seed}
    evaluated = {**measured, "method": "auto", **dict.fromkeys(("samples", "bounds", "row_chains", "row_betas"))}
    evaluated |= dict.fromkeys(("chains", "betas", "error", "budget", "given"))
    each, places = {"row_chains": 2, "row_betas": 3}, ("model", "data")
    several = boltz.multimodal({"a": 2, "b": (2, "spin")}, {"a": [2], "b": [2]}, 2)
    compared = {**measured, "models": [model, directed]}
    compared |= dict.fromkeys(("samples", "chains", "betas"))
    found = {
        "dbm": Good(
            boltz.dbm,
            {
                **{"layers": [4, 3, 2], "x": X, "dtype": "float32", **seed, "initial_scale": [0.02, 0.03]},
                "units": ["bernoulli", "spin", "bernoulli"],
            },
        ),
        "rbm": Good(
            boltz.rbm,
            {
                **{"visible": 4, "hidden": 3, "x": X, "dtype": "float32", **seed, "initial_scale": 0.02},
                **{"units": "bernoulli", "hidden_units": "drelu"},
            },
        ),
        "from_arrays": Good(
            boltz.from_arrays,
            {
                **{"weights": [np.zeros((4, 3))], "biases": [np.zeros(4), np.zeros(3)]},
                **{"units": ["gaussian", "spin"], "parameters": {"v": {"log_variance": np.zeros(4)}}},
            },
        ),
        "grow": Good(boltz.grow, {"model": model, "layers": [3, 2], "wiring": "single", "scale": None, **seed}),
        "dbn": Good(boltz.dbn, {"units": [4, 3, 2], "x": X, "dtype": "float32", **seed}),
        "helmholtz": Good(
            boltz.helmholtz,
            {"units": [4, 2], "kinds": ["bernoulli"] * 2, "widths": [[3]], "x": X, "activation": "tanh", **seed},
        ),
        "sbn": Good(
            boltz.sbn,
            {
                **{"units": [4, 3], "widths": [2], "x": X, "activation": "tanh", "visible": "bernoulli", **seed},
                **{"conditionals": "nade", "conditional_units": 2, "prior": "made", "prior_units": 2},
            },
        ),
        "vae": Good(
            boltz.vae,
            {
                **{"units": [4, 3], "latent": 2, "x": X, "activation": "tanh", "visible": "bernoulli", **seed},
                **{"decoder": "pixelcnn", "prior": "flow", "image": (2, 2), "receptive_field": 2, "filters": 3},
                **{"maps": 1, "tied": True, "posterior": "iaf", "flow_steps": 2, "flow_widths": [3]},
                **{"encoder": "dense", "residual_maps": None, "levels": None, "mixture": None},
            },
        ),
        "nade": Good(
            boltz.nade,
            {"units": 4, "hidden": 3, "x": X, "activation": "sigmoid", "order": [2, 0, 1, 3], **seed},
        ),
        "made": Good(
            boltz.made,
            {"units": 4, "widths": [3], "x": X, "masks": 2, "activation": "relu", "natural": True, **seed},
        ),
        "pixelcnn": Good(
            boltz.pixelcnn,
            {
                **{"units": 4, "x": X, "image": (2, 2), "receptive_field": 2, "filters": 3, "maps": 1, "tied": False},
                **{"activation": "elu", "levels": 2, "mixture": None, **seed},
            },
        ),
        "load": Good(boltz.load, {"path": MODEL}, paths=("path",)),
        "trajectory": Good(boltz.trajectory, {"path": RUN}, paths=("path",)),
        "load_network": Good(boltz.load_network, {"path": NETWORK}, paths=("path",)),
        "load_data": Good(boltz.load_data, {"name_or_path": DATA, **loading}, paths=("name_or_path",)),
        "load_views": Good(
            boltz.load_views,
            {"name_or_path": None, "views": {"a": (DATA, "gaussian"), "b": (DATA, "gaussian")}, "split": "train"}
            | {"limit": 2, "missing": False},
            paths=("name_or_path",),
        ),
        "load_data, a table": Good(
            boltz.load_data, {"name_or_path": TABLE, **loading, "drop_columns": ["a"]}, paths=("name_or_path",)
        ),
        "features": Good(boltz.features, {**some, "layer": "top", "mask": np.ones(4, bool)}),
        "features, directed": Good(boltz.features, {"model": directed, "x": X, "layer": 1, "mask": None}),
        "retrieve": Good(
            boltz.retrieve,
            {"model": model, "queries": X[:2], "database": X, "layer": "top", "measure": "cosine", "top": 2},
        ),
        "classify": Good(boltz.classify, {"network": net, "x": X}),
        "encode": Good(boltz.encode, {"network": code, "x": X}),
        "reconstruct": Good(boltz.reconstruct, {"network": code, "x": X}),
        "autoencoder": Good(boltz.autoencoder, {"model": model, "code": "linear"}),
        "classifier": Good(boltz.classifier, {"model": model, "classes": [0, 1]}),
        "fine_tune": Good(
            boltz.fine_tune,
            {**some, "y": Y, **tuning, **new},
            paths=("out",),
        ),
        "resume_tuning": Good(
            boltz.resume_tuning,
            {"path": TUNING, "x": X, "y": Y, "held_out": None, "watch": None, "device": "cpu", "progress": None},
            paths=("path",),
        ),
        "watch_tensorboard": Good(with_fakes(boltz.watch_tensorboard), {"folder": "logs"}, paths=("folder",)),
        "watch_wandb": Good(with_fakes(boltz.watch_wandb), {"project": "digits"}),
        "watch_mlflow": Good(with_fakes(boltz.watch_mlflow), {}),
        "mean_field": Good(boltz.mean_field, {**some, "options": boltz.MeanField()}),
        "sample": Good(
            boltz.sample,
            {"model": model, "chains": 4, "sweeps": 2, "start": dict(state()), "data": None, "means": False, **seed},
        ),
        "sample, from data": Good(
            boltz.sample, {"model": model, "chains": 4, "sweeps": 2, "start": None, "data": X, "means": True, **seed}
        ),
        "sample, directed": Good(
            boltz.sample,
            {"model": directed, "chains": 4, "sweeps": None, "start": None, "data": None, "means": True, **seed},
        ),
        "decompress": Good(boltz.decompress, {"model": directed, "x": X, "draws": 2, **seed}),
        "code_lengths": Good(boltz.code_lengths, {"model": directed, "x": X, "samples": 2, **seed}),
        "decode": Good(boltz.decode, {"model": directed, "z": X[:, :3], "layer": "top"}),
        "decode, undirected": Good(boltz.decode, {"model": model, "z": X[:, :3], "layer": 1}),
        "run_chains": Good(
            boltz.run_chains,
            {
                "model": model,
                "sweeps": 2,
                "chains": 4,
                "every": 1,
                "record": None,
                "beta": 1.0,
                "start": dict(state()),
                "data": None,
                **seed,
            },
        ),
        "run_chains, several temperatures": Good(
            boltz.run_chains,
            {
                "model": model,
                "sweeps": 2,
                "chains": 4,
                "every": 1,
                "record": {"energy": model.energy},
                "beta": [0.5, 1.0],
                "start": None,
                "data": X,
                **seed,
            },
        ),
        "complete": Good(
            boltz.complete, {**some, "mask": [True, True, False, True], "method": "sample", "sweeps": 2, **seed}
        ),
        "tempered_transitions": Good(
            boltz.tempered_transitions,
            {"model": model, "start": 2, "transitions": 1, "betas": 3, "base": None, **seed},
        ),
        "threads": Good(boltz.threads, {"n": 1}),
        "ais": Good(boltz.ais, {**annealed, "resample": 0.0}),
        "reverse_ais": Good(boltz.reverse_ais, {**annealed, "start": None, "exact_start": False}),
        "exchange_log_z": Good(
            boltz.exchange_log_z,
            {
                "model": model,
                "trajectory": [snapshot()],
                "copies": 2,
                "rounds": 20,
                "base": None,
                "progress": None,
                **seed,
            },
        ),
        "tempered_sample": Good(
            boltz.tempered_sample,
            {"model": model, "chains": 2, "rounds": 20, "trajectory": [snapshot()], "base": None, **seed},
        ),
        "log_z": Good(boltz.log_z, {**log_z, "method": "auto", "trajectory": None}, paths=("model",)),
        "log_z, ais": Good(boltz.log_z, {**log_z, "method": "ais", "trajectory": None}, paths=("model",)),
        "log_z, trajectory": Good(
            boltz.log_z, {**log_z, "method": "trajectory", "trajectory": [snapshot()]}, paths=("model",)
        ),
        "evaluate": Good(boltz.evaluate, {**evaluated, "model": model}, paths=places),
        "evaluate, directed": Good(boltz.evaluate, {**evaluated, "model": directed, "bounds": [1, 2]}, paths=places),
        "evaluate, of a view": Good(
            boltz.evaluate,
            {
                **{**evaluated, "model": several, "train": None, "given": ["a"]},
                "data": {"a": X[:, :2], "b": 2 * X[:, 2:] - 1},
            },
            paths=places,
        ),
        "evaluate, of each row": Good(
            boltz.evaluate, {**evaluated, "model": directed, "method": "posterior-ais", **each}, paths=places
        ),
        "evaluate, of a run": Good(
            boltz.evaluate, {**evaluated, "model": model, "data": DATA, "split": "train"}, paths=places
        ),
        "evaluate_along": Good(
            boltz.evaluate_along,
            {"run": RUN, "data": X, "split": None, "rounds": 20, "progress": None, **seed},
            paths=("run", "data"),
        ),
        "compare": Good(boltz.compare, compared, paths=("models", "data")),
        "compare, by name": Good(
            boltz.compare, {**compared, "models": {"a": model, "b": directed}}, paths=("models", "data")
        ),
        "diagnose": Good(
            boltz.diagnose,
            {
                **{"model": model, "data": X, "split": None, "sweeps": 20, "log_z": False, "error": 0.5, "budget": 1.0},
                **{"limit": 4, "progress": None, **seed},
            },
            paths=places,
        ),
        "report": Good(
            boltz.report,
            {"runs": [model], "out": "page.html", "data": X, "measure": False, "force": True, "progress": None, **seed},
            paths=("runs", "out", "data"),
        ),
        "describe": Good(boltz.describe, {"model": model}, paths=("model",)),
        "preset": Good(boltz.preset, {"kind": "rbm", "rows": 100, "units": 4, "batch": None, "held_out": True}),
        "recipe": Good(boltz.recipe, {"name": "vae-1l"}),
        "likelihood_along": Good(
            boltz.likelihood_along, {**some, "trajectory": [snapshot()], "rounds": 20, "progress": None, **seed}
        ),
        "active_units": Good(boltz.active_units, {**some, **seed}),
        "posterior_variances": Good(boltz.posterior_variances, {**some, **seed}),
        "chain_ess": Good(boltz.chain_ess, {"x": X, "axis": None}),
        "integrated_time": Good(boltz.integrated_time, {"x": X, "axis": None}),
        "split_rhat": Good(boltz.split_rhat, {"x": X, "axis": None}),
        "exact_log_z": Good(boltz.exact_log_z, {"model": model}),
        "exact_samples": Good(boltz.exact_samples, {"model": model, "chains": 2, **seed}),
        "importance_bounds": Good(
            boltz.importance_bounds, {"model": directed, "x": X, "samples": [1, 2], "log_z": None, **seed}
        ),
        "log_likelihood": Good(
            boltz.log_likelihood, {**some, "log_z": 5.0, "samples": 0, "mask": np.array([1, 1, 0, 1]), **seed}
        ),
        "log_likelihood, directed": Good(
            boltz.log_likelihood, {"model": directed, "x": X, "log_z": None, "samples": 2, "mask": None, **seed}
        ),
        "perplexity": Good(
            boltz.perplexity, {"model": documents(), "x": COUNTS, "train": COUNTS, "log_z": {3: 1.0, 4: 2.0}, **seed}
        ),
        "gradient": Good(boltz.gradient, {**some, "rule": "exact", "k": 1, "chains": 4, **seed}),
        "gradient, by a rule": Good(boltz.gradient, {**some, "rule": "pcd", "k": 1, "chains": 4, **seed}),
        "gradient, directed": Good(
            boltz.gradient, {"model": directed, "x": X, "rule": "vimco", "k": 2, "chains": 4, **seed}
        ),
        "pseudo_likelihood": Good(boltz.pseudo_likelihood, some),
        "posterior_ais": Good(
            boltz.posterior_ais, {**some, "chains": 2, "betas": 3, "log_z": 5.0, "progress": None, **seed}
        ),
        "posterior_sandwich": Good(
            boltz.posterior_sandwich,
            {"model": model, "rows": 2, "chains": 2, "betas": 3, "progress": None, **seed},
        ),
        "raise_likelihood": Good(boltz.raise_likelihood, {**some, "chains": 2, "betas": 3, "base": None, **seed}),
        "resume": Good(
            boltz.resume,
            {"path": RUN, "x": X, "held_out": None, "watch": None, "device": "cpu", "progress": None},
            paths=("path",),
        ),
        "resume, unfinished": Good(resumed, {"x": X, "held_out": X}),
        "resume_tuning, unfinished": Good(tuning_resumed, {"x": X, "y": Y, "held_out": (X, Y)}),
        "train": Good(
            boltz.train,
            {
                **some,
                **given,
                **new,
                "extra": {"note": "a"},
                "minutes": None,
                "weights": None,
                "labels": None,
                "learning_rate": 0.1,
                **TINY,
            },
            paths=("out",),
        ),
        "train, in memory": Good(
            boltz.train,
            {"model": directed, "x": X, **given, "out": None, "force": False, "extra": None, "minutes": None, **TINY}
            | {"weights": None, "labels": None},
            paths=("out",),
        ),
        "plan_training": Good(
            boltz.plan_training, {"model": directed, "x": X, "minutes": 0.5, "held_out": X, "learning_rate": 0.1}
        ),
        "plot_comparison": Good(boltz.plot_comparison, {"comparison": boltz.compare([rbm(), snapshot()], X)}),
        "plot_log_z": Good(boltz.plot_log_z, {"result": estimate()}),
        "observables": Good(
            boltz.observables,
            {"model": model, "temperatures": [1.0, 2.0], "copies": 2, "rounds": 20, "progress": None, **seed},
        ),
        "plot_observables": Good(
            boltz.plot_observables, {"result": boltz.observables(rbm(), [1.0], copies=2, rounds=20)}
        ),
        "plot_curves": Good(boltz.plot_curves, {"run": [{"stage": "joint", "bound": -1.0}]}),
        "plot_filters": Good(boltz.plot_filters, {"model": model, "shape": (2, 2)}),
        "plot_beside": Good(boltz.plot_beside, {**some, "shape": (2, 2), "rows": 2, "sweeps": 1, **seed}),
        "plot_decompressions": Good(
            boltz.plot_decompressions, {"model": directed, "x": X, "shape": (2, 2), "rows": 2, "draws": 2, **seed}
        ),
        "plot_samples": Good(boltz.plot_samples, {**some, "shape": (2, 2), "chains": 2, "sweeps": 1, **seed}),
        **_of_games(seed),
        "independent_units": Good(boltz.independent_units, {"train": X, "x": X}),
        "layer_gains": Good(
            boltz.layer_gains,
            {"model": boltz.dbm([4, 3, 2]), "x": X, "samples": 2, "copies": 4, "rounds": 20, **seed, "progress": None},
        ),
        "aae": Good(
            boltz.aae,
            {
                **{"units": [4, 3], "latent": 2, "x": X, "activation": "tanh", "visible": "bernoulli", **seed},
                **{"prior": "normal", "prior_sigma": 2.0, "labels": "inferred", "classes": 2, "clusters": None},
                **{"embed": True, "encoder": "implicit", "noise": 2},
            },
        ),
        "label_probabilities": Good(boltz.label_probabilities, {"model": boltz.aae([4, 3], 2, clusters=2), "x": X}),
        "samples_with_labels": Good(
            boltz.samples_with_labels,
            {"model": boltz.aae([4, 3], 2, clusters=2), "labels": [0, 1], "style": np.zeros((2, 2)), **seed},
        ),
        "two_samples": Good(boltz.two_samples, {"x": X, "y": X, "permutations": 100, **seed}),
        "label_errors": Good(
            boltz.label_errors,
            {"model": boltz.aae([4, 3], 2, clusters=2), "x": X, "y": Y, "validation": (X, Y), "classes": None},
            paths=("model",),
        ),
        "parzen_window": Good(
            boltz.parzen_window, {"model": boltz.vae([4, 3], 2), "x": X, "validation": X, "samples": 10, **seed}
        ),
        "mixture_of_products": Good(boltz.mixture_of_products, {"train": X, "x": X, "components": 2, **seed}),
        "binarize": Good(
            boltz.binarize,
            {"x": X, "levels": None, "how": "dynamic", "key": boltz.Key(1, 2), "step": 0, "rows": np.arange(4)},
        ),
        "sequence_weights": Good(boltz.sequence_weights, {"x": X, "similarity": 0.8}),
    }
    return found | _of_sites()


def _of_games(seed: dict[str, Any]) -> dict[str, Good]:
    """What is asked of adversarial autoencoders."""
    tiles: dict[str, Any] = {"model": boltz.aae([4, 3], 2, clusters=2, embed=True), "x": X, "shape": (2, 2)}
    points = {name: tiles[name] for name in ("model", "x")}
    return {
        "embedding": Good(boltz.embedding, points),
        "plot_codes": Good(boltz.plot_codes, {**points, "labels": Y, **seed}),
        "plot_embedding": Good(boltz.plot_embedding, {**points, "labels": Y}),
        "plot_styles": Good(boltz.plot_styles, {**tiles, "styles": 2, **seed}),
        "plot_interpolations": Good(boltz.plot_interpolations, {**tiles, "labels": Y, "pairs": 2, "steps": 2}),
        "plot_clusters": Good(boltz.plot_clusters, {**tiles, "rows": 2}),
    }


def _of_sites() -> dict[str, Good]:
    """What is asked of sites and their states."""
    model = rbm()
    return {
        "couplings": Good(boltz.couplings, {"model": model, "x": X, "gap": 0}),
        "zero_sum": Good(boltz.zero_sum, {"model": boltz.rbm(4, 3, units=("categorical", 2))}),
        "couplings, of spins": Good(boltz.couplings, {"model": pairwise(), "x": None, "gap": None}),
        "fit_pairwise": Good(
            boltz.fit_pairwise,
            {"model": pairwise(), "x": 2 * X - 1, "l2": None, "l2_fields": None, "l1": 0.1, "weights": np.ones(4)}
            | {"tolerance": None, "iterations": 5, "progress": None},
        ),
        "mutation_scores": Good(boltz.mutation_scores, {"model": model, "sequence": "abba", "alphabet": "ab"}),
        "mutation_scores, numbers": Good(boltz.mutation_scores, {"model": model, "sequence": X[0], "alphabet": None}),
        "plot_couplings": Good(boltz.plot_couplings, {"found": boltz.couplings(model, X)}),
        "plot_mutations": Good(boltz.plot_mutations, {"scores": boltz.mutation_scores(model, X[0]), "alphabet": "ab"}),
    }


def machines() -> dict[str, Good]:
    model, directed, net = rbm(), sbn(), classifier()
    found = {}
    for kind, thing in (("BoltzmannMachine", model), ("HelmholtzMachine", directed), ("Network", net)):
        found[f"{kind}.save"] = Good(thing.save, {"path": "saved.safetensors"}, paths=("path",))
        found[f"{kind}.to"] = Good(thing.to, {"device": "cpu"})
    for kind, thing in (("BoltzmannMachine", model), ("HelmholtzMachine", directed)):
        found[f"{kind}.with_levels"] = Good(thing.with_levels, {"levels": 20})
        found[f"{kind}.astype"] = Good(thing.astype, {"dtype": "float64"})
    return found | {
        "BoltzmannMachine": Good(boltz.BoltzmannMachine, values(model)),
        "BoltzmannMachine.bias": Good(model.bias, {"layer": "v"}),
        "BoltzmannMachine.unit_type": Good(model.unit_type, {"layer": "v"}),
        "BoltzmannMachine.own": Good(model.own, {"layer": "v"}),
        "BoltzmannMachine.of_length": Good(documents().of_length, {"words": 4}),
        "BoltzmannMachine.energy": Good(model.energy, {"state": state()}),
        "BoltzmannMachine.free_energy": Good(model.free_energy, {"state": X}),
        "HelmholtzMachine": Good(boltz.HelmholtzMachine, values(directed)),
        "Network": Good(boltz.Network, values(net)),
        "Network.output": Good(net.output, {}),
    }


def types() -> dict[str, Good]:
    run, tuned = boltz.train(rbm(), X, **TINY), boltz.fine_tune(rbm(), X, Y, validation=0.0, **TINY)
    two_sided, evaluation = boltz.log_z(rbm()), boltz.evaluate(rbm(), X)
    comparison, diagnosis = boltz.compare([rbm(), snapshot()], X), boltz.diagnose(sbn(), X)
    along = boltz.evaluate_along(RUN, X, rounds=20)
    key, plan = boltz.Key(1, 2), boltz.plan_training(sbn(), X, 0.5)
    ranked = boltz.retrieve(rbm(), X, X)
    scores = ranked.scores(Y, Y, at=2)
    found = {
        "Key": Good(boltz.Key, {"key0": 1, "key1": 2}),
        "Key.from_seed": Good(boltz.Key.from_seed, {"seed": 0}),
        "Key.derive": Good(lambda purpose: key.derive(purpose), {"purpose": "a"}),
        "Key.generator": Good(key.generator, {}),
        "MeanField": Good(boltz.MeanField, values(boltz.MeanField())),
        "Estimate": Good(boltz.Estimate, values(estimate())),
        "Estimate.as_dict": Good(estimate().as_dict, {}),
        "Perplexity": Good(boltz.Perplexity, values(boltz.perplexity(documents(), COUNTS)), record=True),
        "Evaluation": Good(boltz.Evaluation, values(evaluation), record=True),
        "Evaluation.as_dict": Good(evaluation.as_dict, {}),
        "EvaluationAlong": Good(boltz.EvaluationAlong, values(along), record=True),
        "EvaluationAlong.as_dict": Good(along.as_dict, {}),
        "EvaluationAlong.picture": Good(along.picture, {}),
        "PairwiseFit": Good(boltz.PairwiseFit, values(boltz.fit_pairwise(pairwise(), 2 * X - 1)), record=True),
        "PairwiseFit.as_dict": Good(boltz.fit_pairwise(pairwise(), 2 * X - 1).as_dict, {}),
        "Retrieval": Good(boltz.Retrieval, values(ranked)),
        "Retrieval.scores": Good(ranked.scores, {"labels": Y, "database_labels": Y, "at": 2}),
        "RetrievalScores": Good(boltz.RetrievalScores, values(scores), record=True),
        "RetrievalScores.less": Good(scores.less, {"other": scores}),
        "Couplings": Good(boltz.Couplings, values(boltz.couplings(rbm(), X)), record=True),
        "Comparison": Good(boltz.Comparison, values(comparison), record=True),
        "Comparison.as_dict": Good(comparison.as_dict, {}),
        "Diagnosis": Good(boltz.Diagnosis, values(diagnosis), record=True),
        "Diagnosis.as_dict": Good(diagnosis.as_dict, {}),
        "Diagnosis.finding": Good(diagnosis.finding, {"name": diagnosis.findings[0].name}),
        "Description": Good(boltz.Description, {"entries": boltz.describe(rbm()).as_dict()}, record=True),
        "Description.as_dict": Good(boltz.describe(rbm()).as_dict, {}),
        "LadderEstimate.as_dict": Good(ladder().as_dict, {}),
        "TwoSided.as_dict": Good(two_sided.as_dict, {}),
        "LadderEstimate": Good(boltz.LadderEstimate, values(ladder()), record=True),
        "TwoSided": Good(boltz.TwoSided, values(two_sided), record=True),
        "LikelihoodAlong": Good(
            boltz.LikelihoodAlong,
            {"values": np.zeros(2), "errors": np.zeros(2), "ladder": ladder(), "per_row": np.zeros((2, 4))},
            record=True,
        ),
        "ChainRun": Good(boltz.ChainRun, values(boltz.run_chains(rbm(), 1, 2)), record=True),
        "Run": Good(boltz.Run, values(run), record=True),
        "Plan": Good(boltz.Plan, values(plan), record=True),
        "Plan.as_dict": Good(plan.as_dict, {}),
        "Run.history_table": Good(run.history_table, {}),
        "Tuned": Good(boltz.Tuned, values(tuned), record=True),
        "Tuned.history_table": Good(tuned.history_table, {}),
        "Data": Good(boltz.Data, values(boltz.load_data("mnist-mini", limit=2)), record=True),
    }
    told = boltz.label_errors(boltz.aae([4, 3], 2, clusters=2), X, Y, (X, Y))
    window, samples = boltz.parzen_window(boltz.vae([4, 3], 2), X, X, 10), boltz.two_samples(X, X, 100)
    for result in (told, window, samples):
        found[type(result).__name__] = Good(type(result), values(result), record=True)
        found[f"{type(result).__name__}.as_dict"] = Good(result.as_dict, {})
    kinds = boltz.Settings, boltz.DirectedSettings, boltz.BeliefSettings, boltz.FineTuneSettings
    for kind in (*kinds, boltz.AdversarialSettings):
        weight = {"pretrain_l2": 0.1} if hasattr(kind(), "pretrain_l2") else {}  # a number, though a word is usual
        found[kind.__name__] = Good(kind, settings(kind, **weight))
        methods = {"as_dict": {}, "pretraining": {"pair": 0}, "of_pair": {"pair": 0}, "check_pairs": {"pairs": 2}}
        for method, given in methods.items():
            if hasattr(kind, method):
                found[f"{kind.__name__}.{method}"] = Good(getattr(kind(), method), given)
    return found


def estimators() -> dict[str, Good]:
    """The estimators of scikit-learn: parameters are looked at by fit, as is its custom."""
    tiny = {
        "layers": [3, 2],
        "latent": 2,
        "n_clusters": 2,
        "discriminator_widths": [3],
        "n_components": 2,
        "epochs": 1,
        "n_iter": 1,
        "pretrain_epochs": 1,
        "fine_tune_epochs": 1,
        "betas": 3,
        "random_state": 0,
        "validation_fraction": 0.0,
    }
    found = {}
    for name in boltz.sklearn.__all__:
        kind = getattr(boltz.sklearn, name)
        defaults = {p.name: p.default for p in inspect.signature(kind).parameters.values()}
        chosen = {n: tiny.get(n, value) for n, value in defaults.items()}
        if name == "VAETransformer" or name.startswith("AAE"):
            chosen["layers"] = [3]
        if name in ("DBMClassifier", "DBNClassifier"):
            chosen["machine"] = None

        def fitted(kind: type = kind, **parameters: Any) -> Any:
            return kind(**parameters).fit(X, Y)

        found[name] = Good(fitted, chosen)
    return found


INNER = {
    "AdversarialSettings.noise_at": "runs in the rule on epochs that are done",
    "AdversarialSettings.of_player": "runs in the rule on rates that were checked",
    "BoltzmannMachine.coupling_energy": "energy of edges for states that were checked",
    "BoltzmannMachine.evidence": "runs in loops on rows that were checked",
    "BoltzmannMachine.matrix": "takes the name of an edge, in loops",
    "BoltzmannMachine.rows": "runs in loops on states that were checked",
    "BoltzmannMachine.checked": "is itself the check of a state",
    "BoltzmannMachine.field": "runs in loops on states that were checked",
    "BoltzmannMachine.full_energy": "energy for states that were checked",
    "BoltzmannMachine.input": "runs in loops on states that were checked",
    "BoltzmannMachine.marginal_energy": "free_energy for states that were checked",
    "BoltzmannMachine.spans": "takes nothing",
    "BoltzmannMachine.pair_spans": "takes nothing",
    "Run.look": "takes nothing",
    "BoltzmannMachine.views": "runs in loops on arenas of the library",
    "BoltzmannMachine.zeros": "runs in loops",
    "HelmholtzMachine.encoder_place": "takes the name of a layer, in loops",
    "HelmholtzMachine.place": "takes layers of the machine, in loops",
    "HelmholtzMachine.spans": "takes nothing",
    "HelmholtzMachine.views": "runs in loops on arenas of the library",
    "Network.spans": "takes nothing",
    "Network.views": "runs in loops on arenas of the library",
    "Network.with_arena": "runs in loops on arenas of the library",
    "Diagnosis.extended": "joins findings of the library",
    "Key.stream": "runs in loops, on steps that may lie on a device",
}  # public by name only: what is inside trusts what the border has checked


def public_names() -> Iterator[str]:
    """Every public callable of boltz and of boltz.sklearn, found by itself, with the public methods of its classes.

    Exceptions are left out, and the methods of estimators, which follow the rules of scikit-learn and its own checks.
    """
    for name in boltz.__all__:
        thing = getattr(boltz, name)
        if not callable(thing) or (inspect.isclass(thing) and issubclass(thing, BaseException)):
            continue
        yield name
        if inspect.isclass(thing):
            methods = [m for m in dir(thing) if not m.startswith("_") and callable(getattr(thing, m))]
            yield from (f"{name}.{m}" for m in methods)
    yield from boltz.sklearn.__all__
