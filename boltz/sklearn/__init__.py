"""Estimators for scikit-learn: machines as transformers with the interface, and the checks, of that library."""

try:
    from sklearn.utils.validation import validate_data  # noqa: F401 - scikit-learn itself: imports are absolute
except ImportError:
    raise ImportError(
        "boltz.sklearn needs scikit-learn 1.6 or newer: in the folder of boltz, python3 -m pip install '.[sklearn]'."
    ) from None

from boltz.sklearn.adversarial import AAEClassifier, AAEClusterer, AAETransformer
from boltz.sklearn.classifiers import DBMClassifier, DBNClassifier
from boltz.sklearn.rbm import BernoulliRBM
from boltz.sklearn.transformers import DBMTransformer, DBNTransformer, RBMTransformer, VAETransformer

__all__ = [
    "AAEClassifier",
    "AAEClusterer",
    "AAETransformer",
    "BernoulliRBM",
    "DBMClassifier",
    "DBMTransformer",
    "DBNClassifier",
    "DBNTransformer",
    "RBMTransformer",
    "VAETransformer",
]
