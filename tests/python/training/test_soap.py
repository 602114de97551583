"""The optimizer SOAP: a badly scaled problem is solved sooner than by Adam, and it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from frames.training.soap import Soap, _block_shape, _from_blocks, _to_blocks


def badly_scaled(rows: int = 24, condition: float = 100.0) -> tuple[list[nn.Parameter], Callable[[], Tensor]]:
    """‖A (W − W₀) B‖² with A and B of this condition number in directions that are no axes, and a vector beside."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=random)

    a, b = (
        torch.linalg.qr(draw(n, n))[0] * condition ** -torch.linspace(0, 1, n, dtype=torch.float64) for n in (rows, 16)
    )
    wanted, point = draw(rows, 16), draw(16)
    matrix, vector = nn.Parameter(torch.zeros(rows, 16).double()), nn.Parameter(torch.zeros(16).double())

    def loss() -> Tensor:
        return (a.T @ (matrix - wanted) @ b).square().mean() + (vector - point).square().mean()

    return [matrix, vector], loss


def minimise(optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], steps: int, rate: float) -> float:
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return loss().item()


def test_bad_scaling_in_any_direction_is_overcome() -> None:
    found = {}
    for name, make in (("soap", Soap), ("adam", torch.optim.Adam)):
        parameters, loss = badly_scaled()
        found[name] = min(minimise(make(parameters, lr=0.1), loss, 400, rate) for rate in (0.03, 0.1, 0.3))
    assert found["soap"] < 0.2 * found["adam"]


def test_it_goes_on_where_it_stopped() -> None:
    whole, loss = badly_scaled()
    optimizer = Soap(whole, 0.1, weight_decay=0.01)
    for _ in range(2):
        minimise(optimizer, loss, 13, 0.1)
    cut, loss = badly_scaled()
    first = Soap(cut, 0.1, weight_decay=0.01)
    minimise(first, loss, 13, 0.1)
    second = Soap(cut, 0.1, weight_decay=0.01)
    second.load_state_dict(first.state_dict())
    minimise(second, loss, 13, 0.1)
    assert all(torch.equal(a, b) for a, b in zip(whole, cut, strict=True))


def test_a_rotation_of_the_parameters_changes_nothing() -> None:
    """What Adam lacks: the path does not depend on the axes. (Up to what keeps empty directions in order.)"""
    turn = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))[0]
    apart = {}
    for name, make in (("soap", Soap), ("adam", torch.optim.Adam)):
        (plain, vector), loss = badly_scaled(16, 3.0)
        turned = nn.Parameter(torch.zeros(16, 16).double())
        optimizers = make([plain, vector], lr=0.01), make([turned], lr=0.01)
        for _ in range(30):
            optimizers[0].zero_grad()
            loss().backward()  # type: ignore[no-untyped-call]
            assert plain.grad is not None
            turned.grad = turn @ plain.grad
            for optimizer in optimizers:
                optimizer.step()
        apart[name] = float((turned - turn @ plain).detach().abs().max())
    assert apart["soap"] < 0.1 * apart["adam"]


@pytest.mark.parametrize("shape", [(64, 192), (3, 24, 64), (2, 128, 32), (3, 7)])
def test_blocks_are_put_back_in_place(shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    block = _block_shape(tensor)
    assert max(block) <= 64
    blocks = _to_blocks(tensor, block)
    rows, columns = block
    torch.testing.assert_close(blocks[0], tensor.reshape(-1, *shape[-2:])[0, :rows, :columns])
    assert torch.equal(_from_blocks(blocks, tensor), tensor)
