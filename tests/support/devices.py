"""Whether there is a CUDA device to test on, for the tests that are marked gpu."""

from __future__ import annotations

import pytest


def missing() -> str | None:
    """What there is not, None where a device can be used."""
    try:
        import cupy
    except ImportError:
        return "cupy is not installed"
    try:
        return None if cupy.cuda.runtime.getDeviceCount() else "no CUDA device"
    except cupy.cuda.runtime.CUDARuntimeError:
        return "no CUDA device"


ON_DEVICE = [pytest.mark.gpu, pytest.mark.skipif(missing() is not None, reason=str(missing()))]
