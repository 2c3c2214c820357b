"""The matrix products of the PyTorch loop in two forms: the documented one, and a faster one on some processors.

On CPUs torch.addmm calls MKL, which leaves AVX-512 unused on processors of other makers than its own. oneDNN, which
PyTorch also carries, uses it, but for float32 only an operator for internal use reaches it.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812

Tensor = torch.Tensor


class Products(Protocol):
    """Each returns where the result is: in out if the form can write there, else in a new tensor."""

    name: str

    def product(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """x @ weight."""

    def sigmoid(self, base: Tensor, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """sigmoid(base + x @ weight) with base (units,) or (rows, units)."""

    def scaled(self, base: Tensor, x: Tensor, weight: Tensor, scale: float, out: Tensor) -> Tensor:
        """sigmoid(base + scale x @ weight)."""

    def accumulate(self, weight: Tensor, x: Tensor, y: Tensor, rate: float) -> None:
        """weight += rate x^T y."""

    def dense(self, x: Tensor, weight: Tensor, bias: Tensor, tanh: bool) -> Tensor:
        """x @ weight^T + bias, through tanh or not, with gradients; weight is (outputs, inputs)."""


class Documented:
    """torch.addmm with an output buffer."""

    name = "PyTorch"

    def product(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        return torch.mm(x, weight, out=out)

    def sigmoid(self, base: Tensor, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        return torch.addmm(base, x, weight, out=out).sigmoid_()

    def scaled(self, base: Tensor, x: Tensor, weight: Tensor, scale: float, out: Tensor) -> Tensor:
        return torch.addmm(base, x, weight, alpha=scale, out=out).sigmoid_()

    def accumulate(self, weight: Tensor, x: Tensor, y: Tensor, rate: float) -> None:
        weight.addmm_(x.t(), y, alpha=rate)

    def dense(self, x: Tensor, weight: Tensor, bias: Tensor, tanh: bool) -> Tensor:
        value = F.linear(x, weight, bias)
        return value.tanh_() if tanh else value


class Internal:
    """oneDNN with the sigmoid fused in; raises AttributeError where PyTorch has no such operator."""

    name = "PyTorch oneDNN"

    def __init__(self) -> None:
        self.linear = torch.ops.mkldnn._linear_pointwise
        self.linear_plus = self.linear.binary

    def product(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        return self.linear(x, weight.t(), None, "none", [], "")

    def sigmoid(self, base: Tensor, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        if base.dim() == 1:
            return self.linear(x, weight.t(), base, "sigmoid", [], "")
        return self.linear_plus(x, base, weight.t(), None, "add").sigmoid_()

    def scaled(self, base: Tensor, x: Tensor, weight: Tensor, scale: float, out: Tensor) -> Tensor:
        return torch.add(base, self.product(x, weight, out), alpha=scale, out=out).sigmoid_()

    def accumulate(self, weight: Tensor, x: Tensor, y: Tensor, rate: float) -> None:
        weight.add_(self.linear(x.t(), y.t(), None, "none", [], ""), alpha=rate)

    def dense(self, x: Tensor, weight: Tensor, bias: Tensor, tanh: bool) -> Tensor:
        return InternalDense.apply(x, weight, bias, tanh)


class InternalDense(torch.autograd.Function):
    """A dense layer and its derivative in oneDNN products, the tanh fused in."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, tanh: bool) -> Tensor:
        value = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "tanh" if tanh else "none", [], "")
        ctx.save_for_backward(x, weight, value if tanh else None)
        return value

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight, value), linear = ctx.saved_tensors, torch.ops.mkldnn._linear_pointwise
        if value is not None:
            delta = torch.ops.aten.tanh_backward(delta, value)
        below = linear(delta, weight.t(), None, "none", [], "") if ctx.needs_input_grad[0] else None
        return below, linear(delta.t(), x.t(), None, "none", [], ""), delta.sum(0), None


def forms() -> list[Products]:
    """The forms that this PyTorch has."""
    found: list[Products] = [Documented()]
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        found.append(Internal())
    return found
