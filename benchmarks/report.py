"""What a run of the benchmark prints, in markdown: the machine, its limits, and the table."""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding
from threadpoolctl import threadpool_info

from boltz.kernels.cpu.products import block_for
from boltz.kernels.cpu.vectors import LANES

SWITCHES = ("OPENBLAS_", "MKL_", "OMP_", "GOMP_", "KMP_", "ONEDNN_", "ATEN_", "XLA_", "JAX_", "NPROC")
Line = dict[str, Any]


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")]
    blas = {
        f"{x['internal_api']} {x['version']}, kernels for {x.get('architecture', 'any')}"
        for x in threadpool_info()
        if x["user_api"] == "blas"
    }
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "python": platform.python_version(),
        "blas": sorted(blas),
        "kernels": f"tables of {block_for(np.empty((128, 256), np.float32))} units, vectors of {LANES} float32, "
        f"compiled for {binding.get_host_cpu_name()}",
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(SWITCHES)},
    }


def grid(head: list[str], lines: list[list[str]]) -> str:
    """A markdown table, its columns aligned."""
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (head, rule, *lines)
    )


def header(found: dict[str, Any], versions: dict[str, str]) -> str:
    """The machine and the versions in a few lines."""
    lines = (
        f"{found['cpu']}, {found['cores']} cores, load {' '.join(str(x) for x in found['load'])}",
        "; ".join(found["blas"]) + " (numpy, scipy)",
        "boltz: " + found["kernels"],
        " ".join(f"{name}={value}" for name, value in found["environment"].items()),
        ", ".join(f"{name} {version}" for name, version in versions.items()) + f", Python {found['python']}",
    )
    return "\n".join(f"- {line}" for line in lines if line)


def _bounds(found: list[dict[str, Any]]) -> str:
    """Limits of the machine by number of threads."""
    names = list(found[0]["gflops"])
    head = ["threads", *(f"{name} {found[0]['square']}² GFLOP/s" for name in names)]
    head += [f"{place} {name} GB/s" for place in ("memory", "L2") for name in found[0]["memory"]]
    lines = [
        [str(x["threads"]), *(f"{x['gflops'][name]:,.0f}" for name in names)]
        + [f"{rate:,.1f}" for place in ("memory", "l2") for rate in x[place].values()]
        for x in found
    ]
    return grid(head, lines)


def number(value: float) -> str:
    """Three decimals below 100, none above."""
    return f"{value:,.3f}" if value < 100 else f"{value:,.0f}"


def _cell(found: Line | None, name: str) -> str:
    if found is None:
        return ""
    ratio, share = found["ratio"], f"{found['fraction']['median']:.2f}"
    if name == "boltz":
        return f"{number(found['median'])}; {share}"
    return f"{number(found['median'])}; {share}; **{ratio['median']:.2f}** ({ratio['min']:.2f}-{ratio['max']:.2f})"


def table(lines: list[Line], names: list[str]) -> str:
    """A line for each work, a table for each number of threads."""
    text = []
    for threads in sorted({line["threads"] for line in lines}):
        head = [f"{threads} thread{'s' * (threads > 1)}", "unit", "dense products alone", *names]
        found = []
        for line in lines:
            if line["threads"] == threads:
                limit = line["limit"]
                best = (
                    f"{number(limit['median'])} ({limit['library']}, {limit['gflops'][limit['library']]:,.0f} GFLOP/s)"
                )
                cells = [_cell(line["contenders"].get(name), name) for name in names]
                found.append([line["title"], line["unit"], best, *cells])
        text += [grid(head, found), ""]
    return "\n".join(text)


def against(lines: list[Line], earlier: list[Line]) -> list[Line]:
    """For each line that an earlier run had too, how many times as long each contender took then, from medians."""
    before = {(line["row"], line["threads"]): line["contenders"] for line in earlier}
    return [
        {
            "row": line["row"],
            "title": line["title"],
            "threads": line["threads"],
            "ratios": {
                name: statistics.median(then[name]["seconds"]) / statistics.median(now["seconds"])
                for name, now in line["contenders"].items()
                if name in then
            },
        }
        for line in lines
        if (then := before.get((line["row"], line["threads"]))) is not None
    ]


def change(results: dict[str, Any]) -> str:
    """How fast all are beside an earlier run."""
    found, names = results["against"], list(results["versions"])
    head = ["line", "threads", *names]
    cells = [
        [line["title"], str(line["threads"]), *(f"{x:.2f}" if (x := line["ratios"].get(n)) else "" for n in names)]
        for line in found["lines"]
    ]
    told = (
        f"Time of the run in {found['file']} ({found['cpu']}) over that of this one, above 1 this one is faster; what",
        "peers of one version show is the machine.",
    )
    return "\n".join(("", grid(head, cells), "", *told))


def page(results: dict[str, Any]) -> str:
    """All of it."""
    return "\n".join(
        (
            header(results["machine"], results["versions"]),
            "",
            _bounds(results["limits"]),
            "",
            table(results["rows"], list(results["versions"])),
            "A cell holds the rate; the share of the dense products alone (above 1: less than they take); and for a",
            "peer its time over that of boltz, median of the rounds (least-most), above 1 boltz is faster.",
            "Annealing is timed at two lengths, whose difference tells what a temperature costs beyond the start.",
            *([change(results)] if "against" in results else []),
        )
    )
