"""Models: a graph of layers and the Boltzmann machine on it."""

from boltz.models.boltzmann import BoltzmannMachine, dbm, from_arrays, rbm
from boltz.models.graph import Graph, Layer

__all__ = ["BoltzmannMachine", "Graph", "Layer", "dbm", "from_arrays", "rbm"]
