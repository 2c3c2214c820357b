"""Catches wrong gradients of reparameterised objectives under the library's own noise, by complex steps and identities.

Nothing here is averaged over samples: the noise is drawn by the library and the bound is a plain function of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import directed as checks
from checks import directed_laws as laws
from checks.directed import CLOCK, SERIAL, gradient_of, machine_of, plenty
from oracles import directed as oracle
from oracles.directed import Directed

import boltz
from boltz.nn.arena import Tape
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.recognition import sampled
from boltz.training.directed_settings import DirectedSettings
from boltz.training.variational import MONITOR_SAMPLES, DirectedWorkspace, Variational

DEPTHS = {1: ("2g", [[4]], 0.6), 2: ("2g 2g", [[4, 3], [3]], 0.6), 3: ("2g 2g 2g", [[3], [], [2]], 0.4)}


@pytest.mark.parametrize("name", checks.SMOOTH)
@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
@pytest.mark.parametrize("visible", ["3b", "3g"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_gradients_are_those_of_the_bound(name: str, activation: str, visible: str, depth: int) -> None:
    hidden, widths, scale = DEPTHS[depth]
    checks.check_path(machine_of(f"{visible} {hidden}", widths, activation, scale), name)


@pytest.mark.parametrize("name", ["vae", "iwae"])
def test_gradients_of_linear_machines(name: str) -> None:
    for layers in ("3b 2g", "3g 2g 2g", "3b 2g 2g 2g"):
        checks.check_path(machine_of(layers, scale=0.4), name)


def test_gradients_with_scaled_kl_terms() -> None:
    checks.check_scaled_paths()


def test_warm_up_ends() -> None:
    checks.check_warm_up()


@pytest.mark.parametrize("layers", ["3b 2g", "3g 2g 2g", "3b 2g 2g 1g"])
@pytest.mark.parametrize("warmup", [0.0, 2.0])
def test_partial_paths_of_stl_dreg_and_piwae(layers: str, warmup: float) -> None:
    widths = [[3]] * (len(layers.split()) - 1)
    checks.check_partial(machine_of(layers, widths, "softplus", scale=0.4), warmup)


def test_identities_between_objectives() -> None:
    checks.check_identities()


def test_exact_posteriors_leave_no_variance_and_no_gradient() -> None:
    checks.check_exact_posterior()


@pytest.mark.parametrize("layers", ["3b 2b 2b", "3g 2g 2g", "3b 2g 2b"])
def test_gradients_depend_on_neither_threads_nor_earlier_batches(layers: str) -> None:
    machine = machine_of(layers, [[4], [3]])
    x = np.resize(plenty(machine), (301, 3))
    objectives = ("vimco", "nvil", "rws") if layers.endswith("b") else ("iwae", "dreg", "wake-sleep")
    for objective in objectives:
        rule = Variational(DirectedSettings(objective=objective, samples=3))
        wanted = gradient_of(machine, x, rule.settings)
        used, before = DirectedWorkspace(machine), boltz.threads()
        try:
            boltz.threads(3)
            with workers() as pool:
                for rows in (400, 7, 301):
                    state = rule.init(machine, x, CLOCK.key, len(x))
                    rule.gradient(used, np.resize(x, (rows, 3)), state, CLOCK, pool)
        finally:
            boltz.threads(before)
        assert all((used.named[name] == wanted[name]).all() for name in wanted), objective


@pytest.mark.parametrize("layers", ["300b 200b 150b", "300b 20g 130b"])
def test_single_precision_and_sums_of_weight_rows_agree_with_double(layers: str) -> None:
    """float32 machines take 0/1 states by sums of weight rows; the same draws give the gradient to rounding."""
    machine = machine_of(layers, scale=0.05)
    for name, value in machine.params.items():
        if name.startswith("recognition") and name.endswith("bias"):
            value -= 2  # few units are on
    x = (np.random.default_rng(1).random((60, 300)) < 0.1).astype(float)
    settings = DirectedSettings(objective="nvil", samples=2)
    state = {name: value * 0 for name, value in checks.baseline_state(machine_of("3b 2b"), False).items()}
    rule = Variational(settings)
    double = {**state, **{n: v * 0 for n, v in rule.init(machine, x, CLOCK.key, len(x)).items()}}
    single = {n: v.astype(np.float32) if n != "baseline/mean" else v for n, v in double.items()}
    wanted = gradient_of(machine, x, settings, double)
    found = gradient_of(machine.astype(np.float32), x.astype(np.float32), settings, single)
    for name, value in wanted.items():
        size = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-4 * size, err_msg=name)


@pytest.mark.parametrize("layers", ["3b 2b 2b", "3g 2g 2g", "3b 2b 2b rbm"])
def test_what_is_recorded_after_an_epoch(layers: str) -> None:
    """Bound, importance bound of fifty samples, KL term and gap, from the states that the same key draws."""
    machine = machine_of(layers)
    train, key, base = plenty(machine), Key(3, 4), Directed.of(machine)
    rule, found = Variational(DirectedSettings(objective="wake-sleep")), []
    held_out = train[:5] * 0.5
    for rows in (train, held_out):
        tape = Tape(machine.arena)
        sampled(machine, tape, rows, MONITOR_SAMPLES, (key, 0), SERIAL)
        state = laws.left_on(tape) | {"v": np.repeat(rows, MONITOR_SAMPLES, axis=0)}
        log_w = oracle.log_weight(base, state).reshape(len(rows), -1)
        p, q = oracle.log_p(base, state), oracle.log_q(base, state)
        found.append((log_w.mean(), oracle.log_mean_exp(log_w).mean(), sum(np.mean(q[n] - p[n]) for n in q)))
    wanted = {"bound": found[0][0], "importance_bound": found[0][1], "kl": found[0][2]}
    seen = rule.measure(machine, train, held_out, key)
    assert seen == pytest.approx(wanted | {"bound_gap": found[0][1] - found[1][1]}, abs=1e-10)
    assert rule.measure(machine, train, held_out[:0], key) == pytest.approx(wanted | {"bound_gap": None}, abs=1e-10)


# ---------------------------------------------------------------- torch


def torch_log_weight(torch: Any, named: Any, q: Any, x: Any, noise: Any) -> tuple[Any, Any]:
    """log p and log q (rows * samples,) of a machine of two Gaussian layers; densities of q under the parameters q."""

    def net(params: Any, name: str, z: Any) -> Any:
        hidden = torch.tanh(z @ params[f"{name}/0/weight"] + params[f"{name}/0/bias"])
        return hidden @ params[f"{name}/1/weight"] + params[f"{name}/1/bias"]

    def normal(outputs: Any, z: Any) -> Any:
        mean, log_sigma = outputs.chunk(2, dim=1)
        return torch.distributions.Normal(mean, log_sigma.exp()).log_prob(z).sum(1)

    def draw(outputs: Any, noise: Any) -> Any:
        mean, log_sigma = outputs.chunk(2, dim=1)
        return mean + log_sigma.exp() * noise

    h1 = draw(net(named, "recognition/h1", x), noise["h1"])
    h2 = draw(net(named, "recognition/h2", h1), noise["h2"])
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(h2).sum(1) + normal(net(named, "generative/h1", h2), h1)
    visible = torch.distributions.Bernoulli(logits=net(named, "generative/v", h1))
    log_q = normal(net(q, "recognition/h1", x), h1) + normal(net(q, "recognition/h2", h1), h2)
    return log_p + visible.log_prob(x).sum(1), log_q


def torch_value(torch: Any, objective: str, log_w: Any, stuck: Any) -> tuple[Any, Any]:
    """What theta and what phi climb, from log w (rows, 6) and from log w with the density of q held fixed."""

    def iwae(values: Any) -> Any:
        return torch.logsumexp(values, -1).mean() - np.log(values.shape[-1])

    if objective == "vae":
        return log_w.mean(), log_w.mean()
    if objective == "stl":
        return log_w.mean(), stuck.mean()
    if objective == "dreg":
        weights = torch.softmax(log_w, 1).detach()
        return iwae(log_w), (weights**2 * stuck).sum(1).mean()
    return iwae(log_w), iwae(log_w.reshape(-1, 3, 2)) if objective == "piwae" else iwae(log_w)


@pytest.mark.parametrize("objective", ["vae", "stl", "iwae", "dreg", "piwae"])
def test_agreement_with_torch(objective: str) -> None:
    """Automatic differentiation of the same bound with the same noise, detached where the papers detach."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    machine = machine_of("3b 2g 2g", [[4], [3]])
    x = plenty(machine)
    groups = 3 if objective == "piwae" else 1
    found = gradient_of(machine, x, DirectedSettings(objective=objective, samples=6 // groups, groups=groups))
    named = {name: torch.tensor(value, requires_grad=True) for name, value in machine.params.items()}
    noise = {name: torch.tensor(value) for name, value in checks.noise_of(machine, 6 * len(x)).items()}
    rows = torch.tensor(np.repeat(x, 6, axis=0))
    log_p, log_q = torch_log_weight(torch, named, named, rows, noise)
    fixed = {name: value.detach() for name, value in named.items()}
    stuck = log_p - torch_log_weight(torch, named, fixed, rows, noise)[1]
    values = torch_value(torch, objective, (log_p - log_q).reshape(-1, 6), stuck.reshape(-1, 6))
    for side, value in zip(("generative", "recognition"), values, strict=True):
        names = [name for name in named if name.startswith(side)]
        wanted = torch.autograd.grad(value, [named[name] for name in names], retain_graph=True)
        for name, gradient in zip(names, wanted, strict=True):
            np.testing.assert_allclose(found[name], gradient.numpy(), rtol=0, atol=1e-12, err_msg=name)


def test_a_gradient_changes_no_parameter() -> None:
    machine = machine_of("3b 2b 2b")
    kept = machine.arena.copy()
    gradient_of(machine, plenty(machine), DirectedSettings(objective="rws", samples=2))
    assert (machine.arena == kept).all()
