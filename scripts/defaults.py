"""The defaults on twelve binary tables, beside independent units and the best of some random settings.

`random` trains machines of each kind with settings drawn by number; `defaults` trains with the settings that
`boltz train` and the scikit-learn estimators choose by themselves. Each adds one line of JSON a machine to --out and
leaves out what is there, so that it can be stopped. `table` shows what share of the gain of the best random setting
over independent units the defaults have. All likelihoods are of the same test rows, in nats a row.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import boltz
import boltz.sklearn
from boltz.errors import NumericalError
from boltz.training.stages import settings_of

SETS = (
    "nltcs", "plants", "jester", "baudio", "bnetflix", "accidents", "adult", "connect4", "pumsb_star", "dna", "nips",
    "bbc",
)  # fmt: skip
KINDS = ("rbm", "dbm", "sbn", "vae")
ESTIMATORS = {
    "BernoulliRBM": boltz.sklearn.BernoulliRBM,
    "RBMTransformer": boltz.sklearn.RBMTransformer,
    "DBMTransformer": boltz.sklearn.DBMTransformer,
    "VAETransformer": boltz.sklearn.VAETransformer,
}
SAME = {"BernoulliRBM": "rbm", "RBMTransformer": "rbm", "DBMTransformer": "dbm", "VAETransformer": "vae"}
SETTINGS, TEST_ROWS, SAMPLES = 20, 500, 200
BETAS = (1000, 5000)
RESULTS = Path(__file__).parent.parent / "results" / "defaults"  # what was measured so far
Line = dict[str, Any]


def rows_of(name: str, split: str) -> Any:
    """The 0/1 rows (rows, units) of a table; test rows are TEST_ROWS of them, evenly spaced."""
    x = boltz.load_data(name, split).x.astype(np.float32)
    return x[np.linspace(0, len(x) - 1, min(TEST_ROWS, len(x))).astype(int)] if split == "test" else x


def measured(model: Any, test: Any) -> Line:
    """The mean log-likelihood of test rows, and whether it is trusted."""
    log_z = None
    if isinstance(model, boltz.BoltzmannMachine):
        quick = len(model.units) == 2 and min(model.units.values()) <= 16
        for betas in BETAS:
            log_z = boltz.exact_log_z(model) if quick else boltz.ais(model, 100, betas)
            if log_z.trusted:
                break
    samples = 0 if len(model.layers) == 2 and log_z is not None else SAMPLES  # log p*(v) of an RBM is exact
    found = boltz.log_likelihood(model, test, log_z, samples)
    return {"value": found.value, "trusted": log_z is None or log_z.trusted}


SHAPES: dict[str, Callable[[int, Any], Any]] = {
    "rbm": lambda units, x: boltz.rbm(units, 500, x=x),
    "dbm": lambda units, x: boltz.dbm([units, 500, 1000], x=x),
    "sbn": lambda units, x: boltz.sbn([units, 200, 200], x=x),
    "vae": lambda units, x: boltz.vae([units, 200, 200], latent=50, x=x),
}  # as `boltz train` builds them


def default(name: str, kind: str) -> Line:
    """A machine with the default settings, held-out rows being the set's own; a scikit-learn estimator sees no such."""
    train, valid, test = (rows_of(name, split) for split in ("train", "valid", "test"))
    began = time.monotonic()
    if kind in SHAPES:
        run = boltz.train(SHAPES[kind](train.shape[1], train), train, held_out=valid)
        model, notes, epochs = run.model, list(run.notes), len(run.history)
    else:
        estimator = ESTIMATORS[kind]()
        estimator.set_params(random_state=0).fit(train)
        model, notes, epochs = estimator.machine_, [], None
    seconds = time.monotonic() - began
    return {"seconds": seconds, "epochs": epochs, "notes": notes, **measured(model, test)}


def drawn(kind: str, units: int, rows: int, number: int) -> tuple[Line, Line]:
    """Shape and settings of a machine, by number."""
    rng = np.random.default_rng([number, KINDS.index(kind), units])
    hidden = int(rng.choice([20, 50, 100]))
    batch = int(rng.choice([10, 20, 50, 100]))
    updates = float(np.exp(rng.uniform(np.log(1000), np.log(5000))))
    settings: Line = {
        "batch_size": batch,
        "epochs": max(1, round(updates * batch / rows)),
        "l2": float(rng.choice([0, 1e-4, 1e-3, 1e-2])),
        "seed": number,
    }
    if kind in ("rbm", "dbm"):
        settings |= {"learning_rate": float(np.exp(rng.uniform(np.log(0.003), np.log(0.3)))), "snapshots": 0}
        settings |= {"rule": str(rng.choice(["cd", "pcd", "pcd"])), "k": int(rng.choice([1, 1, 5]))}
        settings |= {"center": bool(rng.random() < 0.5)}
    else:
        settings |= {"learning_rate": float(np.exp(rng.uniform(np.log(3e-4), np.log(1e-2))))}
    if kind == "dbm":
        settings |= {"pretrain": "bottom", "pretrain_epochs": settings["epochs"], "mean_field_sweeps": 5}
        settings |= {"pretrain_learning_rate": settings["learning_rate"]}
        settings["learning_rate"] *= 0.1
    return {"hidden": hidden}, settings


def built(kind: str, units: int, shape: Line, x: Any, seed: int) -> Any:
    """The machine before training."""
    hidden = shape["hidden"]
    if kind == "rbm":
        return boltz.rbm(units, hidden, x=x, seed=seed)
    if kind == "dbm":
        return boltz.dbm([units, hidden, hidden // 2], x=x, seed=seed)
    if kind == "sbn":
        return boltz.sbn([units, hidden, hidden // 2], x=x, seed=seed)
    return boltz.vae([units, hidden], latent=max(hidden // 5, 4), x=x, seed=seed)


def random(name: str, kind: str, number: int) -> Line:
    """One random setting."""
    train, test = rows_of(name, "train"), rows_of(name, "test")
    shape, settings = drawn(kind, train.shape[1], len(train), number)
    began = time.monotonic()
    try:
        machine = built(kind, train.shape[1], shape, train, number)
        run = boltz.train(machine, train, **settings_of(machine.plan, settings).as_dict())  # without presets
        found = measured(run.model, test)
    except NumericalError:
        found = {"value": None, "trusted": False}
    return {"shape": shape, "settings": settings, "seconds": time.monotonic() - began, **found}


def lines(out: Path) -> list[Line]:
    """What is there already."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def missing(out: Path, wanted: Iterator[tuple[str, str, int]]) -> Iterator[tuple[str, str, int]]:
    """Those (set, kind, number) that have no line yet."""
    there = {(line["set"], line["kind"], line["number"]) for line in lines(out)}
    return (each for each in wanted if each not in there)


def add(out: Path, key: tuple[str, str, int], line: Line) -> None:
    """One line more."""
    named = dict(zip(("set", "kind", "number"), key, strict=True)) | line
    with out.open("a") as stream:
        stream.write(json.dumps(named) + "\n")
    print(json.dumps(named), flush=True)


def table(random_lines: list[Line], default_lines: list[Line]) -> None:
    """A line a default: independent units, the default, the best random setting, and the share of its gain."""
    print(f"{'set':<12}{'kind':<16}{'independent':>12}{'default':>10}{'best':>10}{'of':>4}{'share':>8}{'minutes':>9}")
    for line in default_lines:
        kind = SAME.get(line["kind"], line["kind"])
        others = [x for x in random_lines if (x["set"], x["kind"]) == (line["set"], kind) and x["value"] is not None]
        known = [x["value"] for x in others if x["trusted"]]
        alone = boltz.independent_units(rows_of(line["set"], "train"), rows_of(line["set"], "test")).value
        best = max(known, default=float("nan"))
        share = (line["value"] - alone) / (best - alone)
        mark = "" if line["trusted"] else " log Z not trusted"
        print(
            f"{line['set']:<12}{line['kind']:<16}{alone:>12.2f}{line['value']:>10.2f}{best:>10.2f}{len(known):>4}"
            f"{share:>8.0%}{line['seconds'] / 60:>9.1f}{mark}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["random", "defaults", "table"])
    parser.add_argument("--random", type=Path, default=RESULTS / "random.jsonl")
    parser.add_argument("--defaults", type=Path, default=RESULTS / "defaults.jsonl")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--kinds", help="of machines and, for `defaults`, of estimators")
    parser.add_argument("--settings", type=int, default=SETTINGS)
    options = parser.parse_args()
    sets = options.sets.split(",")
    if options.what == "table":
        table(lines(options.random), lines(options.defaults))
    elif options.what == "random":
        kinds = options.kinds.split(",") if options.kinds else KINDS
        wanted = ((name, kind, number) for number in range(options.settings) for kind in kinds for name in sets)
        for key in missing(options.random, wanted):
            add(options.random, key, random(*key))
    else:
        kinds = options.kinds.split(",") if options.kinds else (*KINDS, *ESTIMATORS)
        for key in missing(options.defaults, ((name, kind, 0) for kind in kinds for name in sets)):
            add(options.defaults, key, default(*key[:2]))


if __name__ == "__main__":
    main()
