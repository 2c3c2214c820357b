import numpy as np
import pytest
import boltz
from test_first import data
from test_second import close
x = data(60, 12)

def nets(kind):
    if kind == "vae": return boltz.vae([12, 8], latent=3, x=x)
    if kind == "deep": return boltz.vae([12, [8], [6]], latent=[4, 2], x=x)
    if kind == "sbn": return boltz.sbn([12, 6, 5], x=x)
    if kind == "wide": return boltz.sbn([12, 6, 5], widths=[7], x=x, activation="softplus")
    if kind == "mixed": return boltz.helmholtz([12, 6, 3], ["bernoulli", "bernoulli", "gaussian"], x=x)
    if kind == "gauss": return boltz.vae([12, 8], latent=3, x=x, visible="gaussian", activation="relu")
    return boltz.dbn([12, 7, 5, 6], x=x)

T = [("vae", {"objective": o, "samples": 4}) for o in ("vae", "stl", "iwae", "dreg", "ciwae", "reinforce", "rws")]
T += [("deep", {"objective": o, "samples": 2, "groups": 2}) for o in ("miwae", "piwae")]
T += [("deep", {"objective": "iwae", "samples": 3, "free_bits": 0.1, "warmup_epochs": 2.0})]
T += [(k, {"objective": o, "samples": 3}) for k in ("sbn", "wide") for o in ("vimco", "nvil", "reinforce", "wake-sleep", "rws")]
T += [("mixed", {"objective": "vimco", "samples": 3}), ("mixed", {"objective": "nvil"}), ("gauss", {"objective": "iwae", "samples": 3})]
T += [("dbn", {"rule": r, "epochs": 2, "pretrain_epochs": 1, "k": 2, "chains": 20}) for r in ("pcd", "cd")]

@pytest.mark.parametrize("kind,kw", T, ids=str)
def test_train(cupy, kind, kw):
    m = nets(kind)
    kw = {"epochs": 2, "batch_size": 25, "seed": 3, **kw}
    a = boltz.train(m, x, held_out=x[:20], **kw)
    b = boltz.train(m.to("cuda"), x, held_out=x[:20], **kw)
    print(kw, abs(a.model.arena - b.model.arena.get()).max(), abs(a.model.arena-m.arena).max())
    np.testing.assert_allclose(a.model.arena, b.model.arena.get(), atol=2e-4)

E = {
 "sample": lambda m: boltz.sample(m, 20),
 "ll": lambda m: boltz.log_likelihood(m, x[:10], samples=30),
 "ll0": lambda m: boltz.log_likelihood(m, x[:10]),
 "bounds": lambda m: boltz.importance_bounds(m, x[:10], (1, 10))[1],
 "pv": lambda m: boltz.posterior_variances(m, x),
 "post": lambda m: boltz.posterior_ais(m, x[:5], 3, 10),
 "sand": lambda m: boltz.posterior_sandwich(m, 5, 3, 10).upper,
}
@pytest.mark.parametrize("name", E)
@pytest.mark.parametrize("kind", ["vae", "deep", "sbn", "wide", "dbn"])
def test_estimates(cupy, kind, name):
    m = nets(kind)
    m = type(m)(m.structure, m.arena.astype(np.float64) * 2)
    close(E[name](m), E[name](m.to("cuda")), 1e-3, 1e-3)

@pytest.mark.parametrize("kind", ["vae", "sbn", "dbn"])
def test_diag(cupy, kind):
    from boltz.estimators.diagnosis import diagnose
    m = nets(kind)
    a, b = diagnose(m, x, sweeps=20), diagnose(m.to("cuda"), x, sweeps=20)
    for f, g in zip(a.findings, b.findings):
        assert f.name == g.name
        np.testing.assert_allclose(f.value, g.value, rtol=1e-3)
