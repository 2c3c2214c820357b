"""Catches a check that passes while the fault that it should notice, listed in faults.txt, is in the library."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.planting import plant, stand_in

from boltz.errors import BoltzError


class Fault(NamedTuple):
    """What is wrong, in which module, the source that is replaced, what by, and the check that must notice."""

    what: str
    module: str
    old: str
    new: str
    check: str


def faults() -> Iterator[Fault]:
    """The paragraphs of faults.txt after the first."""
    text = Path(__file__).with_name("faults.txt").read_text(encoding="utf-8")
    for paragraph in text.strip().split("\n\n")[1:]:
        what, place, *lines = paragraph.split("\n")
        module, check = place.split(", ")
        old, new = ("\n".join(line[2:] for line in lines if line[:2] == mark) for mark in ("- ", "+ "))
        assert old and new and all(line[:2] in ("- ", "+ ") for line in lines), paragraph
        yield Fault(what, module, old, new, check)


TESTS = Path(__file__).parents[1]
HOLDER = re.compile(r"^from checks import (\w+)(?: as (\w+))?$", re.MULTILINE)
ALONE = re.compile(r'\n\ndef test_\w+\(\) -> None:\n(?:    """[^"]*"""\n)?    (\w+)\.(check_\w+)\(\)\n(?=\n|\Z)')


def run_elsewhere() -> set[str]:
    """The checks that a test without conditions or arguments calls, and does nothing else: once is enough."""
    found = set()
    for file in TESTS.rglob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        modules = {short or name: name for name, short in HOLDER.findall(text)} if "pytestmark" not in text else {}
        found |= {f"checks.{modules[holder]}.{check}" for holder, check in ALONE.findall(text) if holder in modules}
    return found


FAULTS = list(faults())
CHECKS = {fault.check for fault in FAULTS}


def check_named(name: str) -> Callable[[], None]:
    module, _, function = name.rpartition(".")
    found: Callable[[], None] = getattr(importlib.import_module(module), function)
    return found


def test_the_list_is_long_and_names_each_fault_once() -> None:
    assert len({fault.what for fault in FAULTS}) == len(FAULTS) >= 60


@pytest.mark.parametrize("name", sorted(CHECKS - run_elsewhere()))
def test_every_check_passes_without_a_fault(name: str) -> None:
    """Those that are no test of their own."""
    check_named(name)()


def test_checks_that_are_tests_of_their_own_are_found() -> None:
    assert "checks.training.check_two_draws" in run_elsewhere() and len(CHECKS & run_elsewhere()) > 50


@pytest.mark.parametrize("name", sorted({fault.check for fault in FAULTS if fault.module == "kernels.reference"}))
def test_checks_pass_on_the_reference_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a fault planted there is what fails, and not the change of kernels."""
    stand_in(monkeypatch)
    check_named(name)()


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.what.replace(" ", "-") for fault in FAULTS])
def test_every_fault_is_caught(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, fault.module, fault.old, fault.new)
    with pytest.raises((AssertionError, BoltzError)):
        check_named(fault.check)()
        pytest.fail(f"{fault.what} in boltz.{fault.module} survives {fault.check}")


def test_planting_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[0]
    with monkeypatch.context() as patch:
        plant(patch, fault.module, fault.old, fault.new)
    check_named(fault.check)()


def test_a_fault_that_is_no_longer_in_the_code_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="must follow the code"):
        plant(monkeypatch, "numerics", "nothing like this", "something")
    with pytest.raises(AssertionError, match="changes no function"):
        plant(monkeypatch, "numerics", "np.logaddexp(0, x)", "(np.logaddexp(0, x))")
