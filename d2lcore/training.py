"""训练与评估分类网络。

全书只有一个约定：**损失是一批样本的平均值**。于是学习率的含义不随批量大小而变，
打印的损失也总是"平均每个样本的损失"。
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from d2lcore.checks import format_measured
from d2lcore.devices import pick_device, synchronize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Batches = Iterable[tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
Net = Callable[[Tensor], Tensor]

# 每隔几批看一次损失是否还是有限的数：每批都看，GPU 就得每批停下来等 CPU 一次
CHECK_EVERY = 50


class Optimizer(Protocol):
    """有 ``zero_grad`` 与 ``step`` 的对象：``torch.optim`` 里的都是，课文里手写的也是。"""

    def zero_grad(self) -> None:
        """把梯度清零。"""

    def step(self) -> object:
        """按梯度更新一次参数。"""


class Scores(NamedTuple):
    """一次评估的结果：平均损失，分类精度（0 到 1）。"""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Epoch:
    """一轮训练的记录。训练的损失与精度是边训练边累计的平均，测试的是这一轮结束时量的。"""

    train_loss: float
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float | None
    seconds: float


@dataclass
class History:
    """逐轮的记录。``history[-1].test_accuracy`` 是最后一轮的测试精度。"""

    epochs: list[Epoch] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.epochs)

    def __getitem__(self, index: int) -> Epoch:
        return self.epochs[index]

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    @property
    def seconds(self) -> float:
        """各轮用时之和，秒；含取数据与评估的时间。"""
        return sum(epoch.seconds for epoch in self.epochs)

    def plot(self, title: str = "") -> "Axes":
        """画出训练损失、训练精度，以及（若有）测试精度随轮数的变化。"""
        from d2lcore.plotting import plot_curves

        curves = {
            "训练损失": [epoch.train_loss for epoch in self.epochs],
            "训练精度": [epoch.train_accuracy for epoch in self.epochs],
        }
        test = [epoch.test_accuracy for epoch in self.epochs if epoch.test_accuracy is not None]
        if test:
            curves["测试精度"] = test
        return plot_curves(curves, xlabel="轮数", title=title)


def evaluate(
    net: Net,
    batches: Batches,
    *,
    loss: Loss = nn.functional.cross_entropy,
    device: str | torch.device | None = None,
) -> Scores:
    """在一个数据集上量平均损失与分类精度；不改参数，量完恢复网络原来的模式。

    Args:
        net: 网络，或任何把 (批量大小, …) 变成 (批量大小, 类别数) 的函数。
        batches: 可反复遍历，每次给出特征与 int64 标签 (批量大小,)。
        loss: 一批样本的平均损失。
        device: 计算设备；缺省用网络参数所在的设备。

    Raises:
        ValueError: 没有数据，或网络输出、标签、损失的形状不合。
    """
    device = _device_of(net) if device is None else pick_device(device)
    total_loss = torch.zeros((), device=device)
    total_correct = torch.zeros((), device=device)
    count = 0
    with torch.no_grad(), _mode(net, training=False):
        for X, y in batches:
            X, y = X.to(device), y.to(device)
            y_hat = net(X)
            if count == 0:
                _check_shapes(y_hat, y)
            total_loss += _mean_loss(loss, y_hat, y) * len(y)
            total_correct += (y_hat.argmax(dim=1) == y).sum()
            count += len(y)
    if count == 0:
        raise ValueError("没有数据可评估：batches 一批也没有给出。")
    return Scores(total_loss.item() / count, total_correct.item() / count)


def fit(
    net: Net,
    train: Batches,
    test: Batches | None = None,
    *,
    epochs: int,
    lr: float = 0.1,
    optimizer: Optimizer | None = None,
    loss: Loss = nn.functional.cross_entropy,
    device: str | torch.device | None = None,
    log: bool = True,
) -> History:
    """用小批量梯度下降训练一个分类网络，每轮之后在测试集上评估。

    每一步只做四件事：算输出与损失、清零旧梯度、反向传播、更新参数。
    结束后网络恢复原来的训练/评估模式。

    Args:
        net: ``nn.Module``；或任何函数，这时必须给 ``optimizer``。
        train: 训练数据，可反复遍历，每次给出特征与 int64 标签 (批量大小,)。
        test: 测试数据；``None`` 表示不评估。
        epochs: 轮数，每轮把训练数据用一遍。
        lr: 学习率，用于缺省的 ``torch.optim.SGD``；给了 ``optimizer`` 时不用。
        optimizer: 优化器；缺省是小批量随机梯度下降。
        loss: 一批样本的**平均**损失；缺省是交叉熵，网络输出未规范化的得分即可。
        device: 计算设备；缺省自动选（有显卡就用）。
        log: 是否每轮打印一行。

    Returns:
        逐轮的记录。用时包括取数据与评估，不只是计算。

    Raises:
        ValueError: 参数、网络输出或标签不合要求。
        FloatingPointError: 损失变成 NaN 或无穷大，消息里有轮数与批次。
    """
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"轮数 epochs={epochs!r} 不合适：应是不小于 1 的整数。")
    if isinstance(net, nn.Module):
        device = pick_device(device)
        net.to(device)
    else:
        device = pick_device("cpu" if device is None else device)
    optimizer = optimizer if optimizer is not None else _default_optimizer(net, lr)
    history = History()
    for number in range(1, epochs + 1):
        synchronize(device)
        start = time.perf_counter()
        train_scores = _train_one_epoch(net, train, loss, optimizer, device, number)
        scores = evaluate(net, test, loss=loss, device=device) if test is not None else None
        synchronize(device)
        record = Epoch(
            train_loss=train_scores.loss,
            train_accuracy=train_scores.accuracy,
            test_loss=scores.loss if scores else None,
            test_accuracy=scores.accuracy if scores else None,
            seconds=time.perf_counter() - start,
        )
        history.epochs.append(record)
        if log:
            print(_describe(record, number, epochs))
    return history


def _train_one_epoch(
    net: Net,
    train: Batches,
    loss: Loss,
    optimizer: Optimizer,
    device: torch.device,
    number: int,
) -> Scores:
    """把训练数据用一遍，返回边训练边累计的平均损失与精度。"""
    losses: list[Tensor] = []
    sizes: list[int] = []
    total_correct = torch.zeros((), device=device)
    with _mode(net, training=True):
        for X, y in train:
            X, y = X.to(device), y.to(device)
            y_hat = net(X)
            if number == 1 and not losses:
                _check_shapes(y_hat, y)
            value = _mean_loss(loss, y_hat, y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.detach())
            sizes.append(len(y))
            total_correct += (y_hat.detach().argmax(dim=1) == y).sum()
            if len(losses) % CHECK_EVERY == 0:
                _check_finite(losses[-CHECK_EVERY:], len(losses) - CHECK_EVERY, number)
    if not losses:
        raise ValueError(
            "没有数据可训练：train 一批也没有给出。"
            "若它是生成器，只能遍历一次；请换成可反复遍历的对象。"
        )
    _check_finite(losses, 0, number)
    # 批有大有小（最后一批常不满），按样本数加权才是"平均每个样本的损失"
    weights = torch.tensor(sizes, dtype=torch.float64)
    total_loss = torch.stack(losses).cpu().double() @ weights
    return Scores(total_loss.item() / sum(sizes), total_correct.item() / sum(sizes))


def _default_optimizer(net: Net, lr: float) -> Optimizer:
    if not isinstance(net, nn.Module):
        raise ValueError("net 是普通函数，fit 不知道要更新哪些参数；请用 optimizer= 给出优化器。")
    if not lr > 0 or not math.isfinite(lr):
        raise ValueError(f"学习率 lr={lr!r} 不合适：应是正的有限小数，例如 0.1。")
    parameters = [p for p in net.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("网络没有可训练的参数，无法训练；请检查参数是否都被冻结了。")
    return torch.optim.SGD(parameters, lr=lr)


def _device_of(net: Net) -> torch.device:
    parameter = next(net.parameters(), None) if isinstance(net, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


@contextmanager
def _mode(net: Net, *, training: bool) -> Iterator[None]:
    """临时把网络的每个子模块切到训练或评估模式，用完逐个恢复（有人会单独冻结某个子模块）。"""
    if not isinstance(net, nn.Module):
        yield
        return
    before = [(module, module.training) for module in net.modules()]
    net.train(training)
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training


def _mean_loss(loss: Loss, y_hat: Tensor, y: Tensor) -> Tensor:
    try:
        value = loss(y_hat, y)
    except IndexError as error:  # 交叉熵在 CPU 上遇到越界的标签
        raise ValueError(
            f"标签在 {int(y.min())} 到 {int(y.max())} 之间，而网络只输出 {y_hat.shape[1]} 个类别；"
            f"标签应在 0 到 {y_hat.shape[1] - 1} 之间。"
        ) from error
    if value.ndim != 0:
        raise ValueError(
            f"损失函数返回了形状 {tuple(value.shape)} 的张量；"
            "本库约定返回一批样本的平均值（一个数），请用 reduction='mean'，或在末尾加 .mean()。"
        )
    return value


def _check_shapes(y_hat: Tensor, y: Tensor) -> None:
    if y.ndim != 1 or y_hat.ndim != 2 or len(y_hat) != len(y):
        raise ValueError(
            f"网络输出的形状是 {tuple(y_hat.shape)}，标签的形状是 {tuple(y.shape)}；"
            "应分别是 (批量大小, 类别数) 与 (批量大小,)。"
            "常见原因：忘了 nn.Flatten()，或最后一层的输出不是类别数。"
        )
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < y_hat.shape[1]:
        raise ValueError(
            f"标签在 {int(y.min())} 到 {int(y.max())} 之间，而网络只输出 {y_hat.shape[1]} 个类别；"
            f"标签应在 0 到 {y_hat.shape[1] - 1} 之间。"
        )


def _check_finite(losses: list[Tensor], offset: int, number: int) -> None:
    """``losses`` 是从第 ``offset`` 批（从 0 数）之后的损失。"""
    finite = torch.isfinite(torch.stack(losses))
    if not bool(finite.all()):
        first = int((~finite).nonzero()[0])
        raise FloatingPointError(
            f"第 {number} 轮第 {offset + first + 1} 批的损失是 {losses[first].item()}，训练已停止。"
            "常见原因：学习率太大、对 0 取了对数、把未经 softmax 的得分当成概率。"
            "先把学习率减到十分之一，再检查损失函数。"
        )


def _describe(record: Epoch, number: int, epochs: int) -> str:
    parts = [
        f"第 {number}/{epochs} 轮",
        f"训练损失 {format_measured(record.train_loss)}",
        f"训练精度 {format_measured(record.train_accuracy)}",
    ]
    if record.test_accuracy is not None:
        parts.append(f"测试精度 {format_measured(record.test_accuracy)}")
    parts.append(f"用时 {record.seconds:.1f} 秒")
    return "  ".join(parts)
