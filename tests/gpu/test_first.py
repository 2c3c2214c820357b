import numpy as np
import boltz

def data(rows=60, units=20):
    g = np.random.default_rng(0)
    return (g.random((rows, units)) < 0.3).astype(np.float32)

def test_sample(cupy):
    x = data()
    m = boltz.rbm(20, 9, x=x)
    m.arena[:180] *= 60
    d = m.to("cuda")
    a = boltz.sample(m, 50, 7, start={"v": x[:50]})
    b = boltz.sample(d, 50, 7, start={"v": x[:50]})
    for n in a:
        np.testing.assert_array_equal(a[n], b[n])
    a, b = boltz.mean_field(m, x), boltz.mean_field(d, x)
    np.testing.assert_allclose(a["h1"], b["h1"], rtol=1e-6)
    a, b = boltz.ais(m, 100, 300), boltz.ais(d, 100, 300)
    print(a.value, b.value)
    np.testing.assert_allclose(a.log_weights, b.log_weights, rtol=1e-5)

def test_train(cupy):
    x = data(230)
    m = boltz.dbm([20, 12, 8], x=x)
    for kw in ({"rule":"pcd"}, {"rule":"cd","k":2}, {"rule":"pcd","sparsity_cost":0.1,"center":False, "max_norm": 0.5}, {"pretrain_epochs": 2, "optimizer": "adam"}):
        a = boltz.train(m, x, epochs=2, batch_size=50, chains=60, held_out=x[:30], **kw)
        b = boltz.train(m.to("cuda"), x, epochs=2, batch_size=50, chains=60, held_out=x[:30], **kw)
        print(kw, abs(a.model.arena - b.model.arena.get()).max())
        for r, s in zip(a.history, b.history):
            for k in r:
                if "second" not in k:
                    print(k, r[k], s[k])
