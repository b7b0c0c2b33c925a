"""单周期的设定：与照 PyTorch 文档写出来的相同，坏参数说得清楚。"""

import pytest
import torch
from torch import nn

from d2lcore.data import Batches, ImageData
from d2lcore.optimizers import one_cycle_sgd
from d2lcore.training import fit


def make_batches() -> Batches:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 1, 4, 4), generator=generator, dtype=torch.uint8)
    return Batches(ImageData(images, torch.arange(40) % 2, ("甲", "乙"), "小例子"), 10)


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))


def test_fit_takes_the_same_steps_as_the_written_out_loop() -> None:
    batches, net, twin = make_batches(), make_net(), make_net()
    optimizer, scheduler = one_cycle_sgd(net, steps=8, lr=0.5, weight_decay=0.01)
    fit(net, batches, epochs=2, optimizer=optimizer, scheduler=scheduler, device="cpu", log=False)
    ours = torch.optim.SGD(
        twin.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(ours, max_lr=0.5, total_steps=8)
    for _ in range(2):
        for X, y in batches:
            ours.zero_grad()
            nn.functional.cross_entropy(twin(X), y).backward()
            ours.step()
            schedule.step()
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_rate_rises_then_falls() -> None:
    optimizer, scheduler = one_cycle_sgd(make_net(), steps=100, lr=0.2)
    rates, momenta = [], []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    top = rates.index(max(rates))
    assert rates[0] == pytest.approx(0.2 / 25)
    assert max(rates) == pytest.approx(0.2)
    assert top == 29
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 1e-5
    assert momenta.index(min(momenta)) == top
    assert (momenta[0], min(momenta), max(momenta)) == pytest.approx((0.95, 0.85, 0.95))


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_steps_must_be_positive(steps: int) -> None:
    with pytest.raises(ValueError, match="steps"):
        one_cycle_sgd(make_net(), steps)


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf")])
def test_learning_rate_must_be_positive(lr: float) -> None:
    with pytest.raises(ValueError, match="学习率"):
        one_cycle_sgd(make_net(), 10, lr)
