import json, sys
import pytest
from click.testing import CliRunner
def go(*args):
    from boltz.cli import main
    r = CliRunner().invoke(main, [str(a) for a in args])
    return r
def test_cli(cupy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    r = go("train", "rbm", "--layers", 5, "--limit", 200, "--epochs", 1, "--device", "cuda", "--out", "run", "--json", "--snapshots", 2, "--no-evaluate")
    assert r.exit_code == 0, r.output
    for a in (["logz"], ["logz", "--chains", 20, "--betas", 10], ["evaluate", "--limit", 20], ["sample", "--sweeps", 3], ["sample", "--sweeps", 3, "--out", "a.png"], ["diagnose", "--sweeps", 20], ["compare", "--limit", 20], ["evaluate", "--along", "--rounds", 20, "--limit", 20]):
        r = go(a[0], "run", *a[1:], "--device", "cuda:0")
        assert r.exit_code == 0, (a, r.output, r.exception)
    r = go("train", "--resume", "run", "--device", "cuda")
    assert r.exit_code == 0, r.output
def test_refused(cupy):
    r = go("logz", "x", "--device", "gpu"); print(r.output, r.exit_code)
    r = go("logz", "x", "--device", "cuda:4"); print(r.output, r.exit_code)
def test_refused2(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    r = go("logz", "x", "--device", "cuda"); print(r.output, r.exit_code)
