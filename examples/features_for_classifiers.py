"""Features of an RBM and of a DBM, learnt without labels, in scikit-learn pipelines: a table of three classifiers on
pixels and on features, from a thousand labelled digits.

Run: python examples/features_for_classifiers.py [--labels 1000] [--data mnist]     (about a minute on two cores)
Needs scikit-learn: python3 -m pip install '.[sklearn]'
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

import boltz
from boltz.sklearn import BernoulliRBM, DBMTransformer

CLASSIFIERS = {
    "logistic regression": GridSearchCV(LogisticRegression(max_iter=100), {"C": [0.3, 3]}, cv=3),
    "nearest neighbours": KNeighborsClassifier(3),
    "support vectors": SVC(C=10),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist-mini", help="mnist-mini or mnist")
    parser.add_argument("--labels", type=int, default=1000, help="how many rows have a label")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--units", type=int, default=300, help="in each hidden layer")
    parser.add_argument("--limit", type=int, default=None, help="use the first rows only")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    digits = boltz.load_data(options.data, limit=options.limit)
    unseen = boltz.load_data(options.data, split="test", limit=options.limit)
    x, x_unseen = (data.x / np.float32(255) for data in (digits, unseen))
    labelled = np.random.default_rng(0).permutation(len(x))[: options.labels]

    # what learns without labels learns from all images, once; frozen, it takes its place in every pipeline
    wide, epochs = options.units, options.epochs
    rbm = BernoulliRBM(wide, n_iter=epochs, batch_size=100, random_state=0)
    dbm = DBMTransformer((wide, wide), layer="all", pretrain_epochs=epochs, epochs=epochs, random_state=0)
    inputs: dict[str, Any] = {
        "pixels": FunctionTransformer(),
        "RBM": FrozenEstimator(rbm.fit(x)),
        "DBM": FrozenEstimator(dbm.fit(x)),
    }
    print(f"% of {len(x_unseen)} test digits wrong, {len(labelled)} labels of {len(x)} digits")
    print("".ljust(20), *(name.rjust(8) for name in inputs))
    for name, classifier in CLASSIFIERS.items():
        wrong = []
        for features in inputs.values():
            pipeline = make_pipeline(features, classifier).fit(x[labelled], digits.labels[labelled])
            wrong.append(100 * (1 - pipeline.score(x_unseen, unseen.labels)))
        print(name.ljust(20), *(f"{share:8.1f}" for share in wrong), flush=True)


if __name__ == "__main__":
    main()
