"""The FRAMES task (arXiv:2604.19806): predict the displacement of every atom between two consecutive frames."""

from __future__ import annotations

from torch import Tensor, nn

from frames.training.auxiliary.base import Features, VectorHead


class DisplacementTask(nn.Module):
    """mean ‖Δr̂ − Δr‖ / σ(element), with Δr̂ from the embeddings of both frames through the shared backbone.

    σ is the root-mean-square displacement of an element over the pairs of the training set, so that light and heavy
    atoms weigh alike whatever the time step.
    """

    def __init__(self, scalar_width: int, vector_width: int, sigma: Tensor) -> None:
        super().__init__()
        self.head = VectorHead(scalar_width, vector_width)
        self.sigma: Tensor
        self.register_buffer("sigma", sigma)

    def forward(self, first: Features, second: Features, displacements: Tensor, species: Tensor) -> Tensor:
        """Scalar loss. displacements [N,3] Å, species [N] int64."""
        target = displacements / self.sigma.index_select(0, species).unsqueeze(1)
        error = self.head(first, second) - target
        return (error.pow(2).sum(1) + 1e-12).sqrt().mean()


def displacement_scale(displacements: Tensor, species: Tensor, kinds: int) -> Tensor:
    """σ [kinds]: root mean square of ‖Δr‖ per species, Å; the overall value for species that do not occur."""
    square = displacements.pow(2).sum(1)
    total = square.new_zeros(kinds).index_add(0, species, square)
    count = square.new_zeros(kinds).index_add(0, species, square.new_ones(len(square)))
    overall = square.mean().clamp_min(1e-12)
    return (total + (count == 0) * overall).div(count.clamp_min(1)).clamp_min(1e-12).sqrt()
