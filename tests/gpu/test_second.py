import numpy as np
import pytest
import boltz
from test_first import data

def machine(sizes=(12, 7, 5)):
    m = boltz.dbm(list(sizes), x=data(50, sizes[0]))
    n = sum(a*b for a,b in zip(sizes, sizes[1:]))
    m.arena[:n] *= 60
    return m

def pair(f):
    m = machine()
    a = f(m); b = f(m.to("cuda"))
    return a, b

def close(a, b, rtol=1e-4, atol=1e-4):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for k in a: close(a[k], b[k], rtol, atol)
    elif hasattr(a, "value"):
        for n in ("value","standard_error","ess"):
            np.testing.assert_allclose(getattr(a,n), getattr(b,n), rtol=rtol, atol=atol)
        if a.per_row is not None: close(a.per_row, b.per_row, rtol, atol)
    else:
        assert not type(b).__module__.startswith("cupy")
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)

x = data(40, 12)
CASES = {
 "ais": lambda m: boltz.ais(m, 50, 100, resample=0.9),
 "adaptive": lambda m: boltz.ais(m, 50, "adaptive:100"),
 "rev": lambda m: boltz.reverse_ais(m, chains=50, betas=50),
 "exact": lambda m: boltz.exact_log_z(m),
 "ll": lambda m: boltz.log_likelihood(m, x),
 "lls": lambda m: boltz.log_likelihood(m, x, samples=20),
 "bounds": lambda m: boltz.importance_bounds(m, x, (1, 10))[1],
 "var": lambda m: __import__("boltz.estimators.variational").estimators.variational.variational_bound(m, x, 0.0),
 "post": lambda m: boltz.posterior_ais(m, x, 3, 20),
 "sand": lambda m: boltz.posterior_sandwich(m, 10, 3, 20).upper,
 "raise": lambda m: boltz.raise_likelihood(m, x, 3, 20),
 "tt": lambda m: boltz.tempered_transitions(m, 20, 2, 10)[0],
 "ex": lambda m: boltz.exchange_log_z(m, copies=4, rounds=20).estimate,
 "ts": lambda m: boltz.tempered_sample(m, 20, 20),
 "au": lambda m: boltz.posterior_variances(m, x),
 "en": lambda m: m.energy({n: v for n, v in boltz.sample(m, 5, 2).items()}),
 "fe": lambda m: m.free_energy({n: v for n, v in boltz.sample(m, 5, 2).items() if n != "h1"}),
}
@pytest.mark.parametrize("name", CASES)
def test_case(cupy, name):
    a, b = pair(CASES[name])
    close(a, b)

def test_diag(cupy):
    from boltz.estimators.diagnosis import diagnose
    a, b = pair(lambda m: diagnose(m, x, sweeps=20))
    for f, g in zip(a.findings, b.findings):
        assert f.name == g.name
        np.testing.assert_allclose(f.value, g.value, rtol=1e-3)
