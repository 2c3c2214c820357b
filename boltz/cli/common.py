"""What the commands share: errors to exit codes, output, and options; imports nothing heavy."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import click

from boltz.errors import MACHINE, BoltzError, InputError, Interrupted, WriteError
from boltz.foreign import MOST_MESSAGE, near, shown, shown_lines

F = TypeVar("F", bound=Callable[..., Any])


class Noted(Protocol):
    """Data that say how they were read."""

    @property
    def notes(self) -> tuple[str, ...]: ...


D = TypeVar("D", bound=Noted)
BETAS = "N|sm2008|adaptive[:N]"


class Failure(click.ClickException):
    """The work failed: a sentence for stderr, and the exit code of the process."""

    exit_code = 1
    prefix = "Error: "

    def show(self, file: IO[Any] | None = None) -> None:
        say(f"{self.prefix}{self.message}")


class BadInput(Failure):
    """An argument or a file is not what it must be."""

    exit_code = 2


class Resumable(Failure):
    """The run was stopped, and can be continued."""

    exit_code = 75
    prefix = ""


class Stopped(Failure):
    """The command was stopped, and nothing is kept."""

    exit_code = 130
    prefix = ""


@contextmanager
def failures() -> Iterator[None]:
    """Turn what boltz raises on purpose, and what a machine may lack, into a Failure; a fault of boltz passes."""
    try:
        yield
    except click.NoSuchOption as problem:
        raise click.UsageError(_no_option(problem), problem.ctx) from problem
    except click.UsageError as problem:
        if problem.format_message().isprintable():
            raise
        raise click.UsageError(shown(problem.format_message(), MOST_MESSAGE), problem.ctx) from problem
    except Interrupted as problem:
        raise Resumable(str(problem)) from problem
    except WriteError as problem:
        raise Failure(str(problem)) from problem
    except InputError as problem:
        raise BadInput(str(problem)) from problem
    except BoltzError as problem:
        raise Failure(str(problem)) from problem
    except KeyboardInterrupt as problem:
        raise Stopped("Stopped.") from problem
    except MemoryError as problem:
        raise Failure("there is not enough memory for this.") from problem
    except OSError as problem:
        if problem.errno == errno.EPIPE:
            raise
        reason = problem.strerror or shown(problem)
        if problem.filename is None or problem.errno in MACHINE:
            raise Failure(f"{reason}.") from problem
        raise BadInput(f"{shown(problem.filename)}: {reason}.") from problem


def _no_option(problem: click.NoSuchOption) -> str:
    """What is said of an option that a command lacks, with those that may have been meant."""
    ctx = problem.ctx
    known = [] if ctx is None else [name for each in ctx.command.get_params(ctx) for name in each.opts]
    hint = near(problem.option_name, [name for name in known if name.startswith("--")])
    return f"There is no option {shown(problem.option_name)}{hint or '.'}"


def say(text: str) -> None:
    """A line on stderr, fit for a terminal; work goes on silently when nobody reads it any more."""
    try:
        click.echo(shown_lines(text), err=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def said(data: D) -> D:
    """The data, once stderr says how their text was read."""
    for note in data.notes:
        say(note)
    return data


def emit(result: Mapping[str, Any], as_json: bool, text: str) -> None:
    """The result on stdout: one JSON object, or the text, fit for a terminal, where it is not empty."""
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
    elif text:
        click.echo(shown_lines(text))


class Choice(click.Choice[str]):
    """One of some names; another one is refused with those that may have been meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        refused = super().get_invalid_choice_message(value, ctx)
        hint = near(str(value), self.choices)
        return refused.removesuffix(".") + hint if hint else refused


class Layers(click.ParamType):
    """Numbers of units of layers, such as 500,1000; grouped: groups of them, such as 200,200/100,100, those of a named
    pathway, such as image=500,500, or 0 for none.
    """

    name = "layers"

    def __init__(self, grouped: bool = False) -> None:
        self.grouped = grouped

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if not isinstance(value, str):
            return tuple(value)
        if self.grouped and "=" in value:
            name, _, own = value.partition("=")
            return name.strip(), Layers().convert(own, param, ctx)
        if self.grouped and value.strip() == "0":
            return ((0,),)
        groups = [group.split(",") for group in (value.split("/") if self.grouped else [value])]
        if not all(_is_size(part) for group in groups for part in group):
            self.fail(f"{value!r} must be numbers of units separated by commas, such as 500,1000.", param, ctx)
        sizes = tuple(tuple(int(part) for part in group) for group in groups)
        return sizes if self.grouped else sizes[0]


class Modality(click.ParamType):
    """A kind of data, NAME=ARRAY:KIND, or NAME=FILE:KIND and NAME=FILE:ARRAY:KIND for a file of its own."""

    name = "modality"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str, str]:
        if not isinstance(value, str):
            return tuple(value)
        name, _, rest = value.partition("=")
        source, _, kind = rest.rpartition(":")
        if kind.isdecimal() and ":" in source:  # categorical:21
            source, _, word = source.rpartition(":")
            kind = f"{word}:{kind}"
        if not (name.strip() and source and kind):
            self.fail(
                f"{value!r} must be a name, an array and a kind of units, such as text=x_text:bernoulli or "
                "text=words.npy:categorical:21.",
                param,
                ctx,
            )
        return name.strip(), source, kind


def layers_of(ctx: click.Context, param: click.Parameter, values: tuple[Any, ...]) -> Any:
    """The layers of one chain, the last one given as of any option, or by name where pathways are named; None without
    any.
    """
    named = [value for value in values if len(value) == 2 and isinstance(value[0], str)]
    if named and len(named) < len(values):
        raise click.BadParameter("names a pathway in one place and none in another.", ctx, param)
    if named:
        return _by_name(named, ctx, param)
    return values[-1] if values else None


def modalities_of(ctx: click.Context, param: click.Parameter, values: tuple[Any, ...]) -> Any:
    """Source and kind of each modality by name; None without any."""
    return _by_name([(name, (source, kind)) for name, source, kind in values], ctx, param) if values else None


def _by_name(pairs: list[tuple[str, Any]], ctx: click.Context, param: click.Parameter) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise click.BadParameter(f"names {shown(twice)} twice.", ctx, param)
    return dict(pairs)


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 9 and int(text) > 0


class Numbers(click.ParamType):
    """A number, or several separated by commas, one for each pair of neighbouring layers, such as 0.0002,0.001."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        whole = self.kind is int
        try:
            found = tuple(self.kind(part) for part in value.split(","))
        except ValueError:
            example = "20 or 20,40" if whole else "0.001 or 0.0002,0.001"
            wanted = f"a {'whole ' * whole}number, or one for each pair of layers, such as {example}"
            self.fail(f"{value!r} must be {wanted}.", param, ctx)
        return found[0] if len(found) == 1 else found


class Sweeps(click.ParamType):
    """A number of sweeps, or two between which it rises, such as 1:10; several: or one of these for each pair."""

    name = "sweeps"

    def __init__(self, several: bool = False) -> None:
        self.several = several

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        parts = value.split(",") if self.several else [value]
        if not all(_is_size(end) for part in parts for end in part.split(":", 1)):
            each = ", or one for each pair of layers, such as 1,1:10" if self.several else ""
            self.fail(
                f"{value!r} must be a whole number, or two between which it rises, such as 1:10{each}.", param, ctx
            )
        found = tuple(part if ":" in part else int(part) for part in parts)
        return found[0] if len(found) == 1 else found


class Betas(click.ParamType):
    """A number of temperatures, or the name of a schedule: sm2008, adaptive, adaptive:N."""

    name = "betas"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if isinstance(value, int) or value in ("sm2008", "adaptive"):
            return value
        if _is_size(value.removeprefix("adaptive:")):
            return value if value.startswith("adaptive:") else int(value)
        wanted = "a number of temperatures of at least 1, sm2008, adaptive or adaptive:N"
        self.fail(f"{value!r} must be {wanted}.", param, ctx)


class Counts(click.ParamType):
    """Numbers of samples, such as 1,10,100."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(value)
        if not all(_is_size(part) for part in value.split(",")):
            self.fail(f"{value!r} must be numbers of samples separated by commas, such as 1,10,100.", param, ctx)
        return tuple(int(part) for part in value.split(","))


def word(name: str) -> str:
    """An option as it is written on the command line."""
    return "--" + name.replace("_", "-")


def given(ctx: click.Context) -> set[str]:
    """Names of the parameters that the command line itself gave."""
    unsaid = click.core.ParameterSource.DEFAULT, click.core.ParameterSource.DEFAULT_MAP
    return {name for name in ctx.params if ctx.get_parameter_source(name) not in unsaid}


def _set_threads(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    if value is not None:
        import boltz

        boltz.threads(value)


def _device(value: str) -> str:
    if value == "cpu":
        return value
    from boltz.arrays import checked_device

    return checked_device(value)


def free_file(out: Path, endings: tuple[str, ...], force: bool, option: str = "--out") -> Path:
    """The file to write, if its ending says how and its name is free; raises InputError."""
    if out.suffix not in endings:
        raise InputError(f"{option} must end in {', '.join(endings)}, got {str(out)!r}.")
    if os.path.lexists(out) and (out.is_dir() or not force):
        what = "is a folder: name a file" if out.is_dir() else "exists already: replace it with --force or name another"
        raise InputError(f"{out} {what}{'' if out.is_dir() else ' file'}.")
    return out


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
threads_option = click.option(
    "--threads",
    type=int,
    callback=_set_threads,
    expose_value=False,
    show_default="BOLTZ_NUM_THREADS, else all cores",
    help="Threads of every pool, BLAS included; results do not depend on them.",
)
device_option = click.option(
    "--device",
    default="cpu",
    metavar="cpu|cuda[:N]",
    callback=lambda ctx, param, value: _device(value),
    show_default=True,
    help="Where the work is done: cpu, or an NVIDIA GPU, which needs CuPy; random bits are the same, sums are rounded "
    "otherwise.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random numbers.")
run_argument = click.argument("path", metavar="RUN|MODEL", type=click.Path(path_type=Path))


def table_options(command: F) -> F:
    """The options that say what the numbers and the columns of a table mean."""
    levels = click.option(
        "--levels",
        type=int,
        metavar="N",
        show_default="what the run or the machine keeps, else 0/1 and grey bytes",
        help="All numbers of the data are whole ones from 0 to N, which are divided by N; a machine keeps it.",
    )
    alphabet = click.option(
        "--alphabet",
        metavar="LETTERS",
        show_default="that of the run or of the file, else the 20 amino acids and the gap",
        help="The letters of aligned sequences in the order of their codes, such as ACGU- for RNA.",
    )
    vocabulary = click.option(
        "--vocabulary",
        metavar="FILE",
        show_default="that of the run's data, else the words of the file in sorted order",
        help="The words that columns of counts are of: a file with a word a line, or lines of word:count.",
    )
    label = click.option(
        "--label-column",
        metavar="NAME|NUMBER",
        show_default="that of the run's data, else none",
        help="The column of a table that holds labels: its name in the header, else its number from 1.",
    )
    drop = click.option(
        "--drop-column",
        "drop_columns",
        metavar="NAME|NUMBER",
        multiple=True,
        show_default="those of the run's data, else none",
        help="A column of a table to leave out, by name or number; may be repeated.",
    )
    return levels(alphabet(vocabulary(label(drop(command)))))


def two_sided_options(use: str) -> Callable[[F], F]:
    """The options of log Z from both sides; use says when they are."""

    def decorate(command: F) -> F:
        width = click.option(
            "--error",
            type=float,
            default=0.25,
            show_default=True,
            help=f"{use}: half-width of the 95 % interval of log Z that is wanted, in nats.",
        )
        budget = click.option(
            "--budget",
            type=float,
            default=600.0,
            show_default=True,
            help=f"{use}: seconds after which no further attempt at it is begun.",
        )
        return width(budget(command))

    return decorate


def annealing_options(chains: str) -> Callable[[F], F]:
    """The options of annealed importance sampling, the number of chains under this name."""

    def decorate(command: F) -> F:
        betas = click.option(
            "--betas",
            type=Betas(),
            metavar=BETAS,
            default="sm2008",
            show_default=True,
            help="Inverse temperatures of annealed importance sampling: a number of uniform steps, the 14,500 of "
            "Salakhutdinov & Murray 2008, or N (14,500) fitted to the machine.",
        )
        count = click.option(
            chains, type=int, default=100, show_default=True, help="Chains of annealed importance sampling."
        )
        return count(betas(command))

    return decorate


def row_options(split: str) -> Callable[[F], F]:
    """The options that say which rows and how they are seen; split is the default of --split in words."""

    def decorate(command: F) -> F:
        for option in reversed(_row_options(split)):
            command = option(command)
        return command

    return decorate


def _row_options(split: str) -> list[Callable[[Any], Any]]:
    return [
        click.option(
            "--data", show_default="the data of the run", help="A named data set, or a file as in boltz train."
        ),
        click.option("--split", type=Choice(["train", "valid", "test"]), show_default=split, help="Which rows."),
        click.option("--limit", type=int, show_default="all", help="The first rows only, this many."),
        table_options,
        click.option(
            "--binarize",
            type=Choice(["none", "threshold", "fixed"]),
            default="none",
            show_default=True,
            help="Grey values as they are, cut at 0.5, or as Bernoulli means drawn once by --seed.",
        ),
    ]
