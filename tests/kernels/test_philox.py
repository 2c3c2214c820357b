"""Catches random bits other than the published ones of philox4x32-10, and a unit that reads another word or block."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from checks.cuda_parity import ANSWERS

from boltz.kernels import cpu, reference

VECTORS = [[int(word, 16) for word in line.split()] for line in ANSWERS.split("\n") if line]
BACKENDS = pytest.mark.parametrize("backend", [reference, cpu], ids=["reference", "cpu"])


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in plain integers, round by round (Salmon et al. 2011, section 3.3)."""
    x, (k0, k1), low = list(counter), key, 0xFFFFFFFF
    for _ in range(10):
        a, b = x[0] * 0xD2511F53, x[2] * 0xCD9E8D57
        x = [(b >> 32) ^ x[1] ^ k0, b & low, (a >> 32) ^ x[3] ^ k1, a & low]
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    return x


def bits(backend: object, stream: tuple[int, int, int], first_row: int, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, np.uint32)
    backend.philox(stream, first_row, out)  # type: ignore[attr-defined]
    return out


@pytest.mark.parametrize("vector", VECTORS, ids=["zeros", "ones", "pi"])
def test_published_answers(vector: list[int]) -> None:
    counter, key, answer = vector[:4], vector[4:6], vector[6:]
    assert philox(counter, key) == answer
    assert reference.philox_block(np.array(counter, np.uint64), (key[0], key[1])).tolist() == answer


@BACKENDS
def test_published_answer_of_the_zero_counter_reaches_units_0_16_32_48(backend: object) -> None:
    assert bits(backend, (0, 0, 0), 0, (1, 49))[0, ::16].tolist() == VECTORS[0][6:]


STREAMS = [
    ((0xA4093822, 0x299F31D0, 0x0370734413198A2E), 0x85A308D3),  # the counter words of the third published vector
    ((0xFFFFFFFF, 0xFFFFFFFF, 2**64 - 1), 2**32 - 2),
    ((1, 2, 3), 0),
    ((1, 2, 2**32), 5),
]


@BACKENDS
@pytest.mark.parametrize(("stream", "first_row"), STREAMS)
def test_every_unit_reads_its_word(backend: object, stream: tuple[int, int, int], first_row: int) -> None:
    """Unit u of a chain: word (u // 16) % 4 of block 16 (u // 64) + u % 16, under (block, chain, step low, high)."""
    found = bits(backend, stream, first_row, (3, 200))
    for row, unit in np.ndindex(found.shape):
        chain = (first_row + row) % 2**32
        counter = [16 * (unit // 64) + unit % 16, chain, stream[2] % 2**32, stream[2] >> 32]
        assert found[row, unit] == philox(counter, list(stream[:2]))[unit // 16 % 4]


@BACKENDS
def test_bits_depend_neither_on_the_block_split_nor_on_the_layer_width(backend: object) -> None:
    whole = bits(backend, (7, 8, 9), 40, (30, 333))
    for cuts in ([0, 30], [0, 1, 2, 30], [0, 17, 30]):
        parts = [bits(backend, (7, 8, 9), 40 + a, (b - a, 333)) for a, b in itertools.pairwise(cuts)]
        assert (np.concatenate(parts) == whole).all()
    for width in (1, 15, 16, 17, 63, 64, 65, 128, 332):
        assert (bits(backend, (7, 8, 9), 40, (30, width)) == whole[:, :width]).all()


@BACKENDS
def test_keys_steps_chains_and_units_never_share_bits(backend: object) -> None:
    """A shared block would repeat 32-bit words; 5 x 4,000 words hold a chance pair with probability 0.05 at any key.

    The keys are fixed and hold none. Catches a key, a half of the step, the chain or the unit that is not used.
    """
    streams = [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1), (1, 1, 2**32)]
    words = np.concatenate([bits(backend, stream, 0, (20, 200)).reshape(-1) for stream in streams])
    assert len(np.unique(words)) == len(words)


@BACKENDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_unit_fires_if_its_upper_thirty_bits_are_below_the_probability(backend: object, dtype: type) -> None:
    """p = 1 always fires, p = 0 never; and the threshold is exact to one part in 2^30."""
    upper = bits(backend, (3, 4, 5), 6, (4, 100)) >> 2
    state = np.empty(upper.shape, dtype)

    def fires(probability: np.ndarray) -> np.ndarray:
        backend.bernoulli_from_mean(probability.astype(dtype), (3, 4, 5), 6, state)  # type: ignore[attr-defined]
        return state.copy()

    assert (fires(np.zeros(upper.shape)) == 0).all() and (fires(np.ones(upper.shape)) == 1).all()
    half = fires(np.full(upper.shape, 0.5))
    assert (half == (upper < 2**29)).all() and 0 < half.mean() < 1
    if dtype is np.float64:
        assert (fires(upper / 2**30) == 0).all() and (fires((upper + 1) / 2**30) == 1).all()
