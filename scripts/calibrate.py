"""Whether intervals cover as often as they say and bounds lie on their side: many seeds, machines with known answers.

RBMs, DBMs with two and three hidden layers, sigmoid belief nets and small variational autoencoders, each estimated with
so many seeds: log Z by annealing up and down, log-likelihoods by importance sampling. Truth comes from enumeration, for
an autoencoder with one latent unit from quadrature. One JSON line a machine and estimator: seeds, those trusted, the
share of their 95 % intervals that cover, and by how many standard errors of the mean the estimates lie below the truth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

import boltz
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import forward

Case = tuple[str, str, float, Callable[[int], Any]]
NODES, REACH = np.linspace(-12, 12, 4001), float(norm.ppf(0.975))


def undirected(number: int, rng: np.random.Generator) -> Iterator[Case]:
    """log Z of a random RBM or DBM, by annealing up and down."""
    units = [[6, 5], [5, 4, 4], [4, 4, 3, 3]][number % 3]
    scale = rng.uniform(0.3, 1.2)
    weights = [rng.normal(0, scale, shape) for shape in pairwise(units)]
    model = boltz.from_arrays(weights, [rng.normal(0, 0.5, n) for n in units])
    base = {layer.name: np.full(layer.units, 0.5) for layer in model.layers}
    truth, name = boltz.exact_log_z(model).value, "-".join(map(str, units)) + f" sd {scale:.2f}"
    for betas in (8, 32):
        yield name, f"annealing up, {betas}", truth, lambda s, b=betas: boltz.ais(model, 100, b, s, base)
        down = f"annealing down, {betas}"
        yield name, down, truth, lambda s, b=betas: boltz.reverse_ais(model, None, 100, b, s, base)


def belief(number: int, rng: np.random.Generator) -> Iterator[Case]:
    """Mean log-likelihood of four rows under a random sigmoid belief net, by 100 and 400 importance samples."""
    units = [[6, 4], [6, 3, 3]][number % 2]
    model = boltz.sbn(units, seed=number)
    for key, values in model.params.items():
        values[...] = rng.normal(0, 0.15 if key.startswith("recognition") else 0.5, values.shape)
    x = (rng.random((4, units[0])) < 0.5).astype(np.float32)
    truth = boltz.log_likelihood(model, x).value
    for samples in (100, 400):
        how = f"importance sampling, {samples}"
        yield f"sbn {units}", how, truth, lambda s, k=samples: boltz.log_likelihood(model, x, samples=k, seed=s)


def autoencoder(number: int, rng: np.random.Generator) -> Iterator[Case]:
    """Mean log-likelihood of four rows under a random autoencoder with one latent unit."""
    model = boltz.vae([5, 6], latent=1, seed=number)
    model.arena[...] += rng.normal(0, 0.15, model.arena.shape).astype(model.dtype)
    x = (rng.random((4, 5)) < 0.5).astype(np.float32)
    truth = float(quadrature(model, x).mean())
    for samples in (100, 400):
        how = f"importance sampling, {samples}"
        yield f"vae {number}", how, truth, lambda s, k=samples: boltz.log_likelihood(model, x, samples=k, seed=s)


def quadrature(model: boltz.HelmholtzMachine, x: Any) -> Any:
    """log p(x) (rows,) by the trapezoidal rule over the single latent unit."""
    machine = model.astype(np.float64)
    part = Part(Tape(machine.arena), slice(0, len(NODES)), len(NODES))
    latent, visible = machine.structure.latent[0].name, machine.visible
    part.get(f"state/{latent}", 1)[...] = NODES[:, None]
    net, name = machine.structure.generative[visible], f"generative/{visible}"
    field, _ = forward(net, name, machine.params, f"state/{latent}", part)
    table = machine.conditionals[visible].table(field, net.bias(name, machine.params), x.astype(np.float64))
    prior = -0.5 * NODES**2
    return logsumexp(table + prior - logsumexp(prior), axis=1)


def cases() -> Iterator[Case]:
    """Thirty machines: eighteen undirected, six belief nets, six autoencoders."""
    rng = np.random.default_rng(40)
    for number in range(18):
        yield from undirected(number, rng)
    for number in range(6):
        yield from belief(number, rng)
    for number in range(6):
        yield from autoencoder(number, rng)


def of_estimation(found: boltz.Estimate) -> tuple[float, float]:
    """The 95 % interval for just these rows: how much others would differ is not asked here."""
    return found.value - REACH * found.standard_error, found.value + REACH * found.standard_error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    seeds = parser.parse_args().seeds
    total: dict[str, list[int]] = {}
    for machine, how, truth, estimate in cases():
        began, hits, values = time.monotonic(), [], []
        for seed in range(seeds):
            found = estimate(seed)
            values.append(found.value)
            if found.trusted:
                low, high = found.interval if found.per_row is None else of_estimation(found)
                hits.append(low <= truth <= high)
        below = (truth - np.mean(values)) / (np.std(values, ddof=1) / np.sqrt(seeds))
        share = float(np.mean(hits)) if hits else None
        kind = found.kind
        line = {"machine": machine, "estimator": how, "kind": kind, "seeds": seeds, "trusted": len(hits)}
        line |= {"covered": share, "below": round(float(below), 2)}
        print(json.dumps(line | {"seconds": round(time.monotonic() - began, 1)}), flush=True)
        group = total.setdefault(how, [0, 0])
        group[0] += sum(hits)
        group[1] += len(hits)
    for how, (covered, trusted) in total.items():
        print(json.dumps({"estimator": how, "trusted": trusted, "covered": covered / max(trusted, 1)}))


if __name__ == "__main__":
    main()
