"""`boltz sample`: states of block Gibbs chains in a file."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import emit, json_option, run_argument, seed_option, threads_option
from boltz.errors import InputError

ENDINGS = (".npz", ".npy", ".png")


@click.command
@run_argument
@click.option("--chains", type=int, default=100, show_default=True, help="Independent chains, one sample each.")
@click.option("--sweeps", type=int, default=1000, show_default=True, help="Gibbs sweeps of each chain.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="samples.npz",
    show_default=True,
    help="Where to write: states of the layers (.npz), of one layer (.npy), or a picture of its means (.png).",
)
@click.option("--layer", show_default="v; all of them in an .npz file", help="The layer to write.")
@click.option("--force", is_flag=True, help="Replace the file that --out names.")
@seed_option
@threads_option
@json_option
def sample(path: Path, as_json: bool, **options: Any) -> None:
    """Run block Gibbs chains from a random start and write their last states."""
    import boltz
    from boltz.checkpoint import write_bytes
    from boltz.cli.stored import image_of, model_of, settings_of

    out: Path = options["out"]
    if out.suffix not in ENDINGS:
        raise InputError(f"--out must end in {', '.join(ENDINGS)}, got {str(out)!r}.")
    if os.path.lexists(out) and not options["force"]:
        raise InputError(f"{out} exists already: replace it with --force or name another file.")
    model = model_of(path)
    units = model.graph.units
    if options["layer"] not in (None, *units):
        raise InputError(f"--layer must be one of {', '.join(units)}, got {options['layer']!r}.")
    layer = options["layer"] or model.graph.visible
    began = time.monotonic()
    state = boltz.sample(model, options["chains"], options["sweeps"], options["seed"])
    if out.suffix == ".png":
        image = image_of(settings_of(path)) if layer == model.graph.visible else None
        title = f"means of layer {layer} in {options['chains']} chains after {options['sweeps']} sweeps"
        _draw(model.unit_type(layer).mean(model.field(layer, state)), image, title, out)
        written = [layer]
    else:
        written = list(units) if out.suffix == ".npz" and options["layer"] is None else [layer]
        write_bytes(out, _encoded({name: state[name] for name in written}, out.suffix))
    result = {
        "out": str(out),
        "layers": {name: list(state[name].shape) for name in written},
        "sweeps": options["sweeps"],
        "seed": options["seed"],
        "seconds": time.monotonic() - began,
    }
    shapes = ", ".join(f"{name} {rows} x {columns}" for name, (rows, columns) in result["layers"].items())
    emit(result, as_json, f"{out}: {shapes}")


def _encoded(states: dict[str, Any], ending: str) -> bytes:
    """0/1 states as bytes, each layer under its name (.npz) or the only one (.npy)."""
    import numpy as np

    buffer = io.BytesIO()
    plain = {name: x.astype(np.uint8) for name, x in states.items()}
    if ending == ".npz":
        np.savez_compressed(buffer, **plain)
    else:
        np.save(buffer, next(iter(plain.values())), allow_pickle=False)
    return buffer.getvalue()


def _draw(means: Any, image: tuple[int, int] | None, title: str, out: Path) -> None:
    from boltz import plotting

    plotting.save(plotting.sample_grid(means, image, title), out)
