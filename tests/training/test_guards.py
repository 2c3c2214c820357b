"""Catches a number that is not finite and does not stop a run within one step, or that reaches a checkpoint."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import training as checks
from support.training import plain_train

import boltz
from boltz.errors import InputError, NumericalError
from boltz.storage import run_folder
from boltz.training.baselines import Baseline
from boltz.training.contrastive import Contrastive
from boltz.training.loop import Loop
from boltz.training.stages import settings_of
from boltz.training.updown import UpDown
from boltz.training.variational import Variational

RULES: dict[str, dict[str, Any]] = {
    "cd": {"rule": "cd"},
    "pcd": {"rule": "pcd", "momentum": 0.5},
    "centred": {"rule": "pcd", "center": True, "sparsity_cost": 0.05, "l2": 1e-3},
    "deep cd": {"rule": "cd", "k": 2, "max_norm": 3.0},
}
DIRECTED: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "vae": (lambda: boltz.vae([6, 5], 3, rows()), {"objective": "vae"}),
    "gaussian": (lambda: boltz.vae([6, 5], 3, rows(), visible="gaussian"), {"objective": "stl", "free_bits": 0.01}),
    "iwae": (lambda: boltz.vae([6, [5], [4]], [3, 2], rows()), {"objective": "iwae", "samples": 3}),
    "dreg": (lambda: boltz.vae([6, [4], [3]], [2, 2], rows()), {"objective": "dreg", "samples": 3}),
    "nvil": (lambda: boltz.sbn([6, 4, 3], [3], rows()), {"objective": "nvil"}),
    "reinforce": (lambda: boltz.sbn([6, 4], x=rows()), {"objective": "reinforce"}),
    "vimco": (lambda: boltz.sbn([6, 4, 3], x=rows()), {"objective": "vimco", "samples": 3}),
    "rws": (lambda: boltz.sbn([6, 4, 3], x=rows()), {"objective": "rws", "samples": 3}),
    "wake-sleep": (lambda: boltz.sbn([6, 4, 3], x=rows()), {"objective": "wake-sleep"}),
    "up-down pcd": (lambda: boltz.dbn([6, 4, 3], rows()), {"rule": "pcd", "k": 2, "chains": 9, "pretrain_epochs": 0}),
    "up-down cd": (lambda: boltz.dbn([6, 4, 3], rows()), {"rule": "cd", "k": 1, "pretrain_epochs": 0}),
}
NUMPY_MAY_WARN = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of a NaN in a product, before the guard acts
OPTIMIZERS = ("momentum", "nesterov", "adam")
PLANTED_AT = 3  # steps are counted from 0; three an epoch


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out fsync, which only a power cut would miss and which takes most of the time here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def units_of(rule: str) -> list[int]:
    return [6, 5, 4] if rule in ("centred", "deep cd") else [6, 5]


def rows() -> np.ndarray:
    """Real-valued rows that reach the rule undrawn, so that whatever is planted arrives."""
    return np.random.default_rng(80).random((30, 6)).astype(np.float32)


def plant_before_step(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[Loop], None], at: int = PLANTED_AT
) -> list[int]:
    """Call plant just before one step of the next run; the list returned holds the steps that were begun."""
    begun: list[int] = []
    original = Loop._step

    def step(loop: Loop, *arguments: Any) -> None:
        begun.append(len(begun))
        if begun[-1] == at:
            plant(loop)
        original(loop, *arguments)

    monkeypatch.setattr(Loop, "_step", step)
    return begun


def start(rule: str, optimizer: str, out: Path | None, **more: Any) -> boltz.Run:
    model = boltz.dbm(units_of(rule), rows())
    settings = {"epochs": 4, "batch_size": 10, "chains": 12, "binarize": "none", "checkpoint_seconds": 0.0}
    return plain_train(model, rows(), out=out, optimizer=optimizer, **settings, **RULES[rule], **more)


def start_directed(name: str, optimizer: str, out: Path | None, **more: Any) -> boltz.Run:
    make, own = DIRECTED[name]
    settings = {"epochs": 4, "batch_size": 10, "binarize": "none", "checkpoint_seconds": 0.0}
    return plain_train(make(), rows(), out=out, optimizer=optimizer, **settings, **own, **more)


def rule_of(name: str) -> type[Variational] | type[UpDown]:
    return UpDown if name.startswith("up-down") else Variational


def saved(folder: Path) -> list[dict[str, np.ndarray]]:
    """Every checkpoint that the folder holds."""
    from boltz.storage.tensors import read_tensors

    return [read_tensors(path)[0] for path in sorted(folder.glob("*.safetensors"))]


def assert_stopped_and_sound(folder: Path, begun: list[int], step: int) -> None:
    assert begun[-1] == step, "the run went on after the step in which it broke"
    found = saved(folder)
    assert len(found) == 2 and not (folder / "model.safetensors").exists()
    for tensors in found:
        for name, x in tensors.items():
            assert np.isfinite(x).all(), name
    assert max(int(tensors["counters"][3]) for tensors in found) == step  # the state before the broken step


def place_data(loop: Loop, bad: float) -> None:
    loop.data.x[:, 2] = bad


def place_weight(loop: Loop, bad: float) -> None:
    loop.state.model.params["edge/v-h1/weight"][3, 1] = bad


def place_bias(loop: Loop, bad: float) -> None:
    loop.state.model.bias("h1")[2] = bad


PLACES: dict[str, Callable[[Loop, float], None]] = {"data": place_data, "weight": place_weight, "bias": place_bias}


@NUMPY_MAY_WARN
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_bad_data_and_parameters(
    rule: str, optimizer: str, place: str, bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = plant_before_step(monkeypatch, lambda loop: PLACES[place](loop, bad))
    with pytest.raises(NumericalError, match=r"Training stopped at joint, epoch 2: .* is not finite"):
        start(rule, optimizer, tmp_path / "run")
    assert_stopped_and_sound(tmp_path / "run", begun, PLANTED_AT)


@NUMPY_MAY_WARN
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_bad_state_of_rule_or_optimizer(
    rule: str, optimizer: str, bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each array in turn: fantasy particles of every layer, offsets, rates, velocities, both moments of Adam."""
    example = Contrastive(boltz.Settings(**RULES[rule])).init(
        boltz.dbm(units_of(rule)), rows(), checks.KEY, len(rows())
    )
    moments = ("first", "second") if optimizer == "adam" else ("velocity",)
    for number, (kind, name) in enumerate(
        [("rule", name) for name in example] + [("optimizer", name) for name in moments]
    ):

        def plant(loop: Loop, kind: str = kind, name: str = name) -> None:
            getattr(loop.state, kind)[name].reshape(-1)[1] = bad

        with monkeypatch.context() as patch:
            begun = plant_before_step(patch, plant)
            with pytest.raises(NumericalError, match="is not finite"):
                start(rule, optimizer, tmp_path / str(number))
        assert_stopped_and_sound(tmp_path / str(number), begun, PLANTED_AT)


@NUMPY_MAY_WARN
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_a_bad_gradient(rule: str, optimizer: str, bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Contrastive.gradient, itertools.count()

    def gradient(self: Contrastive, work: Any, *arguments: Any) -> Any:
        found = original(self, work, *arguments)
        if next(calls) == PLANTED_AT:
            work.gradient[7] = bad
        return found

    monkeypatch.setattr(Contrastive, "gradient", gradient)
    begun = plant_before_step(monkeypatch, lambda loop: None)
    with pytest.raises(NumericalError, match=r"gradient of .* is not finite; try a smaller learning_rate"):
        start(rule, optimizer, tmp_path / "run")
    assert_stopped_and_sound(tmp_path / "run", begun, PLANTED_AT)


@NUMPY_MAY_WARN
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("name", DIRECTED)
def test_bad_data_of_directed_machines(
    name: str, optimizer: str, bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = plant_before_step(monkeypatch, lambda loop: place_data(loop, bad))
    with pytest.raises(NumericalError, match=r"Training stopped at [a-z-]*, epoch 2: .* is not finite"):
        start_directed(name, optimizer, tmp_path / "run")
    assert_stopped_and_sound(tmp_path / "run", begun, PLANTED_AT)


@NUMPY_MAY_WARN
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("name", DIRECTED)
def test_bad_parameters_and_states_of_directed_machines(
    name: str, optimizer: str, bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each array in turn: weights and biases of both sides and of the prior, baselines, chains, moments.

    Each meets NaN and one of both infinities: one test of a number looks at all arrays.
    """
    make, settings = DIRECTED[name]
    model = make()
    chosen = settings_of(model.plan, settings)
    state = rule_of(name)(chosen).init(model, rows(), checks.KEY, len(rows()))
    assert len(state) == {"nvil": 4, "reinforce": 1, "up-down pcd": 2}.get(name, 0)
    moments = ("first", "second") if optimizer == "adam" else ("velocity",)
    places = [("model", x) for x in model.params] + [("rule", x) for x in state] + [("optimizer", x) for x in moments]
    taken = {np.inf: places[::2], -np.inf: places[1::2]}.get(bad, places)
    for number, (kind, array) in enumerate(taken):

        def plant(loop: Loop, kind: str = kind, array: str = array) -> None:
            found = loop.state.model.params if kind == "model" else getattr(loop.state, kind)
            found[array].reshape(-1)[-1] = bad

        with monkeypatch.context() as patch:
            begun = plant_before_step(patch, plant)
            with pytest.raises(NumericalError, match=r"epoch 2: .* is not finite"):
                start_directed(name, optimizer, tmp_path / str(number), momentum=0.5)  # so that the velocity counts
        assert_stopped_and_sound(tmp_path / str(number), begun, PLANTED_AT)


@NUMPY_MAY_WARN
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", DIRECTED)
def test_a_bad_gradient_of_directed_machines(
    name: str, optimizer: str, bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = rule_of(name).gradient, itertools.count()

    def gradient(self: Any, work: Any, *arguments: Any) -> Any:
        found = original(self, work, *arguments)
        if next(calls) == PLANTED_AT:
            work.gradient[7] = bad
        return found

    monkeypatch.setattr(rule_of(name), "gradient", gradient)
    begun = plant_before_step(monkeypatch, lambda loop: None)
    with pytest.raises(NumericalError, match=r"gradient of .* is not finite; try a smaller learning_rate"):
        start_directed(name, optimizer, tmp_path / "run")
    assert_stopped_and_sound(tmp_path / "run", begun, PLANTED_AT)


@NUMPY_MAY_WARN
def test_a_baseline_that_breaks_within_a_step_is_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has served its step by then, so the parameters stay sound: the save after the step is refused."""
    original, calls = Baseline.value, itertools.count()

    def value(self: Baseline, machine: Any, state: Any, *arguments: Any) -> Any:
        found = original(self, machine, state, *arguments)
        if next(calls) == PLANTED_AT:
            state["baseline/arena"][2] = np.nan
        return found

    monkeypatch.setattr(Baseline, "value", value)
    begun = plant_before_step(monkeypatch, lambda loop: None)
    with pytest.raises(NumericalError, match="rule/baseline/arena is not finite, so it was not saved"):
        start_directed("nvil", "adam", tmp_path / "run")
    assert_stopped_and_sound(tmp_path / "run", begun, PLANTED_AT)
    monkeypatch.setattr(Baseline, "value", original)
    begun = plant_before_step(monkeypatch, lambda loop: loop.state.rule["baseline/mean"].fill(np.nan))
    with pytest.raises(NumericalError, match="joint, epoch 2: chain or average baseline/mean is not finite"):
        start_directed("nvil", "adam", None)
    assert begun[-1] == PLANTED_AT


@pytest.mark.parametrize("name", ["rws", "wake-sleep", "up-down pcd", "up-down cd"])
def test_huge_but_finite_logits_are_no_alarm(name: str) -> None:
    """Binary units whose scores are at most 1: weights of 1e6 saturate every unit, nothing overflows."""
    run = start_directed(name, "momentum", None, learning_rate=1e6)
    assert np.isfinite(run.model.arena).all() and np.abs(run.model.arena).max() > 1e5


@NUMPY_MAY_WARN
@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
def test_a_rate_that_explodes_is_stopped(optimizer: str, tmp_path: Path) -> None:
    """With rate and decay of 1e6 every step multiplies the weights by -1e12, past float32 within four steps."""
    with pytest.raises(NumericalError, match=r"parameter .*weight is not finite"):
        start("pcd", optimizer, tmp_path / "run", learning_rate=1e6, l2=1e6)
    for tensors in saved(tmp_path / "run"):
        assert all(np.isfinite(x).all() for x in tensors.values())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_huge_but_finite_fields_are_no_alarm(rule: str, optimizer: str) -> None:
    """Weights of 1e6 saturate every unit; nothing overflows and no warning is raised."""
    run = start(rule, optimizer, None, learning_rate=1e6)
    assert np.isfinite(run.model.arena).all()


@NUMPY_MAY_WARN
def test_the_error_names_the_cause_first(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_before_step(monkeypatch, lambda loop: loop.state.rule["chain/h1"].__setitem__((0, 0), np.nan))
    with pytest.raises(NumericalError, match="joint, epoch 2: chain or average chain/h1 is not finite"):
        start("pcd", "momentum", None)


@NUMPY_MAY_WARN
def test_what_no_step_reads_is_checked_before_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs of pretraining stay in the checkpoint after their stage; a bad number there stops the save."""

    def plant(loop: Loop) -> None:
        loop.state.pairs[0].arena[3] = np.nan

    begun = plant_before_step(monkeypatch, plant, 7)  # two stages of three steps come first
    with pytest.raises(NumericalError, match="arena/pair-0 is not finite, so it was not saved"):
        start("centred", "momentum", tmp_path / "run", pretrain_epochs=1, pretrain_k=1)
    assert begun[-1] == 7
    for tensors in saved(tmp_path / "run"):
        assert all(np.isfinite(x).all() for x in tensors.values())


@NUMPY_MAY_WARN
def test_a_bad_model_never_makes_a_run(tmp_path: Path) -> None:
    model = boltz.rbm(6, 5)
    model.arena[3] = np.nan
    with pytest.raises(NumericalError, match="not finite"):
        plain_train(model, rows(), out=tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()
    with pytest.raises(NumericalError, match="not finite"):
        plain_train(model, rows(), epochs=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -0.1, 1.5])
def test_bad_data_are_met_at_the_border(bad: float, tmp_path: Path) -> None:
    x = rows()
    x[3, 2] = bad
    for name, arguments in (("x", {"x": x}), ("held_out", {"x": rows(), "held_out": x})):
        with pytest.raises(InputError, match=f"^{name} must "):
            plain_train(boltz.dbn([6, 5, 4]), out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


@NUMPY_MAY_WARN
def test_a_run_that_broke_goes_on_from_its_last_good_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passing fault costs nothing: the resumed run ends as the unbroken one."""
    wanted = start("centred", "adam", None).model.arena
    with monkeypatch.context() as patch, pytest.raises(NumericalError):
        plant_before_step(patch, lambda loop: place_weight(loop, np.nan))
        start("centred", "adam", tmp_path / "run")
    run = boltz.resume(tmp_path / "run", rows())
    np.testing.assert_array_equal(run.model.arena, wanted)
    assert run_folder.read_settings(tmp_path / "run")["settings"]["optimizer"] == "adam"
