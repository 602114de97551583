"""Which optimizer trains which backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from frames.config import TrainingSection
from frames.training.soap import Soap

LEARNING_RATE = {"cartesian": 3e-3, "equiformer": 5e-4}
OPTIMIZER = {"cartesian": "soap", "equiformer": "adamw"}


def make_optimizer(
    training: TrainingSection, backbone: str, parameters: Sequence[nn.Parameter], rate: float
) -> torch.optim.Optimizer:
    """SOAP or AdamW, by the configuration or else by the backbone: that of Equiformer is the published one."""
    if (training.optimizer or OPTIMIZER[backbone]) == "soap":
        return Soap(parameters, rate, weight_decay=training.weight_decay)
    # fused: one kernel for all parameters, where the plain loop takes longer than a small gradient
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=training.weight_decay, amsgrad=True, fused=True)
