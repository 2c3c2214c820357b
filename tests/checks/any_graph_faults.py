"""Checks of machines on any graph at the shapes on which planted faults show."""

from __future__ import annotations

from checks import any_graph, any_graph_training


def check_triangle() -> None:
    any_graph.check_exact_log_z("triangle")


def check_transitions() -> None:
    any_graph.check_transitions("both")


def check_sparse_transitions() -> None:
    any_graph.check_transitions("sparse")


def check_annealing() -> None:
    any_graph.check_annealing("visible")


def check_triangle_exchange() -> None:
    any_graph.check_exchange("skip")


def check_gradient() -> None:
    any_graph.check_gradient("both", centred=False)


def check_centred_gradient() -> None:
    any_graph.check_gradient("visible")


def check_sparse_gradient() -> None:
    any_graph.check_gradient("sparse potts", centred=False)


def check_positive_phase() -> None:
    any_graph_training.check_positive_phase("hidden", "collapsed")


def check_completion() -> None:
    any_graph.check_completion("visible")


def check_known_views_heard() -> None:
    any_graph.check_completion("tied", scale=1.5)


def check_known_views_heard_in_training() -> None:
    any_graph_training.check_lacking_views("uneven", scale=1.5, view="y")
