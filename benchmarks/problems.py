"""The rows of the table, and the problems they pose: trained machines, binarised digits, chains at their activity."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from contenders import LESSONS, Array, Lesson, Problem

import boltz

DATA = ("mnist-mini", "mnist")
ROWS, BETAS, FEW = 10_000, 14_500, 1000


@dataclass(frozen=True)
class Row:
    """A line of the table. A unit of work counts for amount (rows, sweeps); least units make a round."""

    name: str
    title: str
    kind: str
    unit: str
    chains: int = 100
    amount: float = 1.0
    least: int = 1
    settings: dict[str, Any] = field(default_factory=dict)

    def shown(self, seconds: float) -> float:
        """What is printed for seconds a unit: a rate, or for annealing the seconds themselves."""
        return seconds if self.kind == "ais" else self.amount / seconds


TABLE = {
    row.name: row
    for row in (
        Row("pcd", "RBM 784-500 PCD-1, batch 100", "pcd", "rows/s", amount=100),
        Row("pcd10", "RBM 784-500 PCD-1, batch 10", "pcd", "rows/s", chains=10, amount=10),
        Row("fit", f"BernoulliRBM(500).fit, batch 10, {FEW:,} rows", "fit", "rows/s", chains=10, amount=FEW),
        Row("cd25", "RBM 784-500 CD-25, batch 100", "cd", "rows/s", amount=100, settings={"k": 25}),
        Row("gibbs1000", "block Gibbs, 1,000 chains", "gibbs", "sweeps/s", chains=1000),
        Row("gibbs10000", "block Gibbs, 10,000 chains", "gibbs", "sweeps/s", chains=10_000, least=20),
        Row("ais", f"AIS, 100 chains, {BETAS:,} betas", "ais", "s"),
        Row("dbm", "DBM 784-500-1000, 10 mean-field + PCD", "dbm", "rows/s", amount=100),
        Row("vae", "VAE 784-200-200-[50], batch 100", "vae", "rows/s", amount=100),
        Row(
            "iwae", "IWAE 784-200-200-[50], 50 samples, batch 20", "iwae", "rows/s", amount=20, settings={"samples": 50}
        ),
        Row("iwae2", "IWAE, two layers, 5 samples, batch 100", "iwae2", "rows/s", amount=100, settings={"samples": 5}),
        Row("sbn", "SBN 784-200-200-200 VIMCO, 50, batch 24", "sbn", "rows/s", amount=24, settings={"samples": 50}),
    )
}


@dataclass(frozen=True)
class Source:
    """Where machines and data come from; a small source is made up on the spot."""

    data: str = "mnist-mini"
    weights: str | None = None
    small: bool = False
    say: Callable[[str], None] = print

    def rows(self) -> Array:
        """0/1 rows (rows, units) in float32: digits cut at half grey."""
        if self.small:
            return (np.random.default_rng(0).random((400, 20)) < 0.3).astype(np.float32)
        data = boltz.load_data(self.data, limit=ROWS)
        return (data.x * np.float32(1 / (data.levels or 1)) >= 0.5).astype(np.float32)

    def machine(self, kind: str, rows: Array) -> boltz.BoltzmannMachine:
        """The RBM 784-500 or the DBM 784-500-1000, trained briefly the first time and kept in the temp folder."""
        deep = kind == "dbm"
        if self.small:
            return boltz.dbm([rows.shape[1], 12, 8][: 3 if deep else 2], rows)
        if self.weights is not None and not deep:
            return self._given(rows)
        path = Path(tempfile.gettempdir()) / f"boltz-benchmark-{self.data}" / f"{'dbm' if deep else 'rbm'}.safetensors"
        if path.exists():
            return boltz.load(path)
        self.say(f"training a machine for the benchmark, kept as {path}")
        units = [rows.shape[1], 500, 1000][: 3 if deep else 2]
        path.parent.mkdir(parents=True, exist_ok=True)
        settings = boltz.Settings(epochs=3 if deep else 10).as_dict()  # a brief training, with nothing before it
        model = boltz.train(boltz.dbm(units, rows), rows, **settings).model
        model.save(path)
        return model

    def directed(self, kind: str, rows: Array) -> boltz.HelmholtzMachine:
        """The directed machine of a line; the belief net trained briefly, so that its units are as active as in use."""
        n = rows.shape[1]
        if kind == "sbn":
            machine = boltz.sbn([n, 20, 20] if self.small else [n, 200, 200, 200], (), rows)
            settings = boltz.DirectedSettings(objective="vimco", samples=2 if self.small else 5, epochs=1)
            return boltz.train(machine, rows, **settings.as_dict()).model
        if kind == "iwae2":
            units, latent = ([n, [9], [7]], [6, 5]) if self.small else ([n, [200, 200], [100, 100]], [100, 50])
            return boltz.vae(units, latent, rows)
        return boltz.vae([n, 12, 8] if self.small else [n, 200, 200], 5 if self.small else 50, rows)

    def _given(self, rows: Array) -> boltz.BoltzmannMachine:
        model = boltz.load(self.weights)
        if len(model.layers) != 2 or model.layers[0].units != rows.shape[1]:
            sizes = "-".join(str(layer.units) for layer in model.layers)
            raise boltz.InputError(f"--weights must hold an RBM with {rows.shape[1]} visible units, got {sizes}.")
        return model.astype(np.float32)

    def problem(self, row: Row, rows: Array) -> Problem | Lesson:
        """The problem of a line; chains start at data rows and have gone through a few sweeps."""
        if row.kind in LESSONS:
            machine = self.directed(row.kind, rows)
            return Lesson(machine, rows, LESSONS[row.kind], batch=int(row.amount), **row.settings)
        model = self.machine(row.kind, rows)
        chains = min(row.chains, 50) if self.small else row.chains
        state = boltz.sample(model, chains, 10, start={"v": rows[np.arange(chains) % len(rows)]})
        some = rows[:1000]
        means = {"v": some, **boltz.mean_field(model, some)}
        rates = {layer: np.clip(x.mean(axis=0, dtype=np.float64), 0.001, 0.999) for layer, x in means.items()}
        weights = tuple(np.array(model.params[edge.key]) for edge in model.graph.edges)
        biases = tuple(np.array(model.bias(layer)) for layer in model.graph.units)
        batch = {"batch": min(chains, 100)} | row.settings
        return Problem(weights, biases, rows[:FEW] if row.kind == "fit" else rows, state, rates, **batch)
