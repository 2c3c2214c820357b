"""rbms, an RBM library on PyTorch: its own training step, sampler and annealing loop, as its `train` calls them."""

from __future__ import annotations

from importlib.metadata import version
from itertools import cycle

import torch
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.partition_function.ais import interpolate_ebm, update_weights_ais

from . import Array, Contender, Problem, Work, parameters

Tensor = torch.Tensor


def _tensor(x: Array) -> Tensor:
    return torch.tensor(x, dtype=torch.float32)


def _machine(problem: Problem) -> BBRBM:
    """A machine of the library with the parameters of the problem."""
    return BBRBM(_tensor(problem.weights[0]), *(_tensor(b) for b in problem.biases))


def _chains(machine: BBRBM, problem: Problem) -> dict[str, Tensor]:
    """Chains at the states of the problem."""
    chains = machine.init_chains(problem.chains, start_v=_tensor(problem.start["v"]))
    chains["hidden"] = _tensor(problem.start["h1"])
    return chains


def _training(problem: Problem, sweeps: int, persistent: bool) -> Work:
    """The body of the library's `train`: chains, gradient without centring, torch's SGD.

    Left out is its division of every gradient by its norm, a rule of its own: it would make the updates incomparable.
    """
    machine = _machine(problem)
    machine.init_grad()
    optimizer = torch.optim.SGD(machine.parameters(), lr=problem.learning_rate, maximize=True)
    batches = cycle([torch.from_numpy(x) for x in problem.batches()])
    weights, chains = torch.ones(problem.batch), [_chains(machine, problem)]

    def run(count: int) -> None:
        with torch.no_grad():
            for _ in range(count):
                data = machine.init_chains(problem.batch, weights=weights, start_v=next(batches))
                chains[0] = machine.sample_state(chains[0] if persistent else data, sweeps)
                optimizer.zero_grad(set_to_none=False)
                machine.compute_gradient(data, chains[0], centered=False)
                optimizer.step()

    def result() -> tuple[Array, ...]:
        return parameters([machine.weight_matrix.numpy()], [machine.vbias.numpy(), machine.hbias.numpy()])

    return Work(run, result)


def pcd(problem: Problem, threads: int) -> Work:
    """Persistent contrastive divergence with k = 1."""
    return _training(problem, 1, True)


def cd(problem: Problem, threads: int) -> Work:
    """Contrastive divergence with k sweeps from the batch."""
    return _training(problem, problem.k, False)


def gibbs(problem: Problem, threads: int) -> Work:
    """The public sampler; it ends each call with a draw of the hidden layer."""
    machine = _machine(problem)
    chains = [_chains(machine, problem)]

    def run(count: int) -> None:
        with torch.no_grad():
            chains[0] = machine.sample_state(chains[0], count)

    return Work(run, lambda: (chains[0]["visible"].numpy().copy(), chains[0]["hidden"].numpy().copy()))


def ais(problem: Problem, threads: int) -> Work:
    """The loop of the library's log Z, which gives the mean only, from its own base: the machine without its weights.

    It takes the rates of no data, so the same temperatures serve it less; the work a temperature is what is timed.
    """
    machine, found = _machine(problem), []

    def run(count: int) -> None:
        with torch.no_grad():
            for _ in range(count):
                base = machine.independent_model()
                chains, log_weights = base.init_chains(problem.chains), torch.zeros(problem.chains)
                path = interpolate_ebm(base, machine, torch.linspace(0, 1, problem.betas + 1))
                now = next(path)
                for after in path:
                    before, now = now.clone(), after
                    log_weights, chains = update_weights_ais(before, now, chains, log_weights)
                found[:] = [log_weights.double() + machine.ref_log_z()]

    return Work(run, lambda: (found[0].numpy(),))


def contenders() -> list[Contender]:
    """The library on the threads of PyTorch; it has restricted machines only."""
    makers = {"pcd": pcd, "cd": cd, "gibbs": gibbs, "ais": ais}
    return [Contender("rbms", version("rbms"), torch.set_num_threads, makers)]
