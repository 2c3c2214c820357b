"""`diagnose`: what is wrong with a trained machine, judged on the data and the particles of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from boltz import checks
from boltz.data import Data
from boltz.data.dataset import known_in_full, only, parted
from boltz.diagnostics.diagnose import LEAST_SWEEPS, NEED_ROWS, diagnose_chains
from boltz.diagnostics.diagnose import diagnose as judged
from boltz.diagnostics.findings import Diagnosis, Finding, Verdict
from boltz.diagnostics.layers import LayerGain, layers_of, untold
from boltz.diagnostics.log_z import halved, overlap
from boltz.diagnostics.views import ViewUse, view_uses
from boltz.errors import InputError
from boltz.estimators.two_sided import TwoSided, from_both_sides
from boltz.evaluation.label_names import was_taught
from boltz.evaluation.learnt import learnt
from boltz.evaluation.log_z import Wanted
from boltz.evaluation.matched_codes import with_codes
from boltz.evaluation.per_unit import visible_of
from boltz.evaluation.reading import loaded
from boltz.evaluation.rows import rows_given, visible_rows
from boltz.evaluation.trained import Trained, trained
from boltz.models.files import Model
from boltz.presets import UNJUDGED
from boltz.progress import Report, heard, steps
from boltz.rng import Key
from boltz.storage import run_folder
from boltz.training.overfitting import ADVICE
from boltz.training.overfitting import ROWS as GAP_ROWS
from boltz.training.overfitting import gap as gap_of
from boltz.units.states import own_lengths

SWEEPS, ROWS, LEAST_ROWS = 1000, 1000, 2
NO_LOG_Z = "What hearing other views is worth is not told, since log Z is not known: ask for it (--log-z)."


def diagnose(
    model: Any,
    data: Any = None,
    split: str | None = None,
    *,
    sweeps: int | None = None,
    log_z: bool = False,
    error: float = 0.25,
    budget: float = 600.0,
    limit: int | None = None,
    seed: int = 0,
    progress: Report | None = None,
) -> Diagnosis:
    """What is wrong with a trained machine: whether it learnt, whether its chains mix, dead units, and others.

    model is a machine, a run, or the path of a run or model file. data are rows (rows, units), what boltz.load_data
    returns, a name or path, or None for those the run learnt from, of which the first 1,000 are taken unless limit says
    otherwise; a machine with an RBM that names no data is judged by what needs none, and about["left_out"] names the
    rest. 100 chains run for so many Gibbs sweeps (1,000), half of them from the persistent chains of the run, or
    from data, half from independent units; directed machines have none. log_z: log Z is measured from both sides as
    well, to a half-width of error nats or within budget seconds, and judged. progress as in boltz.evaluate. Raises
    InputError, FileError, NumericalError.
    """
    told, found = heard(progress), trained(model)
    checks.flag(log_z, "log_z")
    wanted = Wanted(checks.number(error, "error", 1e-9), checks.number(budget, "budget", 0.0))
    asked = Asked(checked_sweeps(found, sweeps, "sweeps"), wanted if log_z else None, seed)
    if log_z and found.model.undirected is None:
        raise InputError("log_z must be False for a directed machine, whose log Z is 0.")
    if data is None and split is None and limit is None and has_no_rows(found):
        return diagnosed_alone(found, asked, told)
    few = limit if limit is not None or data is not None else own_rows(found, split)
    return diagnosed(found, rows_given(found, data, split, own_split(found, data), few), asked, told)


@dataclass(frozen=True)
class Asked:
    """Sweeps of the chains, what is wanted of log Z, None where it is not measured, and the seed; raises InputError."""

    sweeps: int
    wanted: Wanted | None
    seed: int

    def __post_init__(self) -> None:
        checks.integer(self.seed, "seed", 0, 2**63 - 1)


def checked_sweeps(found: Trained, sweeps: int | None, option: str) -> int:
    """The sweeps that were asked for, or the default; raises InputError where there are no chains."""
    if found.model.undirected is None and sweeps is not None:
        raise InputError(f"{option} are of Gibbs chains, but {found.place} holds a directed machine, which has none.")
    return checks.integer(SWEEPS if sweeps is None else sweeps, "sweeps", LEAST_SWEEPS, 10**7)


def has_no_rows(found: Trained) -> bool:
    """Whether a machine with an RBM names no rows that it could be judged on, nor lies in a run that may."""
    path = found.path
    beside = path is not None and path.is_file() and (path.parent / run_folder.SETTINGS).is_file()
    return found.model.undirected is not None and found.run.learnt.name is None and not beside


def diagnosed_alone(found: Trained, asked: Asked, progress: Report) -> Diagnosis:
    """The diagnosis of a machine with an RBM by what needs no rows."""
    _refuse_documents(found)
    particles = particles_of(found, progress)
    progress(f"running chains for {asked.sweeps:,} sweeps", 0, 0)
    told = diagnose_chains(found.model, particles, asked.sweeps, asked.seed, found.run.settings or None)
    if asked.wanted is not None:
        both = _measured_log_z(found.model, asked.wanted, asked.seed, progress)
        told = _with_log_z(told, found.model, both, asked.seed)
    about: dict[str, Any] = {} if found.path is None else {"path": str(found.path)}
    about |= {"data": None, "split": None, "rows": 0, "binarize": None, "seed": asked.seed}
    deep = ["inactive units"] if found.model.directed is not None else []
    return replace(told, about={**about, "left_out": [*NEED_ROWS, "learnt", *deep]})


def own_split(found: Trained, data: Any) -> str:
    """The split to take where none is named: that of the run's training, for its own data, else train."""
    load = found.run.learnt.load
    return (load.get("split") if data is None else None) or "train"


def own_rows(found: Trained, split: str | None) -> int:
    """How many rows to take of the run's own data: as many as it learnt from, but at most 1,000."""
    load = found.run.learnt.load
    limit = load.get("limit") if split in (None, load.get("split", "train")) else None
    return min(ROWS, limit) if isinstance(limit, int) else ROWS


def diagnosed(found: Trained, given: tuple[Data, str | None], asked: Asked, progress: Report) -> Diagnosis:
    """The diagnosis of a machine on rows and their split."""
    _refuse_documents(found)
    data, split = given
    model, settings = found.model, found.run.settings
    if len(data.x) < LEAST_ROWS:
        raise InputError(f"The data must have at least 2 rows, whose spread is the measure, got {len(data.x)}.")
    x, how = visible_rows(data, found.run.setting("binarize"), asked.seed, model)
    particles = particles_of(found, progress)
    if model.undirected is not None:
        progress(f"running chains for {asked.sweeps:,} sweeps", 0, 0)
    told = judged(model, x, particles, asked.sweeps, asked.seed, settings or None)
    beyond = None if model.kind in UNJUDGED else learnt(model, x, asked.seed)
    told = told if beyond is None else told.extended(beyond)
    layers = layers_of(model, x, asked.seed, steps(progress, "what each layer adds"))
    told = told.extended(*map(LayerGain.finding, layers), layer_gains=[each.as_dict() for each in layers])
    lacking = [why] if (why := untold(model, x)) else []
    told = told.extended(*overfitting(found, asked.seed))
    told = with_codes(told, model, x, asked.seed, was_taught(found.run))
    both = None if asked.wanted is None else _measured_log_z(model, asked.wanted, asked.seed, progress)
    if views := view_uses(model, x, None if both is None else both.estimate, asked.seed):
        told = told.extended(*map(ViewUse.finding, views), views=[each.as_dict() for each in views])
        lacking += [NO_LOG_Z] if views[0].gain is None else []
    told = told.extended(untold=lacking) if lacking else told
    told = told if both is None else _with_log_z(told, model, both, asked.seed)
    about: dict[str, Any] = {} if found.path is None else {"path": str(found.path)}
    about |= {"data": data.name, "split": split, "rows": len(x), "binarize": how, "units": visible_of(model).kind}
    about |= {"seed": asked.seed}
    return replace(told, about=about)


def _refuse_documents(found: Trained) -> None:
    """Raise InputError for documents with lengths of their own, which chains keep."""
    if any(own_lengths(layer.type) for layer in found.model.visible_layers):
        raise InputError(
            f"{found.place} is of documents of any length, which are not diagnosed, since chains keep their lengths: "
            "give boltz.diagnose, in Python, model.of_length(n) and rows of n words each."
        )


def overfitting(found: Trained, seed: int) -> tuple[Finding, ...]:
    """How much better a machine is on its training rows than on the held-out rows of its run, where these are known.

    Nothing of an adversarial autoencoder, of whose likelihood a few samples say little.
    """
    if found.kind in UNJUDGED:
        return ()
    seen = found.seen if found.seen is not None else _both(found, seed)
    gap = None if seen is None else gap_of(found.model, *seen, Key.from_seed(seed).derive("gap"))
    if gap is None:
        return ()
    sentence = f"{gap.sentence}{': it has learnt rows by heart' if gap.large else ''}."
    verdict: Verdict = "fine" if not gap.large else "bad" if gap.unseen <= 0 else "attention"
    advice = f"{ADVICE[0].lower()}{ADVICE[1:]}" if gap.large else ""
    return (Finding("overfitting", verdict, gap.size, sentence, advice),)


def _both(found: Trained, seed: int) -> tuple[Any, Any] | None:
    """Some training rows and held-out rows of a run folder as the machine sees them, None where it cannot load both."""
    run, share = found.run, found.run.setting("validation", float) or 0.0
    if not run.data.load or not (run.held_out.load or 0 < share < 1):
        return None
    rows = loaded(run.data.load, "run.toml")
    if run.held_out.load:
        both = rows, loaded(run.held_out.load, "run.toml")
    else:
        both = parted(rows, share, run.setting("seed", int) or 0)
    whole = [each for each in map(known_in_full, both) if each is not None]
    if len(whole) < len(both):
        return None
    few = [only(each, np.arange(len(each.x))[:: -(-len(each.x) // GAP_ROWS)]) for each in whole]
    one, other = (visible_rows(each, run.setting("binarize"), seed, found.model)[0] for each in few)
    return one, other


def _measured_log_z(model: Model, wanted: Wanted, seed: int, progress: Report) -> TwoSided:
    """log Z as it is wanted."""
    machine = model.undirected
    assert machine is not None
    return from_both_sides(machine, wanted.error, wanted.budget, seed, progress=steps(progress, "log Z"))


def _with_log_z(found: Diagnosis, model: Model, both: TwoSided, seed: int) -> Diagnosis:
    """A diagnosis with findings on log Z."""
    machine = model.undirected
    assert machine is not None
    measures = {"log_z": {**both.estimate.as_dict(), "wanted": both.wanted, "reached": both.reached}}
    return found.extended(*overlap(both, halved(machine, both, seed)), **measures)


def particles_of(found: Trained, progress: Report) -> Mapping[str, Any] | None:
    """The persistent chains in the checkpoint of a run, None where it has none that are of the whole machine."""
    machine, path = found.model.undirected, found.path
    names = (run_folder.CHECKPOINT, run_folder.PREVIOUS)
    if machine is None or path is None or not path.is_dir() or not any((path / name).exists() for name in names):
        return None
    tensors, _, notes = run_folder.load_checkpoint(path)
    for note in notes:
        progress(note, 0, 0)
    chains = {n: tensors[f"rule/chain/{n}"] for n in machine.units if f"rule/chain/{n}" in tensors}
    fits = chains.keys() == machine.units.keys() and all(
        x.ndim == 2 and x.shape[1] == machine.units[n] for n, x in chains.items()
    )
    return chains if fits else None
