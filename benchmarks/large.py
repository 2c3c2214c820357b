"""Train on rows in a mapped file beside the same rows in memory, in turn, and print speed and peak anonymous memory.

Two processes, one for each way, take turns of so many steps on one thread; the ratio is formed within a round. The file
is made anew and deleted at the end. Anonymous memory is what a process has itself, without pages of files; it is
sampled, and known on Linux only. Both processes must end with the same parameters, bit for bit.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import boltz
from boltz.data.from_arrays import as_data
from boltz.rng import Key
from boltz.training.loop import Events, Loop
from boltz.training.stages import settings_of, stages
from boltz.training.state import TrainState

WAYS = ("memory", "mapped")
CHUNK = 2**26
STATUS = Path("/proc/self/status")


class Enough(Exception):  # noqa: N818 - it ends the loop of a worker
    """All rounds are done."""


def make(path: Path, rows: int, units: int) -> None:
    """A .npy file of grey rows."""
    x = np.lib.format.open_memmap(path, "w+", np.uint8, (rows, units))
    generator, step = np.random.default_rng(0), max(1, CHUNK // units)
    for start in range(0, rows, step):
        x[start : start + step] = generator.integers(0, 256, x[start : start + step].shape, np.uint8)
    x.flush()


def anonymous() -> float:
    """MiB of anonymous memory of this process, NaN where the system does not say."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), float("nan"))


def sample(peak: list[float], over: threading.Event) -> None:
    """Keep the peak of anonymous memory."""
    while not over.wait(0.02):
        peak[0] = max(peak[0], anonymous())


def work(way: str, path: Path, options: argparse.Namespace) -> None:
    """The worker: a line for the start, one of seconds for every turn it is given, one of memory and parameters."""
    boltz.threads(1)
    model = boltz.rbm(options.units, options.hidden)
    before, over = anonymous(), threading.Event()
    peak = [before]
    threading.Thread(target=sample, args=(peak, over), daemon=True).start()
    began = time.perf_counter()
    data = as_data(np.load(path, mmap_mode="r" if way == "mapped" else None), "x", model.layers[0])
    print(time.perf_counter() - began, flush=True)
    epochs = (options.rounds + 1) * options.steps * options.batch // options.rows + 1  # the last turn ends before them
    settings = settings_of(model.plan, {"batch_size": options.batch, "epochs": epochs})
    state = TrainState(model, [])
    loop = Loop(data, None, stages(model.plan, settings), state, Key.from_seed(0))
    clock = [0.0]

    def turn() -> None:
        if state.step % options.steps == 0:
            print(time.perf_counter() - clock[0], flush=True)
            if sys.stdin.readline() != "go\n":
                raise Enough
            clock[0] = time.perf_counter()

    sys.stdin.readline()
    clock[0] = time.perf_counter()
    loop.events = Events(update=turn)
    try:
        loop.run()
    except Enough:
        over.set()
        print(before, peak[0], hashlib.sha256(model.arena.tobytes()).hexdigest(), flush=True)


def compare(path: Path, options: argparse.Namespace) -> int:
    """Deal turns to the two workers and print what they took."""
    command = [sys.executable, __file__, *sys.argv[1:], "--file", str(path), "--worker"]
    workers = {
        way: subprocess.Popen([*command, way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for way in WAYS
    }
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for way, worker in workers.items():
        print(f"{way:8s} checked and fingerprinted in {float(_line(worker)):.1f} s", flush=True)
    for number in range(options.rounds + 1):
        for way in WAYS if number % 2 else reversed(WAYS):
            _say(workers[way], "go")
            times[way].append(float(_line(workers[way])))
    ends = {}
    for way, worker in workers.items():
        _say(worker, "stop")
        before, peak, digest = _line(worker).split()
        ends[way] = digest
        taken = statistics.median(times[way][1:]) / options.steps
        print(
            f"{way:8s} {1e3 * taken:.3f} ms a step, {options.batch / taken:,.0f} rows a second; "
            f"peak anonymous memory {float(peak):,.0f} MiB, {float(before):,.0f} MiB before the rows"
        )
        worker.wait()
    ratios = sorted(a / b for a, b in zip(times["memory"][1:], times["mapped"][1:], strict=True))
    print(
        f"speed of mapped rows over rows in memory: {statistics.median(ratios):.3f} ({ratios[0]:.3f}-{ratios[-1]:.3f})"
    )
    if len(set(ends.values())) > 1:
        print("the two ways ended with different parameters")
        return 1
    return 0


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def _say(worker: subprocess.Popen[str], word: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(word + "\n")
    worker.stdin.flush()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the file, a byte a unit")
    parser.add_argument("--units", type=int, default=784, help="units a row")
    parser.add_argument("--hidden", type=int, default=500, help="hidden units of the RBM")
    parser.add_argument("--batch", type=int, default=100, help="rows of a step")
    parser.add_argument("--steps", type=int, default=500, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each way that count; the first does not")
    parser.add_argument("--folder", type=Path, help="where the file is made, by default the temp folder")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.rows, options.units, options.hidden, options.batch, options.steps, options.rounds) < 1:
        parser.error("all numbers must be at least 1")
    if options.worker:
        work(options.worker, options.file, options)
        return 0
    try:
        place = tempfile.TemporaryDirectory(dir=options.folder)
    except OSError as problem:
        parser.error(f"--folder must name a folder that can be written, got '{options.folder}' ({problem.strerror})")
    with place as folder:
        size, free = options.rows * options.units, shutil.disk_usage(folder).free
        if size > free:
            parser.error(f"the file takes {size / 2**30:.1f} GiB, but {folder} has {free / 2**30:.1f} GiB free")
        path = Path(folder) / "rows.npy"
        make(path, options.rows, options.units)
        print(
            f"{options.rows:,} rows of {options.units} bytes, {size / 1e9:.2f} GB, RBM {options.units}-{options.hidden}"
        )
        return compare(path, options)


if __name__ == "__main__":
    sys.exit(main())
