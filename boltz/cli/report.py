"""What `boltz train` leaves at the end of a run: pictures, the test log-likelihood, and a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boltz
from boltz import plotting, runs
from boltz.cli.common import say
from boltz.cli.measure import Annealing, estimate_log_z, verdict, visible_rows
from boltz.cli.progress import Progress
from boltz.cli.stored import image_of, table
from boltz.data import Data, load, splits
from boltz.errors import FileError

CHAINS, SWEEPS = 100, 200


def draw(run: boltz.Run) -> None:
    """Write samples.png, filters.png and curves.png into the folder of a run."""
    assert run.path is not None
    image = image_of(runs.read_settings(run.path))
    means = visible_means(run.model, _particles(run), SWEEPS, run.settings.seed)
    title = f"visible means of {len(means)} chains {SWEEPS} sweeps after training"
    plotting.save(plotting.sample_grid(means, image, title), run.path / "samples.png")
    first = run.model.params[run.model.graph.edges[0].key]
    plotting.save(plotting.filter_grid(first, image), run.path / "filters.png")
    plotting.save(plotting.learning_curves(run.history), run.path / "curves.png")


def visible_means(model: boltz.BoltzmannMachine, start: Mapping[str, Any], sweeps: int, seed: int) -> Any:
    """Means (chains, units) of the visible units after sweeps from a start."""
    chains = len(start[model.graph.visible])
    state = boltz.sample(model, chains, sweeps, seed, start)
    return model.unit_type(model.graph.visible).mean(model.field(model.graph.visible, state))


def _particles(run: boltz.Run) -> dict[str, Any]:
    """The fantasy particles of a run, or chains started from biases where the rule keeps none."""
    assert run.path is not None
    tensors = runs.load_checkpoint(run.path)[0]
    found = {layer: tensors.get(f"rule/chain/{layer}") for layer in run.model.graph.units}
    particles = {layer: x[:CHAINS] for layer, x in found.items() if x is not None}
    if len(particles) == len(found):
        return particles
    return dict(boltz.sample(run.model, CHAINS, 0, run.settings.seed))


def measured(run: boltz.Run, progress: Progress) -> dict[str, Any] | None:
    """log Z and the test log-likelihood as the run was asked to measure them; None where it was asked not to."""
    assert run.path is not None
    description = runs.read_settings(run.path)
    asked = table(description, "evaluation")
    if asked.get("wanted", True) is not True:
        return None
    annealing = Annealing(asked.get("chains", 100), asked.get("betas", "sm2008"), run.settings.seed)
    log_z = estimate_log_z(run.model, "auto", annealing, progress)
    found: dict[str, Any] = {"log_likelihood": None, "log_z": log_z.as_dict(), "methods": {"log_z": log_z.method}}
    data = _test_data(description)
    if data is None:
        return found
    x, how = visible_rows(data, run.settings.binarize, run.settings.seed, run.model)
    log_likelihood = boltz.log_likelihood(run.model, x, log_z, seed=run.settings.seed)
    found["log_likelihood"] = log_likelihood.as_dict()
    found["methods"]["log_likelihood"] = log_likelihood.method
    verdicts = {"rows": len(x), "data": data.name, "binarize": how, "certified": verdict(log_likelihood, log_z)}
    return found | verdicts


def _test_data(description: Mapping[str, Any]) -> Data | None:
    """The test rows of a run's data set; None for data in one piece."""
    place = table(description, "data", "load").get("name_or_path")
    if place is None:
        return None
    if not isinstance(place, str):
        raise FileError("run.toml does not say how to load the data.")
    return load(place, "test") if "test" in splits(place) else None


def show(run: boltz.Run, result: Mapping[str, Any]) -> None:
    """The result as a table and plain sentences on stderr."""
    test = result["test"]
    if test is not None:
        _show_table(test)
        if test["log_likelihood"] is None:
            say("The data have no test rows, so there is no test log-likelihood; boltz evaluate measures other rows.")
        else:
            say(f"{test['rows']:,} test rows of {test['data']}, binarize {test['binarize']}. {test['certified']}")
    say(f"The run is in {run.path}: see samples.png, filters.png and curves.png.")


def _show_table(test: Mapping[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("nats", "value", "error", "95 % interval", "bound", "effective"):
        shown.add_column(name, justify="left" if name in ("nats", "bound") else "right", no_wrap=True)
    for name, label in (("log_likelihood", "test log-likelihood"), ("log_z", "log Z")):
        entry = test[name]
        if entry is not None:
            chains = f"{_number(entry['ess'], 0)} of {entry['chains']}" if entry["chains"] else "-"
            interval = " to ".join(_number(x) for x in entry["interval"])
            kind = {"none": "no"}.get(entry["kind"], entry["kind"])
            shown.add_row(label, _number(entry["value"]), _number(entry["standard_error"], 3), interval, kind, chains)
    try:
        Console(stderr=True, width=max(100, Console(stderr=True).width)).print(shown)
    except OSError:
        say("")


def _number(value: Any, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
