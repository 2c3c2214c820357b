"""What a run of the benchmark prints besides its times: the machine, and the table."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

SWITCHES = ("OPENBLAS_", "MKL_", "OMP_", "GOMP_", "KMP_", "ONEDNN_", "ATEN_")
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
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(SWITCHES)},
    }


def header(found: dict[str, Any], versions: dict[str, str]) -> str:
    """The machine and the versions in a few lines."""
    return "\n".join(
        (
            f"{found['cpu']}, {found['cores']} cores, load {' '.join(str(x) for x in found['load'])}",
            "; ".join(found["blas"]) + " (numpy, scipy)",
            " ".join(f"{name}={value}" for name, value in found["environment"].items()),
            ", ".join(f"{name} {version}" for name, version in versions.items()) + f", Python {found['python']}",
        )
    )


def _cell(found: Line | None, name: str) -> str:
    if found is None:
        return "-"
    rate = f"{found['median']:,.3f}" if found["median"] < 100 else f"{found['median']:,.0f}"
    ratio = found["ratio"]
    return rate if name == "boltz" else f"{rate}   {ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"


def table(lines: list[Line], names: list[str]) -> str:
    """A line for each work; beside a peer's figure its time over that of boltz: median of the rounds (least-most)."""
    text = []
    for threads in sorted({line["threads"] for line in lines}):
        text += ["", f"{threads} thread{'s' * (threads > 1)}".ljust(48) + "".join(name.rjust(27) for name in names)]
        for line in lines:
            if line["threads"] == threads:
                cells = [_cell(line["contenders"].get(name), name).rjust(27) for name in names]
                text.append(f"{line['title']}, {line['unit']}".ljust(48) + "".join(cells))
    text += ["", "before and in brackets: time of the peer over that of boltz; above 1 boltz is faster"]
    return "\n".join(text)
