"""Models: the Boltzmann machine on a graph of layers, the Helmholtz machine, and their builders."""

from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.builders import dbm, dbn, from_arrays, rbm, sbn, vae
from boltz.models.graph import Graph, Layer
from boltz.models.helmholtz import HelmholtzMachine

__all__ = ["BoltzmannMachine", "Graph", "HelmholtzMachine", "Layer", "dbm", "dbn", "from_arrays", "rbm", "sbn", "vae"]
