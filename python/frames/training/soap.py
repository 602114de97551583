"""SOAP: Adam in the eigenbasis of Shampoo's preconditioners.

Vyas, Morwani, Zhao, Shapira, Brandfonbrener, Janson, Kakade, "SOAP: Improving and Stabilizing Shampoo using Adam",
ICLR 2025 (arXiv:2409.11321). A step costs a few small matrix products per matrix of parameters, and on these networks
it is worth several of Adam's (benchmarks/NOTES.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 64  # larger matrices are taken apart into blocks of at most so many rows and columns
EVERY = 10  # steps between two refinements of the eigenbases
EPSILON = 1e-8
RIDGE = 1e-5  # of the mean eigenvalue


class Soap(torch.optim.Optimizer):
    """SOAP for matrices, Adam (amsgrad) for everything else; decoupled weight decay.

    Parameters [..., rows, columns] are stacks of matrices. Blocks of one shape are stacked and treated together. The
    first step only measures: it starts the eigenbases, and changes no matrix.

    Args:
        betas: decay of the momentum, and of the second moments and preconditioners, of matrices.
        vector_betas: the same of everything else.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        betas: tuple[float, float] = (0.95, 0.95),
        vector_betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "vector_betas": vector_betas, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step with the gradients that the parameters have; a missing one counts as zero."""
        for group in self.param_groups:
            stacks: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            vectors = []
            for p in group["params"]:
                if p.requires_grad:
                    if p.dim() >= 2 and min(p.shape[-2:]) > 1:
                        stacks[_block_shape(p)].append(p)
                    else:
                        vectors.append(p)
            if group["weight_decay"]:
                trained = [*vectors, *(p for found in stacks.values() for p in found)]
                torch._foreach_mul_(trained, 1 - group["lr"] * group["weight_decay"])
            for shape, parameters in stacks.items():
                self._step_matrices(parameters, shape, group)
            if vectors:
                self._step_vectors(vectors, group)

    def _step_matrices(self, parameters: list[nn.Parameter], shape: tuple[int, int], group: dict[str, Any]) -> None:
        gradient = torch.cat([_to_blocks(_gradient(p), shape) for p in parameters])
        state = self.state[parameters[0]]  # of the whole stack
        left, right = gradient @ gradient.mT, gradient.mT @ gradient
        if not state:
            state.update(
                updates=0,
                momentum=torch.zeros_like(gradient),
                square=torch.zeros_like(gradient),
                left=left,
                right=right,
                left_basis=_eigenbasis(left),
                right_basis=_eigenbasis(right),
            )
            return
        state["updates"] += 1
        first, second = group["betas"]
        left_basis, right_basis = state["left_basis"], state["right_basis"]
        rotated = left_basis.mT @ gradient @ right_basis
        state["momentum"].lerp_(rotated, 1 - first)
        state["square"].lerp_(rotated.square(), 1 - second)
        size = (state["square"] / (1 - second ** state["updates"])).sqrt_().add_(EPSILON)
        change = left_basis @ (state["momentum"] / size) @ right_basis.mT
        rate = group["lr"] / (1 - first ** state["updates"])
        for p, part in zip(
            parameters, change.split([p.numel() // (shape[0] * shape[1]) for p in parameters]), strict=True
        ):
            p.sub_(_from_blocks(part, p), alpha=rate)
        state["left"].lerp_(left, 1 - second)
        state["right"].lerp_(right, 1 - second)
        if state["updates"] == 1 or state["updates"] % EVERY == 0:
            _refine(state)

    def _step_vectors(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        gradient = torch.cat([_gradient(p).reshape(-1) for p in parameters])
        state = self.state[parameters[0]]
        if not state:
            state.update(updates=0, **{key: torch.zeros_like(gradient) for key in ("momentum", "square", "largest")})
        state["updates"] += 1
        first, second = group["vector_betas"]
        state["momentum"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient.square(), 1 - second)
        torch.maximum(state["largest"], state["square"], out=state["largest"])
        size = (state["largest"] / (1 - second ** state["updates"])).sqrt_().add_(EPSILON)
        change = state["momentum"] / size
        rate = group["lr"] / (1 - first ** state["updates"])
        for p, part in zip(parameters, change.split([p.numel() for p in parameters]), strict=True):
            p.sub_(part.view_as(p), alpha=rate)


def _refine(state: dict[str, Any]) -> None:
    """One step of the power iteration towards the eigenbases, sorted; momentum and second moments follow."""
    momentum = state["left_basis"] @ state["momentum"] @ state["right_basis"].mT
    for side, dim in (("left", 1), ("right", 2)):
        basis = state[f"{side}_basis"]
        image = _definite(state[side]) @ basis
        order = (basis * image).sum(1).argsort(dim=1, descending=True)
        image = image.gather(2, order.unsqueeze(1).expand_as(image))
        state[f"{side}_basis"] = torch.linalg.qr(image)[0]
        places = order.unsqueeze(3 - dim).expand_as(state["square"])
        state["square"] = state["square"].gather(dim, places)
    state["momentum"] = state["left_basis"].mT @ momentum @ state["right_basis"]


def _eigenbasis(matrix: Tensor) -> Tensor:
    """[B,n,n] eigenvectors in columns, that of the largest eigenvalue first."""
    found: Tensor = torch.linalg.eigh(_definite(matrix))[1]
    return found.flip(2).contiguous()


def _definite(matrix: Tensor) -> Tensor:
    """A little more on the diagonal, differing from place to place.

    The first gradients have directions with nothing in them, where rounding alone would choose the axes: two processes
    would then train otherwise than one.
    """
    n = matrix.shape[1]
    ramp = torch.linspace(1, 2, n, dtype=matrix.dtype, device=matrix.device)
    return matrix + torch.diag_embed(RIDGE * matrix.diagonal(dim1=1, dim2=2).mean(1, keepdim=True) * ramp)


def _gradient(p: nn.Parameter) -> Tensor:
    return torch.zeros_like(p) if p.grad is None else p.grad


def _block_shape(p: Tensor) -> tuple[int, int]:
    """The largest blocks that divide the matrices evenly."""
    rows, columns = (max(d for d in range(1, BLOCK + 1) if size % d == 0) for size in p.shape[-2:])
    return rows, columns


def _to_blocks(tensor: Tensor, shape: tuple[int, int]) -> Tensor:
    """[..., R, C] → [B, rows, columns]."""
    rows, columns = shape
    parts = tensor.reshape(-1, tensor.shape[-2] // rows, rows, tensor.shape[-1] // columns, columns)
    return parts.transpose(2, 3).reshape(-1, rows, columns)


def _from_blocks(blocks: Tensor, like: Tensor) -> Tensor:
    """The way back to the shape of `like`."""
    rows, columns = blocks.shape[1:]
    parts = blocks.view(-1, like.shape[-2] // rows, like.shape[-1] // columns, rows, columns)
    return parts.transpose(2, 3).reshape(like.shape)
