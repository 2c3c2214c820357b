"""boltz: train, sample and measure Boltzmann machines; public names load on first use, so `import boltz` is quick."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "BoltzError": "errors",
    "FileError": "errors",
    "InputError": "errors",
    "Interrupted": "errors",
    "NumericalError": "errors",
    "WriteError": "errors",
    "BoltzmannMachine": "models.boltzmann",
    "dbm": "models.boltzmann",
    "from_arrays": "models.boltzmann",
    "HelmholtzMachine": "models.helmholtz",
    "dbn": "models.directed",
    "helmholtz": "models.directed",
    "sbn": "models.directed",
    "vae": "models.directed",
    "load": "models.files",
    "trajectory": "models.files",
    "rbm": "models.boltzmann",
    "features": "sampling.features",
    "classify": "sampling.passing",
    "encode": "sampling.passing",
    "reconstruct": "sampling.passing",
    "Network": "models.network",
    "autoencoder": "models.unrolling",
    "classifier": "models.unrolling",
    "load_network": "models.files",
    "FineTuneSettings": "training.settings",
    "Tuned": "training.tuned_runs",
    "fine_tune": "training.tuned_runs",
    "resume_tuning": "training.tuned_runs",
    "MeanField": "sampling.meanfield",
    "mean_field": "sampling.meanfield",
    "sample": "sampling.ancestral",
    "complete": "sampling.completing",
    "tempered_transitions": "estimators.tempered",
    "threads": "sampling.driver",
    "Estimate": "estimators.result",
    "ais": "estimators.annealed",
    "reverse_ais": "estimators.annealed",
    "LadderEstimate": "estimators.exchange",
    "exchange_log_z": "estimators.exchange",
    "tempered_sample": "estimators.exchange",
    "TwoSided": "estimators.sandwich",
    "log_z": "estimators.sandwich",
    "LikelihoodAlong": "estimators.along",
    "likelihood_along": "estimators.along",
    "active_units": "estimators.activity",
    "posterior_variances": "estimators.activity",
    "chain_ess": "estimators.chains",
    "integrated_time": "estimators.chains",
    "split_rhat": "estimators.chains",
    "exact_log_z": "estimators.exact",
    "exact_samples": "estimators.exact",
    "importance_bounds": "estimators.likelihood",
    "independent_units": "estimators.beyond",
    "mixture_of_products": "estimators.beyond",
    "log_likelihood": "estimators.likelihood",
    "posterior_ais": "estimators.posterior",
    "posterior_sandwich": "estimators.posterior",
    "raise_likelihood": "estimators.raising",
    "Run": "training.run",
    "BeliefSettings": "training.settings",
    "DirectedSettings": "training.settings",
    "Settings": "training.settings",
    "resume": "training.run",
    "train": "training.run",
    "Data": "data",
    "load_data": "data:load",
    "binarize": "data.binarize",
    "Key": "rng",
}

__all__ = [*_PLACES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'boltz' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = getattr(import_module(f"boltz.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from boltz.data import Data
    from boltz.data import load as load_data
    from boltz.data.binarize import binarize
    from boltz.errors import BoltzError, FileError, InputError, Interrupted, NumericalError, WriteError
    from boltz.estimators.activity import active_units, posterior_variances
    from boltz.estimators.along import LikelihoodAlong, likelihood_along
    from boltz.estimators.annealed import ais, reverse_ais
    from boltz.estimators.beyond import independent_units, mixture_of_products
    from boltz.estimators.chains import chain_ess, integrated_time, split_rhat
    from boltz.estimators.exact import exact_log_z, exact_samples
    from boltz.estimators.exchange import LadderEstimate, exchange_log_z, tempered_sample
    from boltz.estimators.likelihood import importance_bounds, log_likelihood
    from boltz.estimators.posterior import posterior_ais, posterior_sandwich
    from boltz.estimators.raising import raise_likelihood
    from boltz.estimators.result import Estimate
    from boltz.estimators.sandwich import TwoSided, log_z
    from boltz.estimators.tempered import tempered_transitions
    from boltz.models.boltzmann import BoltzmannMachine, dbm, from_arrays, rbm
    from boltz.models.directed import dbn, helmholtz, sbn, vae
    from boltz.models.files import load, load_network, trajectory
    from boltz.models.helmholtz import HelmholtzMachine
    from boltz.models.network import Network
    from boltz.models.unrolling import autoencoder, classifier
    from boltz.rng import Key
    from boltz.sampling.ancestral import sample
    from boltz.sampling.completing import complete
    from boltz.sampling.driver import threads
    from boltz.sampling.features import features
    from boltz.sampling.meanfield import MeanField, mean_field
    from boltz.sampling.passing import classify, encode, reconstruct
    from boltz.training.run import Run, resume, train
    from boltz.training.settings import BeliefSettings, DirectedSettings, FineTuneSettings, Settings
    from boltz.training.tuned_runs import Tuned, fine_tune, resume_tuning
