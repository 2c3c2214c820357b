"""Catches a bad value at any argument of any public function that gives neither a result nor one sentence naming it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from checks.border_sweep import FOREIGN, REFUSED, RESULT, TAKEN, WORDS, WRONG, attempt, little_memory, sandbox, sweep
from support.bad_values import BAD
from support.good_calls import INNER, Good, public_names
from support.shorter import shorten

import boltz
from boltz import checks


@pytest.fixture(scope="module")
def calls() -> Iterator[dict[str, Good]]:
    with pytest.MonkeyPatch.context() as patch, sandbox() as found, little_memory():
        shorten(patch)
        yield found


NAMES = [name for name in public_names() if name not in INNER]


def variants(calls: dict[str, Good], name: str) -> dict[str, Good]:
    """The good calls of a public name."""
    return {key: good for key, good in calls.items() if key.split(",")[0] == name}


def test_the_table_of_good_calls_has_every_public_name_and_no_other(calls: dict[str, Good]) -> None:
    """A new public name needs a good call in good_calls.py, or a reason why it is inner."""
    named = {key.split(",")[0] for key in calls}
    assert named == set(NAMES) and set(INNER) <= set(public_names())
    assert len(BAD) >= 66


@pytest.mark.parametrize("name", NAMES)
def test_the_good_calls_name_every_argument_and_work(calls: dict[str, Good], name: str) -> None:
    thing = getattr(boltz, name.split(".")[0], None) or getattr(boltz.sklearn, name.split(".")[0])
    thing = getattr(thing, name.partition(".")[2]) if "." in name else thing
    wanted = {
        parameter.name
        for parameter in inspect.signature(thing).parameters.values()
        if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }
    for key, good in variants(calls, name).items():
        good.call(**good.arguments)
        assert wanted <= set(good.arguments) or ", unfinished" in key, key


@pytest.mark.parametrize("name", NAMES)
def test_bad_values_give_a_result_or_one_sentence(calls: dict[str, Good], name: str) -> None:
    found = [outcome for outcome in sweep(variants(calls, name)) if outcome.kind in WRONG]
    assert not found, "\n".join(map(str, found[:10]))


def test_the_sweep_sees_what_is_wrong() -> None:
    """Each kind of wrong outcome is told from a right one."""

    def call(argument: object) -> None:
        if argument is True:
            raise boltz.InputError("argument must be a number, got True.")
        if argument is None:
            raise boltz.InputError("something else is wrong.")
        if argument == "no":
            raise boltz.InputError("argument is bad: " + "x" * 400 + ".")
        if isinstance(argument, bytes):
            raise TypeError("foreign")

    good = Good(call, {"argument": False})
    kinds = {value: attempt("call", good, "argument", value).kind for value in ("True", "None", "no", "bytes", "0")}
    assert kinds == {"True": REFUSED, "None": WORDS, "no": WORDS, "bytes": FOREIGN, "0": TAKEN}
    assert attempt("call", good, "argument", "False").kind == RESULT


@pytest.mark.parametrize("value", list(BAD))
def test_every_value_can_be_said_in_a_few_words(value: str) -> None:
    text = checks.brief(BAD[value]())
    assert 0 < len(text) <= checks.BRIEF and text.isprintable()
