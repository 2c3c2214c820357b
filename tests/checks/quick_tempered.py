"""Quick checks of what tempered samples say of themselves: autocorrelation times, and doubts with what to do."""

from __future__ import annotations

import pickle

import numpy as np
from checks.chains import two_modes

import boltz


def check_times() -> None:
    """States of two modes stay for several rounds, here 5; along the copies, which are independent, the time is 1.

    With few rounds the last doubt says what to do.
    """
    states = boltz.tempered_sample(two_modes(), 64, 200)
    assert set(states.times) == {"free energy", "leading principal component"}
    assert all(3 < time < 20 for time in states.times.values()), states.times
    few = boltz.tempered_sample(two_modes(), 64, 20)
    assert not few.trusted and few.doubts[-1].endswith(": give more rounds than 20"), few.doubts
    assert few.doubts[:-1] == few.ladder.doubts[:-1] and few.doubts[-1].startswith(few.ladder.doubts[-1])
    again = pickle.loads(pickle.dumps(states))
    assert again.times == states.times and np.array_equal(again["v"], states["v"])
