"""Record what trainings reach by their length, for the sentences of boltz train --minutes: boltz/training/curves.toml.

Example: python3 scripts/record_curves.py rbm 5 20 80

Each number is the epochs of the longest stage. A curve of the same machine, data and settings is replaced. It must be
recorded anew where the defaults of a kind of machine change; until then boltz says nothing of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tomli_w

import boltz
from boltz.cli.machines import MACHINES
from boltz.cli.options import chosen
from boltz.training import curves
from boltz.training.pacing import scaled

BETAS = "adaptive:4000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=list(MACHINES))
    parser.add_argument("epochs", type=int, nargs="+")
    parser.add_argument("--data", default="mnist-mini")
    asked = parser.parse_args()
    rows, tests = boltz.load_data(asked.data), boltz.load_data(asked.data, "test")
    machine = MACHINES[asked.kind]
    values = chosen({}, asked.kind, {"patience": 0, "validation": 0.0})
    settings = machine.settings_from(values)
    model = machine.build(rows.x.shape[1], values, rows, 0)
    points = []
    for epochs in sorted(asked.epochs):
        run = boltz.train(model, rows, **scaled(settings, asked.kind, epochs).as_dict())
        found = boltz.evaluate(run.model, tests, binarize="fixed", betas=BETAS).log_likelihood
        points.append([epochs, round(found.value, 2)])
        print(epochs, found.value, found.standard_error, flush=True)
    curve = {
        "kind": asked.kind,
        "architecture": model.plan.architecture,
        "data": asked.data,
        "rows": len(rows.x),
        "fingerprint": rows.fingerprint,
        "mark": curves.mark(model, settings),
        "command": f"python3 scripts/record_curves.py {asked.kind} {' '.join(map(str, sorted(asked.epochs)))}",
        "points": points,
    }
    others = [each for each in curves._curves() if (each["mark"], each["data"]) != (curve["mark"], asked.data)]
    Path(str(curves.FILE)).write_text(tomli_w.dumps({"curve": [*others, curve]}), encoding="utf-8")


if __name__ == "__main__":
    main()
