"""Standard errors of log Z at equal cost, counted in matrix products of chain states with the weights.

Plain annealed importance sampling (Salakhutdinov & Murray 2008: 100 chains, their 14,500 temperatures, a base-rate
model with the rates of the visible units only) makes two products a chain and a temperature. The others get as many:
the same from the rates of all layers, the same with fitted temperatures, and replica exchange, whose pilot runs, climb
and burn-in count. One JSON line a method and seed, then the mean of each method's standard errors over that of plain.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

import boltz
from boltz.sampling import ladder_fitting, temperatures

CHAINS, STEPS = 100, 14_500


def rounds_for(sweeps: int, rungs: int, pilot_rungs: int) -> int:
    """Rounds of replica exchange that leave the number of sweeps, with all that comes before them, at this many."""
    friction = temperatures.PILOT_CHAINS * max(temperatures.LEAST_PILOT, round(temperatures.PILOT_SHARE * 1000))
    pilot = ladder_fitting.PILOT_COPIES * pilot_rungs * (2 * ladder_fitting.PILOT_ROUNDS + ladder_fitting.PILOT_SWEEPS)
    bend = (
        ladder_fitting.COPIES
        * rungs
        * (ladder_fitting.BEND_ROUNDS + ladder_fitting.BEND_ROUNDS // 2 + ladder_fitting.PILOT_SWEEPS)
    )
    climb = ladder_fitting.COPIES * rungs * ladder_fitting.SWEEPS
    return int((sweeps - 2 * (friction + pilot) - bend - climb) / (ladder_fitting.COPIES * rungs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="run folder or model file of a trained Boltzmann machine")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    try:
        model = boltz.load(options.run)
    except boltz.InputError as problem:
        parser.error(str(problem))
    if not isinstance(model, boltz.BoltzmannMachine):
        parser.error(f"{options.run} must hold a Boltzmann machine, got a directed one")
    visible = {n: r if n == model.visible else np.full(len(r), 0.5) for n, r in model.rates.items()}
    rungs = ladder_fitting.fitted_ladder(model, (), None, 0).rungs
    rounds = rounds_for(CHAINS * STEPS, rungs, ladder_fitting.PILOT_RUNGS)
    methods: dict[str, Any] = {
        "plain AIS, sm2008, visible rates": lambda s: boltz.ais(model, CHAINS, "sm2008", s, visible),
        "AIS, sm2008, rates of all layers": lambda s: boltz.ais(model, CHAINS, "sm2008", s),
        "AIS, adaptive, rates of all layers": lambda s: boltz.ais(model, CHAINS, f"adaptive:{STEPS}", s),
        f"replica exchange, {rungs} rungs": lambda s: boltz.exchange_log_z(model, (), rounds=rounds, seed=s).estimate,
    }
    errors: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        for name, method in methods.items():
            began = time.monotonic()
            found = method(seed)
            errors.setdefault(name, []).append(found.standard_error)
            line = {"method": name, "seed": seed, "log_z": round(found.value, 3)}
            line |= {"error": round(found.standard_error, 4), "trusted": found.trusted}
            print(json.dumps(line | {"seconds": round(time.monotonic() - began, 1)}), flush=True)
    plain = np.mean(next(iter(errors.values())))
    for name, each in errors.items():
        error = float(np.mean(each))
        print(json.dumps({"method": name, "error": round(error, 4), "ratio": round(error / float(plain), 3)}))


if __name__ == "__main__":
    main()
