"""训练一轮再评估要多久：d2lcore 的 ``fit``，对 d2l 自己的训练函数。

两边的网络、批量大小、学习率、优化器都一样，都在 CPU 上，都从各自的数据装载器取数据。
d2l 的动态绘图换成空操作：要比的是训练，不是画图（算上画图它只会更慢）。
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.data_speed import BATCH_SIZE, Item, d2l_loaders
from d2lcore.data import fashion_mnist_batches
from d2lcore.training import fit


def softmax() -> nn.Module:
    """softmax 回归。"""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def mlp() -> nn.Module:
    """一个隐藏层、256 个单元的多层感知机。"""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet() -> nn.Module:
    """用 sigmoid 的 LeNet。"""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip


# 名字、网络、学习率、至少快几倍
NETS: tuple[tuple[str, Callable[[], nn.Module], float, float], ...] = (
    ("softmax", softmax, 0.1, 18.0),
    ("MLP", mlp, 0.1, 7.0),
    ("LeNet", lenet, 0.9, 2.0),
)


class NoAnimator:
    """顶替 d2l 的动态绘图。"""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def add(self, *args: Any) -> None:
        """什么也不画。"""


def items(d2l: Any, workers: list[int]) -> list[Item]:
    """各种网络各一项。"""
    train, test = fashion_mnist_batches(BATCH_SIZE, device="cpu")
    loaders = {n: d2l_loaders(d2l, n) for n in workers} if d2l is not None else {}
    made = []
    for name, make, lr, target in NETS:
        theirs: dict[int, Callable[[], object]] = {}
        for n, (train_iter, test_iter) in loaders.items():
            theirs[n] = _d2l_epoch(d2l, make(), lr, train_iter, test_iter)
        ours = _our_epoch(make(), lr, train, test)
        made.append(Item(f"{name} 一轮加评估", len(train.data), target, ours, theirs))
    return made


def _our_epoch(net: nn.Module, lr: float, train: Any, test: Any) -> Callable[[], object]:
    return lambda: fit(net, train, test, epochs=1, lr=lr, device="cpu", log=False)


def _d2l_epoch(d2l: Any, net: nn.Module, lr: float, train: Any, test: Any) -> Callable[[], object]:
    """d2l 教材里训练这种网络所用的函数，跑一轮。"""
    if any(isinstance(layer, nn.Conv2d) for layer in net.modules()):
        return lambda: _train_ch6(d2l, net, lr, train, test)
    trainer = torch.optim.SGD(net.parameters(), lr=lr)
    loss = nn.CrossEntropyLoss(reduction="none")

    def epoch() -> None:
        d2l.train_epoch_ch3(net, train, loss, trainer)
        d2l.evaluate_accuracy(net, test)

    return epoch


def _train_ch6(d2l: Any, net: nn.Module, lr: float, train: Any, test: Any) -> None:
    original = d2l.Animator
    d2l.Animator = NoAnimator
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            d2l.train_ch6(net, train, test, 1, lr, torch.device("cpu"))
    finally:
        d2l.Animator = original
