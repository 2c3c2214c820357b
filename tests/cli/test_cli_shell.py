"""Catches what only a shell sees: slow help, imports too early, broken pipes, and wrong words while a command works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.shell_completion import ShellComplete
from support.commands import SMALL, invoke

import boltz
from boltz.cli import COMMANDS, main
from boltz.cli.common import Failure, failures
from boltz.estimators.estimate import Estimate, exact, kind_of_difference
from boltz.estimators.words import described
from boltz.evaluation.warm_up import warm_up
from boltz.evaluation.words import BOUNDS, GREY, verdict, verdict_between
from boltz.kernels.cpu import products
from boltz.training.settings import Common

HEAVY = ("numpy", "scipy", "numba", "matplotlib", "rich", "pooch", "safetensors")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom boltz.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit as end:\n"
        f"    assert end.code == 0\nprint([name for name in {HEAVY} if name in sys.modules])"
    )
    found = python(code)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "[]"
    assert all(name in found.stdout for name in COMMANDS)


def test_version_and_module_entry() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "boltz.cli", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0 and boltz.__version__ in found.stdout


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        yield name, command


def test_every_command_and_option_is_documented_and_takes_json() -> None:
    for name, command in commands():
        assert invoke(name, "--help").exit_code == 0 and command.help
        options = [p for p in command.params if isinstance(p, click.Option)]
        assert any("--json" in option.opts for option in options)
        for option in options:
            assert option.help, f"{name} {option.opts}"
            quiet = option.is_flag and not option.secondary_opts
            assert quiet or option.show_default or option.required or "--resume" in option.opts, f"{name} {option.opts}"


def test_every_help_has_an_example_that_fits_its_options() -> None:
    examples = {"": invoke("--help").stdout, **{name: invoke(name, "--help").stdout for name in COMMANDS}}
    for name, text in examples.items():
        lines = re.findall(r"^  Example: boltz (.*)$", text, re.MULTILINE)
        assert len(lines) == 1, name
        called, *words = shlex.split(lines[0])
        command = main.get_command(click.Context(main), called)
        assert command is not None and name in ("", called)
        command.make_parser(click.Context(command)).parse_args(words)  # raises UsageError for an option it lacks


def test_a_shell_completes_commands_models_options_and_choices() -> None:
    complete = ShellComplete(main, {}, "boltz", "_BOLTZ_COMPLETE")

    def values(words: list[str], begun: str) -> set[str]:
        return {item.value for item in complete.get_completions(words, begun)}

    assert values([], "co") == {"compare", "complete"}
    assert values(["train"], "d") == {"dbm", "dbn"}
    assert values(["train", "rbm"], "--pretrain-e") == {"--pretrain-epochs"}
    assert values(["train", "rbm", "--rule"], "p") == {"pcd", "ptt"}


@pytest.mark.parametrize("words", [["data"], ["data", "--json"]])
def test_a_broken_pipe_is_no_traceback(words: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "boltz.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) in (0, 1) and errors == ""


def test_training_goes_on_when_nobody_reads_stderr(data: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "boltz.cli", "train", "rbm", *SMALL, "--data", str(data), "--out", "r"],
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(60) == 0 and Path("r/test.json").exists()


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (boltz.InputError("a."), 2),
        (boltz.FileError("a."), 2),
        (boltz.NumericalError("a."), 1),
        (boltz.Interrupted("a."), 75),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
        (OSError(28, "No space left on device"), 1),
    ],
)
def test_errors_become_exit_codes(problem: BaseException, code: int) -> None:
    with pytest.raises(Failure) as caught, failures():
        raise problem
    assert caught.value.exit_code == code and caught.value.message.endswith(".")


def test_a_fault_of_boltz_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), failures():
        raise ZeroDivisionError
    with pytest.raises(BrokenPipeError), failures():
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize(("kind", "settings"), [("rbm", boltz.Settings()), ("vae", boltz.DirectedSettings())])
def test_kernels_are_compiled_before_training(
    kind: str, settings: Common, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a machine too small for the products of 0/1 states, which take longest to compile."""
    asked: set[bool] = set()
    multiply = products._multiply

    def watched(*arguments: object) -> object:
        asked.add(arguments[-1] != 0)  # the units of a table: none where a product is left to panels
        return multiply(*arguments)

    monkeypatch.setattr(products, "_multiply", watched)
    warm_up(kind, settings, "cpu", print)
    assert True in asked
    assert capsys.readouterr().err == ""


def estimate(kind: str, trusted: bool = True) -> Estimate:
    ess = 60.0 if trusted else 3.0
    return Estimate(-85.0, 0.1, (-85.2, -84.8), kind, ess, 100, 14500, () if trusted else ("made",))  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["exact", "lower"])
@pytest.mark.parametrize("log_z", ["exact", "lower"])
@pytest.mark.parametrize("trusted", [True, False])
def test_the_verdict_follows_from_the_kinds(given: str, log_z: str, trusted: bool) -> None:
    measured = exact(200.0, "enumeration") if log_z == "exact" else estimate("lower", trusted)
    kind = kind_of_difference(given, measured.kind)  # type: ignore[arg-type]
    words = verdict(estimate(kind), measured)
    assert words.startswith(BOUNDS[kind])
    assert ("certified" in words) == ((given, log_z) == ("lower", "exact"))
    assert ("NOT trusted" in words) == (log_z == "lower" and not trusted)
    assert ("60 of 100 chains" in words) == (log_z == "lower" and trusted)
    assert ("anneal" in words) == (kind == "upper")


@pytest.mark.parametrize("trusted", [True, False])
def test_the_verdict_on_importance_samples(trusted: bool) -> None:
    weighted = replace(estimate("lower", trusted), chains=0)
    directed = verdict(weighted, None, 5000)
    assert (
        "certified lower bound in expectation" in directed and "5,000 samples" in directed and "log Z is 0" in directed
    )
    enumerated = verdict(weighted, exact(200.0, "enumeration"), 100)
    assert "100 samples" in enumerated and "log Z is exact" in enumerated
    for words in (directed, enumerated):
        assert ("Enough samples are effective" in words) == trusted == ("samples do not suffice" not in words)
        assert "anneal" not in words and "chains" not in words
    annealed = verdict(estimate("none", trusted), estimate("lower"), 100)
    assert annealed.startswith(BOUNDS["none"]) and "certified" not in annealed and "log Z is trusted" in annealed
    assert ("Enough samples are effective to take it for log p*(v)" in annealed) == trusted
    doubtful = verdict(estimate("none", False), estimate("lower", False), 100)
    assert "effective to take" not in doubtful and "log Z is NOT trusted" in doubtful
    assert verdict(exact(-3.0, "enumeration"), None) == BOUNDS["exact"]


@pytest.mark.parametrize("trusted", [True, False])
def test_the_verdict_on_chains_of_each_row(trusted: bool) -> None:
    share = "Enough chains are effective" if trusted else "The chains do not suffice"
    directed = verdict(estimate("lower", trusted), None, 0, 7)
    assert "certified lower bound in expectation" in directed and "7 annealed chains a row, and log Z is 0" in directed
    assert f"{share} to take it for log p(v) itself" in directed
    conservative = verdict(replace(estimate("none", trusted), method="RAISE: conservative, ..."), None, 0, 7)
    assert (
        conservative.startswith("The log-likelihood is conservative, but no bound") and "certified" not in conservative
    )
    assert f"{share} to take it for that of the annealing model" in conservative


@pytest.mark.parametrize("trusted", [True, False])
def test_the_verdict_with_log_z_of_replica_exchange(trusted: bool) -> None:
    assert "it is log p*(v) less the log Z of replica exchange" in verdict_between(exact(3.0, "free energy"))
    bound = replace(estimate("lower", trusted), method="variational bound")
    assert verdict_between(bound).endswith("either side.") and "(variational bound) less" in verdict_between(bound)
    for numbers, what in (((5, 0), "samples"), ((0, 5), "chains")):
        enough = f"Enough {what} are effective" if trusted else f"The {what} do not suffice"
        words = f"{enough} to take it for log p*(v) itself{'' if trusted else ', since made'}"
        assert words in verdict_between(bound, *numbers)
    assert verdict_between(replace(bound, kind="none", method="x; rows that are not 0/1"), 5) == GREY


def test_the_verdict_on_rows_that_are_no_states() -> None:
    grey = replace(estimate("none"), method="free energy; rows that are not 0/1")
    assert verdict(grey, None, 100).startswith("The rows are not 0/1") and "certified" not in verdict(grey, None, 100)
    assert verdict(grey, None, 100) == verdict(grey, None, 0, 5) == GREY


def test_estimates_in_words() -> None:
    assert described("log Z", exact(3.0, "enumeration")) == "log Z 3.0000 nats, exact"
    assert "3 of 100 chains are effective (NOT trusted)" in described("log Z", estimate("lower", False))
    enough = replace(
        estimate("lower", True), doubts=("made",)
    )  # chains of log Z are enough, samples of the rows are not
    assert described("log-likelihood", enough).endswith("NOT trusted, though 60 of 100 chains are effective")
    of_rows = replace(estimate("lower"), per_row=np.zeros(2000), standard_error_rows=0.79)
    assert described("log-likelihood", of_rows).startswith(
        "log-likelihood -85.00 nats +- 0.10 (estimation) +- 0.79 (2,000 rows), 95 % interval -85.20 to -84.80, 60 of"
    )
    doubtful = replace(exact(0.5, "enumeration"), doubts=("log p(v) of binary rows is above 0, which cannot be",))
    assert verdict(doubtful, None).endswith("NOT trusted, since log p(v) of binary rows is above 0, which cannot be.")
