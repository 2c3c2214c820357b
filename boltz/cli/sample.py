"""`boltz sample`: samples of a machine in a file."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Set
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
    Choice,
    device_option,
    emit,
    free_file,
    given,
    json_option,
    run_argument,
    said,
    say,
    seed_option,
    table_options,
    threads_option,
)
from boltz.errors import InputError
from boltz.foreign import shown

SWEEPS, ROUNDS = 1000, 1000
FORMS = {
    "values": (".npz", ".npy", ".csv", ".png", ".svg", ".pdf"),
    "codes": (".npz", ".npy", ".csv"),
    "letters": (".txt",),
    "fasta": (".fasta", ".fa"),
}  # how samples are written, and the endings of such files
STARTS = ("rates", "uniform", "bias", "data")


@click.command
@run_argument
@click.option("--chains", type=int, default=100, show_default=True, help="Independent chains, one sample each.")
@click.option(
    "--sweeps",
    type=int,
    show_default=f"{SWEEPS}",
    help="Gibbs sweeps of each chain (rbm, dbm, and the top of a dbn); an sbn or vae has none.",
)
@click.option(
    "--start",
    type=Choice(STARTS),
    show_default="in turn all but data",
    help="Where Gibbs chains begin: at mean activities of the data, at states that are all alike, at the biases, or at "
    "rows of the data; unless given, the chains take turns among the first three.",
)
@click.option(
    "--data", metavar="NAME", show_default="those of the run", help="The rows for --start data and --style-of."
)
@click.option(
    "--length",
    type=int,
    metavar="WORDS",
    show_default="those of rows of the data",
    help="Words of each document, drawn from nothing, of a machine whose visible units are counts.",
)
@table_options
@click.option(
    "--tempered",
    is_flag=True,
    help="Replica exchange over a ladder of temperatures instead of Gibbs chains, for an rbm or dbm that these do not "
    "cross.",
)
@click.option(
    "--rounds", type=int, default=ROUNDS, show_default=True, help="Rounds of replica exchange; needs --tempered."
)
@click.option(
    "--as",
    "form",
    type=Choice(list(FORMS)),
    show_default="as the ending of --out says, else values",
    help="What to write: states as numbers in the units of the data, one-hot ones of categorical units (values); "
    "categorical units as one code each (codes), or the visible ones by their alphabet, a line a sample (letters) or "
    "with names (fasta).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="samples.npz, .txt or .fasta, as --as asks for",
    help="Where to write: states of the layers (.npz), of one layer (.npy, .csv), a picture of its means (.png, .svg, "
    ".pdf), or letters (.txt, .fasta).",
)
@click.option(
    "--label",
    metavar="LABEL|all",
    show_default="states of a label that is drawn",
    help="Visible means for this label, of an aae whose decoder hears labels, or for all of them, one after the other "
    "for each style; --chains counts the styles, which are drawn.",
)
@click.option(
    "--style-of",
    metavar="ROW,FIRST:LAST",
    show_default="styles from the prior",
    help="--label: the styles of these rows of --data, by default of the test rows of the run, by numbers from 1.",
)
@click.option("--layer", show_default="v; all of them in an .npz file", help="The layer to write.")
@click.option("--force", is_flag=True, help="Replace the file that --out names.")
@seed_option
@device_option
@threads_option
@json_option
@click.pass_context
def sample(ctx: click.Context, path: Path, as_json: bool, **options: Any) -> None:
    """Draw samples and write them: 0/1, -1/+1 and one-hot layers as bytes, Gaussian ones as numbers, 64-bit in the
    units of the data, and aligned sequences as text.

    Boltzmann machines run Gibbs chains, or replica exchange; directed ones draw from their prior
    downwards, and a deep belief net does both.

    Example: boltz sample digits --chains 64 --out samples.png
    """
    from boltz.evaluation.trained import model_of
    from boltz.storage.run_folder import PICTURES

    model = model_of(path).to(options["device"])
    if options["label"] is not None:
        from boltz.evaluation.labelled_samples import ENDINGS, labelled_samples

        out = free_file(options["out"] or Path("samples.npz"), ENDINGS, options["force"])
        told = labelled_samples(path, model, options, given(ctx), out, said)
        (count, columns) = told["layers"][model.visible]
        emit(told, as_json, f"{told['out']}: {model.visible} {count} x {columns}")
        return
    if options["style_of"] is not None:
        raise InputError("--style-of would do nothing: it needs --label.")
    form, out = _form(options)
    how = (form, _alphabet(path, model, options, form))
    words = _words(path, model, options, out)
    if options["layer"] not in (None, *model.units):
        raise InputError(f"--layer must be one of {shown(', '.join(model.units))}, got {shown(options['layer'])}.")
    sweeps, rounds = _lengths(path, model, options, given(ctx))
    layer = options["layer"] or model.visible
    model, options = _of_length(path, model, options)
    views = model.layers[: len(model.layers) - len(model.hidden_layers)]
    if len(views) > 1 and options["layer"] is None and out.suffix != ".npz":
        names = ", ".join(view.name for view in views)
        raise InputError(f"{path} has several visible layers, {names}: choose one with --layer, or write an .npz file.")
    where = _start(path, model, options)
    began = time.monotonic()
    state, doubts = _drawn(model, options["chains"], (sweeps, rounds), options["seed"], where)
    if out.suffix in PICTURES:
        after = "" if sweeps is None else f" after {sweeps} sweeps"
        after += "" if rounds is None else f" of {rounds} rounds of replica exchange"
        _draw(path, model.to("cpu"), layer, (state, after), out)
        written = [layer]
    else:
        written = list(model.units) if out.suffix == ".npz" and options["layer"] is None else [layer]
        state = _written(model, {name: state[name] for name in written}, (*how, words), out)
    result = {
        "out": str(out),
        "as": form,
        "units": {each.name: each.kind for each in model.layers if each.name in written},
        "layers": {name: list(state[name].shape) for name in written},
        "sweeps": sweeps,
        "rounds": rounds,
        "doubts": list(doubts),
        "seed": options["seed"],
        "seconds": time.monotonic() - began,
    }
    shapes = ", ".join(f"{name} {rows} x {columns}" for name, (rows, columns) in result["layers"].items())
    emit(result, as_json, f"{out}: {shapes}")


def _lengths(path: Path, model: Any, options: dict[str, Any], names: Set[str]) -> tuple[int | None, int | None]:
    """Sweeps of Gibbs chains and rounds of replica exchange, None where there are none; raises InputError."""
    from boltz import checks
    from boltz.sampling.ladder_fitting import COPIES

    sweeps = options["sweeps"]
    if model.undirected is None and sweeps is not None:
        raise InputError(f"--sweeps are of Gibbs chains, but {path} holds a directed machine, sampled exactly.")
    if not options["tempered"]:
        if "rounds" in names:
            raise InputError("--rounds would do nothing: it needs --tempered.")
        return (SWEEPS if sweeps is None and model.undirected is not None else sweeps), None
    if model.directed is not None:
        raise InputError(f"--tempered is for an rbm or dbm, but {path} holds a machine with directed layers.")
    if sweeps is not None:
        raise InputError("--sweeps are of Gibbs chains, but --tempered has rounds instead: give --rounds.")
    least = -(-checks.integer(options["chains"], "chains", 1, 2**32) // COPIES)
    rounds = checks.integer(options["rounds"], "--rounds", 20, 10**9)
    if rounds < least:
        raise InputError(f"--rounds must be at least {least} for {options['chains']} chains, got {rounds}.")
    return None, rounds


def _start(path: Path, model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Where Gibbs chains begin, as arguments of boltz.sample; raises InputError."""
    import numpy as np

    from boltz.evaluation.per_unit import visible_of
    from boltz.evaluation.reading import refuse_idle
    from boltz.evaluation.rows import rows_of

    if options["start"] != "data":
        if options["data"] is not None:
            raise InputError("--data would do nothing: it needs --start data.")
        refuse_idle(options, "--start data")
    if options["start"] is None:
        return {}
    if options["tempered"] or model.directed is not None:
        raise InputError("--start is for the Gibbs chains of an rbm or dbm without --tempered.")
    if options["start"] != "data":
        return {"start": options["start"]}
    how = "dynamic" if visible_of(model).binary else "none"
    rows = rows_of(path, model, {**options, "split": None, "limit": None, "binarize": how}, "train")
    said(rows.data)
    numbers = np.unique(np.arange(options["chains"]) * len(rows) // options["chains"])
    return {"start": "data", "data": np.concatenate([rows.seen(slice(i, i + 1)) for i in numbers.tolist()])}


def _of_length(path: Path, model: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The machine of documents of --length, or one whose chains start at documents; raises InputError."""
    from boltz import checks
    from boltz.units.counts import LONGEST
    from boltz.units.states import own_lengths

    length, layer = options["length"], model.layers[0]
    if length is not None:
        if not own_lengths(layer.type):
            raise InputError(f"--length is of documents of any length, but {path} has {layer.kind} visible units.")
        if options["start"] == "data":
            raise InputError("--length draws documents from nothing, and --start data from those of data: name one.")
        return model.of_length(checks.integer(length, "--length", 1, LONGEST)), options
    if not own_lengths(layer.type):
        return model, options
    if options["tempered"] or options["start"] not in (None, "data"):
        option = "--tempered" if options["tempered"] else f"--start {options['start']}"
        raise InputError(
            f"{option} needs the length of documents, since those of {path} have any length: give --length WORDS."
        )
    return model, options | {"start": "data"}


def _words(path: Path, model: Any, options: dict[str, Any], out: Path) -> tuple[str, ...]:
    """The words of the columns of documents, where a table is written and they are known; raises InputError."""
    from boltz.evaluation.documents import are_documents, words_of_run

    if out.suffix != ".csv" or options["layer"] not in (None, model.visible) or not are_documents(model):
        return ()
    return words_of_run(path, model)


def _drawn(model: Any, chains: int, lengths: tuple[int | None, int | None], seed: int, where: dict[str, Any]) -> Any:
    """States of all layers after so many sweeps, or of so many rounds, and what speaks against the latter."""
    import boltz
    from boltz.progress import saying

    sweeps, rounds = lengths
    if rounds is None:
        with saying(f"drawing {chains:,} samples" + (f" by {sweeps:,} sweeps" if sweeps else "")):
            return boltz.sample(model, chains, sweeps, seed, **where), ()
    with saying(f"drawing {chains:,} samples by {rounds:,} rounds of replica exchange"):
        states = boltz.tempered_sample(model, chains, rounds, seed=seed)
    if not states.trusted:
        say(f"These samples may not be at equilibrium: {' and '.join(states.ladder.doubts)}; raise --rounds.")
    return states, states.ladder.doubts


def _form(options: dict[str, Any]) -> tuple[str, Path]:
    """How samples are written, and the file; raises InputError where these do not fit together."""
    form, out = options["form"], options["out"]
    if form is None:
        form = next((name for name, ends in FORMS.items() if out is not None and out.suffix in ends), None)
    if form is None:
        every = tuple(dict.fromkeys(ending for ends in FORMS.values() for ending in ends))
        form, known = "values", FORMS["values"] if out is None else every
    else:
        known = FORMS[form]
    return form, free_file(Path(f"samples{known[0]}") if out is None else out, known, options["force"])


def _alphabet(path: Path, model: Any, options: dict[str, Any], form: str) -> str:
    """The letters of the states of visible units, empty where none are asked for; raises InputError."""
    from boltz.evaluation.reading import alphabet_for
    from boltz.training.description import description_at

    layer = model.layers[0]
    if form == "codes" and all(each.columns == 1 for each in model.layers):
        raise InputError(f"--as codes is for categorical units, but {path} has {layer.kind} ones: leave it out.")
    if form not in ("letters", "fasta"):
        return ""
    if len(model.layers) - len(model.hidden_layers) > 1:
        raise InputError(f"--as {form} is for one visible layer, but {path} has several: take --as codes.")
    if layer.columns == 1:
        raise InputError(f"--as {form} is for categorical visible units, but {path} has {layer.kind} ones.")
    if options["layer"] not in (None, model.visible):
        raise InputError(f"--as {form} writes the visible layer, so it takes no --layer {shown(options['layer'])}.")
    known = alphabet_for(description_at(path).learnt.load.get("alphabet"), options["alphabet"])
    letters = known.get("alphabet")
    if not isinstance(letters, str):
        raise InputError(f"--as {form} needs the letters of the states, which {path} does not name: give --alphabet.")
    if len(letters) != layer.columns:
        raise InputError(f"--alphabet has {len(letters)} letters, but the units of {path} have {layer.columns} states.")
    return letters


def _written(model: Any, states: dict[str, Any], how: tuple[str, str, tuple[str, ...]], out: Path) -> dict[str, Any]:
    """Write states of layers as asked for, and return them as they are written."""
    from boltz.data.alignments import sequences_of
    from boltz.storage.atomic import write_bytes, write_text
    from boltz.storage.tables import Table, written
    from boltz.units.onehot import codes_of

    form, alphabet, words = how
    columns = {layer.name: layer.columns for layer in model.layers}
    if form != "values":
        states = {name: codes_of(x, columns[name]) if columns[name] > 1 else x for name, x in states.items()}
    if form in ("letters", "fasta"):
        lines = sequences_of(next(iter(states.values())), alphabet)
        names = (f">sample_{i}\n" if form == "fasta" else "" for i in range(1, len(lines) + 1))
        write_text(out, "".join(f"{name}{line}\n" for name, line in zip(names, lines, strict=True)))
        return states
    kinds = {layer.name: layer.type for layer in model.layers}
    plain = {name: _plain(x, kinds[name].support, kinds[name].joint) for name, x in states.items()}
    if out.suffix == ".csv":
        (name, x) = next(iter(plain.items()))
        states_of = columns[name] if form == "values" else 1
        headers = list(words) if words and name == model.visible else _columns(name, x.shape[1], states_of)
        with written(out, Table("samples", x.shape, x.dtype, headers)) as put:
            put(x)
    else:
        write_bytes(out, _encoded(plain, out.suffix))
    return states


def _columns(layer: str, columns: int, states: int) -> list[str]:
    """Names of the columns of a layer: its units, or the states of each."""
    units = [f"{layer}_{i}" for i in range(1, columns // states + 1)]
    return units if states == 1 else [f"{unit}_{state}" for unit in units for state in range(states)]


def _plain(x: Any, support: tuple[float, ...] | None, counts: bool) -> Any:
    """States in the smallest type that holds them, with a sign where there are negative ones."""
    import numpy as np

    if counts:
        return x.astype(np.uint16 if x.max(initial=0) < 2**16 else np.uint32)
    if support is None:
        return x
    if x.dtype.kind in "iu":  # codes
        return x.astype(np.uint16)
    return x.astype(np.int8 if min(support) < 0 else np.min_scalar_type(int(max(support))))


def _encoded(states: dict[str, Any], ending: str) -> bytes:
    """States in the bytes of a file, each layer under its name (.npz) or the only one (.npy)."""
    import numpy as np

    buffer = io.BytesIO()
    if ending == ".npz":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:  # numpy.savez takes no layer named file
            for name, x in states.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, x, allow_pickle=False)
    else:
        np.save(buffer, next(iter(states.values())), allow_pickle=False)
    return buffer.getvalue()


def _draw(path: Path, model: Any, layer: str, found: tuple[Any, str], out: Path) -> None:
    """The picture of a layer in sampled states; found holds those and how they came about."""
    from boltz.plotting import images
    from boltz.plotting.machines import layer_means
    from boltz.training.description import description_at

    state, after = found
    told = description_at(path)
    image = told.images.get(layer, told.image if layer == model.visible else None)
    values, what, greys = layer_means(model, layer, state)
    title = f"{what} of layer {layer} in {len(values)} {'chains' if 'sweeps' in after else 'samples'}{after}"
    images.save(images.sample_grid(values, image, title, greys), out)
