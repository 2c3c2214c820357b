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
    "dbm": "models.builders",
    "zero_sum": "models.gauge",
    "from_arrays": "models.builders",
    "HelmholtzMachine": "models.helmholtz",
    "dbn": "models.builders",
    "helmholtz": "models.builders",
    "sbn": "models.builders",
    "aae": "models.adversarial",
    "vae": "models.builders",
    "code_lengths": "estimators.code_lengths",
    "decompress": "sampling.decompression",
    "nade": "models.autoregressive",
    "made": "models.autoregressive",
    "pixelcnn": "models.autoregressive",
    "boltzmann": "models.wiring",
    "graph": "models.wiring",
    "multimodal": "models.wiring",
    "ising": "models.pairwise",
    "lattice": "models.pairwise",
    "potts": "models.pairwise",
    "load": "models.files",
    "trajectory": "models.files",
    "rbm": "models.builders",
    "grow": "models.growing",
    "features": "sampling.features",
    "classify": "networks.predict",
    "encode": "networks.predict",
    "reconstruct": "networks.predict",
    "Network": "networks.network",
    "autoencoder": "networks.unrolling",
    "classifier": "networks.unrolling",
    "load_network": "networks.files",
    "FineTuneSettings": "networks.settings",
    "Tuned": "networks.fine_tune",
    "fine_tune": "networks.fine_tune",
    "resume_tuning": "networks.fine_tune",
    "MeanField": "sampling.meanfield",
    "mean_field": "sampling.meanfield",
    "sample": "sampling.sample",
    "ChainRun": "sampling.chains",
    "run_chains": "sampling.chains",
    "decode": "sampling.decoding",
    "complete": "sampling.completion",
    "tempered_transitions": "estimators.tempered_transitions",
    "threads": "parallel",
    "Estimate": "estimators.estimate",
    "ais": "estimators.ais",
    "reverse_ais": "estimators.reverse_ais",
    "LadderEstimate": "estimators.replica_exchange",
    "Observables": "estimators.observables",
    "observables": "estimators.observables",
    "exchange_log_z": "estimators.replica_exchange",
    "tempered_sample": "estimators.replica_exchange",
    "TwoSided": "estimators.two_sided",
    "log_z": "evaluation.log_z",
    "Evaluation": "evaluation.evaluate",
    "evaluate": "evaluation.evaluate",
    "EvaluationAlong": "evaluation.along",
    "evaluate_along": "evaluation.along",
    "Comparison": "evaluation.compare",
    "compare": "evaluation.compare",
    "Diagnosis": "diagnostics.findings",
    "diagnose": "evaluation.diagnose",
    "Description": "evaluation.describe",
    "describe": "evaluation.describe",
    "Retrieval": "evaluation.retrieval",
    "RetrievalScores": "evaluation.retrieval",
    "retrieve": "evaluation.retrieval",
    "preset": "presets",
    "recipe": "presets",
    "LikelihoodAlong": "estimators.along_training",
    "likelihood_along": "estimators.along_training",
    "active_units": "diagnostics.active_units",
    "posterior_variances": "diagnostics.active_units",
    "chain_ess": "sampling.convergence",
    "integrated_time": "sampling.convergence",
    "split_rhat": "sampling.convergence",
    "exact_log_z": "estimators.exact",
    "exact_samples": "estimators.exact",
    "importance_bounds": "estimators.likelihood",
    "independent_units": "estimators.simple_models",
    "layer_gains": "diagnostics.layers",
    "Couplings": "estimators.couplings",
    "couplings": "estimators.couplings",
    "mutation_scores": "estimators.mutations",
    "mixture_of_products": "estimators.simple_models",
    "log_likelihood": "estimators.likelihood",
    "Perplexity": "estimators.perplexity",
    "perplexity": "estimators.perplexity",
    "LabelErrors": "evaluation.label_errors",
    "label_errors": "evaluation.label_errors",
    "ParzenWindow": "estimators.parzen",
    "parzen_window": "estimators.parzen",
    "pseudo_likelihood": "estimators.pseudo_likelihood",
    "gradient": "evaluation.gradient",
    "report": "evaluation.report",
    "posterior_ais": "estimators.posterior_ais",
    "posterior_sandwich": "estimators.posterior_ais",
    "raise_likelihood": "estimators.reverse_ais",
    "Plan": "training.minutes",
    "Run": "training.train",
    "plan_training": "training.train",
    "BeliefSettings": "training.settings",
    "DirectedSettings": "training.directed_settings",
    "AdversarialSettings": "training.adversarial_settings",
    "two_samples": "sampling.two_samples",
    "embedding": "sampling.inferred",
    "label_probabilities": "sampling.inferred",
    "samples_with_labels": "sampling.inferred",
    "TwoSamples": "sampling.two_samples",
    "Settings": "training.settings",
    "PairwiseFit": "training.pairwise",
    "fit_pairwise": "training.pairwise",
    "resume": "training.train",
    "train": "training.train",
    "plot_beside": "plotting.machines",
    "plot_clusters": "plotting.adversarial",
    "plot_codes": "plotting.adversarial",
    "plot_embedding": "plotting.adversarial",
    "plot_interpolations": "plotting.adversarial",
    "plot_styles": "plotting.adversarial",
    "watch_mlflow": "training.trackers",
    "watch_tensorboard": "training.trackers",
    "watch_wandb": "training.trackers",
    "plot_comparison": "plotting.results",
    "plot_curves": "plotting.machines",
    "plot_decompressions": "plotting.machines",
    "plot_filters": "plotting.machines",
    "plot_log_z": "plotting.results",
    "plot_observables": "plotting.thermal",
    "plot_couplings": "plotting.sites",
    "plot_mutations": "plotting.sites",
    "plot_samples": "plotting.machines",
    "Data": "data",
    "load_data": "data:load",
    "load_views": "data",
    "binarize": "data.binarize",
    "sequence_weights": "data.row_weights",
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
    from boltz.data import Data, load_views
    from boltz.data import load as load_data
    from boltz.data.binarize import binarize
    from boltz.data.row_weights import sequence_weights
    from boltz.diagnostics.active_units import active_units, posterior_variances
    from boltz.diagnostics.findings import Diagnosis
    from boltz.diagnostics.layers import layer_gains
    from boltz.errors import BoltzError, FileError, InputError, Interrupted, NumericalError, WriteError
    from boltz.estimators.ais import ais
    from boltz.estimators.along_training import LikelihoodAlong, likelihood_along
    from boltz.estimators.couplings import Couplings, couplings
    from boltz.estimators.estimate import Estimate
    from boltz.estimators.exact import exact_log_z, exact_samples
    from boltz.estimators.likelihood import importance_bounds, log_likelihood
    from boltz.estimators.mutations import mutation_scores
    from boltz.estimators.observables import Observables, observables
    from boltz.estimators.parzen import ParzenWindow, parzen_window
    from boltz.estimators.perplexity import Perplexity, perplexity
    from boltz.estimators.posterior_ais import posterior_ais, posterior_sandwich
    from boltz.estimators.pseudo_likelihood import pseudo_likelihood
    from boltz.estimators.replica_exchange import LadderEstimate, exchange_log_z, tempered_sample
    from boltz.estimators.reverse_ais import raise_likelihood, reverse_ais
    from boltz.estimators.simple_models import independent_units, mixture_of_products
    from boltz.estimators.tempered_transitions import tempered_transitions
    from boltz.estimators.two_sided import TwoSided
    from boltz.evaluation.along import EvaluationAlong, evaluate_along
    from boltz.evaluation.compare import Comparison, compare
    from boltz.evaluation.describe import Description, describe
    from boltz.evaluation.diagnose import diagnose
    from boltz.evaluation.evaluate import Evaluation, evaluate
    from boltz.evaluation.gradient import gradient
    from boltz.evaluation.label_errors import LabelErrors, label_errors
    from boltz.evaluation.log_z import log_z
    from boltz.evaluation.report import report
    from boltz.evaluation.retrieval import Retrieval, RetrievalScores, retrieve
    from boltz.models.adversarial import aae
    from boltz.models.boltzmann import BoltzmannMachine
    from boltz.models.builders import dbm, dbn, from_arrays, helmholtz, rbm, sbn, vae
    from boltz.models.files import load, trajectory
    from boltz.models.gauge import zero_sum
    from boltz.models.growing import grow
    from boltz.models.helmholtz import HelmholtzMachine
    from boltz.models.pairwise import ising, lattice, potts
    from boltz.models.wiring import boltzmann, graph, multimodal
    from boltz.networks.files import load_network
    from boltz.networks.fine_tune import Tuned, fine_tune, resume_tuning
    from boltz.networks.network import Network
    from boltz.networks.predict import classify, encode, reconstruct
    from boltz.networks.settings import FineTuneSettings
    from boltz.networks.unrolling import autoencoder, classifier
    from boltz.parallel import threads
    from boltz.plotting.adversarial import (
        plot_clusters,
        plot_codes,
        plot_embedding,
        plot_interpolations,
        plot_styles,
    )
    from boltz.plotting.machines import plot_beside, plot_curves, plot_decompressions, plot_filters, plot_samples
    from boltz.plotting.results import plot_comparison, plot_log_z
    from boltz.plotting.sites import plot_couplings, plot_mutations
    from boltz.plotting.thermal import plot_observables
    from boltz.presets import preset, recipe
    from boltz.rng import Key
    from boltz.sampling.chains import ChainRun, run_chains
    from boltz.sampling.completion import complete
    from boltz.sampling.convergence import chain_ess, integrated_time, split_rhat
    from boltz.sampling.decoding import decode
    from boltz.sampling.features import features
    from boltz.sampling.inferred import embedding, label_probabilities, samples_with_labels
    from boltz.sampling.meanfield import MeanField, mean_field
    from boltz.sampling.sample import sample
    from boltz.training.adversarial_settings import AdversarialSettings
    from boltz.training.directed_settings import DirectedSettings
    from boltz.training.minutes import Plan
    from boltz.training.pairwise import PairwiseFit, fit_pairwise
    from boltz.training.settings import BeliefSettings, Settings
    from boltz.training.trackers import watch_mlflow, watch_tensorboard, watch_wandb
    from boltz.training.train import Run, plan_training, resume, train
