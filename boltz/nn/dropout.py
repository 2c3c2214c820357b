"""Units left out at random while training (Srivastava et al. 2014, section 4).

What stays is scaled up, so that nothing is to be scaled afterwards. A factor is a function of seed, step, layer, row
and unit. The tape says whether units are left out, so that all that is measured hears all of them.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import numbers
from boltz.nn.arena import Part
from boltz.rng import Stream

Array = NDArray[Any]


def draw(keep: Array, stream: Stream, part: Part, out: Array) -> None:
    """out (rows, units) := 0, or 1 / keep with probability keep, drawn for the rows of a part."""
    kernels.bernoulli_rows(keep, stream, numbers(part.rows.start, part.rows.stop, out), out)
    out /= keep


def heard(name: str, part: Part, value: Array) -> Array:
    """What the layer above hears of values (rows, units): themselves, or a buffer of the tape without some of them."""
    left_out = part.tape.dropout
    if left_out is None:
        return value
    factors, out = part.get(f"{name}/factors", value.shape[1]), part.get(f"{name}/heard", value.shape[1])
    out[...] = 1 - left_out.share
    draw(out, left_out.key.derive("dropout", name).stream(left_out.step), part, factors)
    out[...] = value * factors
    return out


def unheard(name: str, part: Part, delta: Array) -> None:
    """Turn the derivative by what was heard into that by the values, in place."""
    if part.tape.dropout is not None:
        delta *= part.get(f"{name}/factors", delta.shape[1])


def inside(name: str, part: Part, units: int) -> Array:
    """What the layer above heard, as `heard` left it on the tape beside the values."""
    return part.get(f"{name}/{'value' if part.tape.dropout is None else 'heard'}", units)
