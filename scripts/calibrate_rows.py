"""Whether likelihoods of rows deserve their trust: strong machines with a known answer, and rows that stand for others.

`machines`: importance-weighted log-likelihoods of random DBMs and sigmoid belief nets, weights normal with standard
deviation 0.5 to 3; truth by enumeration. Half of the rows are drawn from the machine itself, half are coin flips. Of
the trusted ones it says how many 95 % intervals of estimation hold the truth, and the worst miss in standard errors.
`splits`: the joint interval of a mean over some rows, against the mean over the pool that the rows are from.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import norm

import boltz
from boltz.estimators.estimate import from_log_weights

DBMS = ([8, 6, 4], [10, 8, 6], [6, 5, 4, 3], [8, 7, 3])
NETS = ([8, 6], [10, 8, 6], [6, 5, 4], [8, 7, 3])
REACH = float(norm.ppf(0.975))


def deep(number: int, rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """A random DBM, and so many rows."""
    units = DBMS[number % len(DBMS)]
    scale = rng.uniform(0.5, 3)
    weights = [rng.normal(0, scale, shape) for shape in pairwise(units)]
    model = boltz.from_arrays(weights, [rng.normal(0, 0.5 * scale, n) for n in units])
    drawn = boltz.sample(model, half(count), 1, number, boltz.exact_samples(model, half(count), number))["v"]
    return model, with_coins(drawn, count, rng)


def belief(number: int, rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """A random sigmoid belief net, and rows: for half of the nets at most four, each with a q of its own in one mode.

    The recognition of the others is random, or trained on rows of their own for a while.
    """
    if number % 2:
        return one_mode(number, rng, count)
    model = boltz.sbn(NETS[number // 2 % len(NETS)], seed=number)
    scale = rng.uniform(0.5, 3)
    for key, values in model.params.items():
        values[...] = rng.normal(0, 0.3 if key.startswith("recognition") else scale, values.shape)
    objective = ("", "wake-sleep", "nvil", "nvil")[rng.integers(4)]
    if objective:
        rows = boltz.sample(model, 2000, seed=number)["v"]
        epochs = int(rng.integers(5, 40))
        settings = boltz.DirectedSettings(objective=objective, epochs=epochs, learning_rate=0.01, seed=number)
        model = boltz.train(model, rows, **settings.as_dict()).model
    drawn = boltz.sample(model, half(count), seed=number + 1)["v"]
    return model, with_coins(drawn, count, rng)


def one_mode(number: int, rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """A net with one hidden layer and at most four rows, whose recognition is the mean field of each row.

    It starts at a state drawn from the root of the posterior, and so stays in a mode that need not be the best.
    """
    units = NETS[number // 2 % len(NETS)][:2]
    model = boltz.sbn(units, seed=number)
    scale = rng.uniform(0.5, 3)
    for values in model.params.values():
        values[...] = rng.normal(0, scale, values.shape)
    drawn = boltz.sample(model, half(min(count, 4)), seed=number + 1)["v"]
    x = with_coins(drawn, min(count, 4), rng)
    states = ((np.arange(2 ** units[1])[:, None] >> np.arange(units[1])) & 1).astype(np.float64)
    p = {name: values.astype(np.float64) for name, values in model.params.items()}
    logits = states @ p["generative/v/0/weight"] + p["generative/v/0/bias"]
    prior = states @ p["prior/bias"]
    wanted = []
    for row in x:
        log_p = prior - np.logaddexp(0, np.where(row == 1, -logits, logits)).sum(axis=1)
        chosen = np.argmax(log_p / 2 + rng.gumbel(size=len(log_p)))
        wanted.append(settled(log_p, states, states[chosen]))
    seen = np.concatenate([x, np.ones((len(x), 1))], axis=1)  # the last column stands for the bias
    found = np.linalg.pinv(seen) @ np.array(wanted)
    model.params["recognition/h1/0/weight"][...] = found[:-1]
    model.params["recognition/h1/0/bias"][...] = found[-1]
    return model, x


def settled(log_p: Any, states: Any, start: Any) -> Any:
    """Logits (units,) of mean field for log p (states,), from a state (units,)."""
    mean = start.clip(0.01, 0.99)
    for _ in range(30):
        for unit in range(len(mean)):
            each = np.where(states == 1, mean, 1 - mean)
            others = np.prod(np.delete(each, unit, axis=1), axis=1)
            on = states[:, unit] == 1
            mean[unit] = 1 / (1 + np.exp(np.clip(others[~on] @ log_p[~on] - others[on] @ log_p[on], -9, 9)))
    return np.log(mean / (1 - mean))


def half(count: int) -> int:
    """Half of a number, upwards."""
    return (count + 1) // 2


def with_coins(drawn: Any, count: int, rng: np.random.Generator) -> Any:
    """Rows, and coin flips after them."""
    coins = rng.random((count - len(drawn), drawn.shape[1])) < 0.5
    return np.concatenate([drawn, coins.astype(np.float32)]).astype(np.float32)


def machines(kind: str, count: int, first: int) -> None:
    """One JSON line a machine, and one for all."""
    make = {"dbm": deep, "sbn": belief}[kind]
    lines = []
    for number in range(first, first + count):
        rng = np.random.default_rng(1000 + number)
        rows, samples = int(rng.choice([1, 10, 50, 200])), int(rng.choice([200, 500, 1000]))
        model, x = make(number, rng, rows)
        log_z = boltz.exact_log_z(model).value if kind == "dbm" else None
        truth = boltz.log_likelihood(model, x, log_z)
        assert truth.kind == "exact"
        began = time.monotonic()
        found = boltz.log_likelihood(model, x, log_z, samples, seed=number)
        line = {"number": number, "rows": rows, "samples": samples, "trusted": found.trusted}
        miss = (found.value - truth.value) / max(found.standard_error, 1e-9)
        nats = found.value - truth.value
        line |= {"miss": round(miss, 2), "nats": round(nats, 4), "error": round(found.standard_error, 5)}
        line |= {"doubts": list(found.doubts), "seconds": round(time.monotonic() - began, 2)}
        lines.append(line)
        print(json.dumps(line), flush=True)
    print(json.dumps({"kind": kind} | summary(lines)), flush=True)


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Trusted results, their coverage, and the worst of them, in errors and nats."""
    trusted = [line for line in lines if line["trusted"]]
    hits = [abs(line["miss"]) <= REACH for line in trusted]
    worst = max(trusted, key=lambda line: abs(line["miss"]), default={"miss": None, "nats": None})
    covered = round(float(np.mean(hits)), 4) if hits else None
    found = {"machines": len(lines), "trusted": len(trusted), "covered": covered}
    return found | {"worst miss": worst["miss"], "nats": worst["nats"]}


def splits(count: int, first: int) -> None:
    """How often joint intervals of 200 to 2,000 rows cover the mean over a pool of 20,000 rows of a known machine.

    Exact values, importance samples of a belief net, and an RBM whose log Z has an error.
    """
    rng = np.random.default_rng(first)
    rbm = boltz.from_arrays([rng.normal(0, 1, (12, 8))], [rng.normal(0, 1, n) for n in (12, 8)])
    net = boltz.sbn([12, 8, 4], seed=first)
    for key, values in net.params.items():
        values[...] = rng.normal(0, 0.1 if key.startswith("recognition") else 0.2, values.shape)
    pools = {
        "rbm": boltz.sample(rbm, 20_000, 1, first, boltz.exact_samples(rbm, 20_000, first))["v"].astype(np.float32),
        "sbn": boltz.sample(net, 20_000, seed=first)["v"],
    }
    hits: dict[str, list[bool]] = {"exact": [], "log Z with an error": [], "100 samples": []}
    alone: dict[str, list[bool]] = {name: [] for name in hits}
    log_z = boltz.exact_log_z(rbm).value
    truth = {name: boltz.log_likelihood(m, pools[name]).value for name, m in (("rbm", rbm), ("sbn", net))}
    for number in range(count):
        chosen = rng.choice(20_000, int(rng.choice([200, 500, 1000, 2000])), replace=False)
        noisy = from_log_weights(log_z + rng.normal(-0.125, 0.5, 100), 1, "made up")
        found = {
            "exact": (boltz.log_likelihood(rbm, pools["rbm"][chosen]), truth["rbm"]),
            "log Z with an error": (boltz.log_likelihood(rbm, pools["rbm"][chosen], noisy), truth["rbm"]),
            "100 samples": (boltz.log_likelihood(net, pools["sbn"][chosen], samples=100, seed=number), truth["sbn"]),
        }
        for name, (estimate, mean) in found.items():
            hits[name].append(estimate.interval[0] <= mean <= estimate.interval[1])
            alone[name].append(abs(estimate.value - mean) <= REACH * estimate.standard_error)
    for name in hits:
        line = {"how": name, "splits": count, "covered": round(float(np.mean(hits[name])), 4)}
        print(json.dumps(line | {"by estimation alone": round(float(np.mean(alone[name])), 4)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["dbm", "sbn", "splits"])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    if asked.what == "splits":
        splits(asked.count, asked.first)
    else:
        machines(asked.what, asked.count, asked.first)


if __name__ == "__main__":
    main()
