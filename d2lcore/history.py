"""训练的记录：每轮一条，可打印、可画图、可存取。"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from d2lcore.checks import format_measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Epoch:
    """一轮训练的记录。训练的损失与精度是边训练边累计的平均，测试的是这一轮结束时量的。

    不是分类（例如回归）时两个精度是 ``None``；没有给测试集时两个测试值是 ``None``。

    Examples:
        >>> Epoch(0.5, 0.8, 0.6, 0.75, seconds=1.2).test_accuracy
        0.75
    """

    train_loss: float
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float


@dataclass
class History:
    """逐轮的记录。``history[-1].test_accuracy`` 是最后一轮的测试精度。

    Examples:
        >>> history = History([Epoch(0.9, 0.6, 0.8, 0.7, 1.0), Epoch(0.5, 0.8, 0.9, 0.6, 1.0)])
        >>> len(history), history[-1].train_loss, history.seconds
        (2, 0.5, 2.0)
        >>> history.best  # 第 1 轮的测试损失最小
        1
    """

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

    @property
    def best(self) -> int:
        """测试损失最小的是第几轮（从 1 数；并列取早的）。

        Raises:
            ValueError: 还没有训练，或没有给测试集。
        """
        losses = [e.test_loss for e in self.epochs if e.test_loss is not None]
        if not losses or len(losses) < len(self.epochs):
            raise ValueError("没有测试损失可比：至少训练一轮，并且给 fit 测试集。")
        known = [math.inf if math.isnan(value) else value for value in losses]  # NaN 不算好
        return known.index(min(known)) + 1

    def plot(self, title: str = "") -> "Axes":
        """画出训练损失、训练精度，以及（若有）测试精度随轮数的变化；不是分类时画两条损失。"""
        from d2lcore.plotting import plot_curves

        named: dict[str, list[float | None]] = {
            "训练损失": [e.train_loss for e in self.epochs],
            "训练精度": [e.train_accuracy for e in self.epochs],
            "测试精度": [e.test_accuracy for e in self.epochs],
        }
        if all(value is None for value in named["训练精度"]):
            named["测试损失"] = [e.test_loss for e in self.epochs]
        curves = {name: [v for v in values if v is not None] for name, values in named.items()}
        curves = {name: values for name, values in curves.items() if values}
        return plot_curves(curves, xlabel="轮数", title=title)


def describe_epoch(record: Epoch, number: int, epochs: int) -> str:
    """一行字：第几轮，各项测得的数，用时。

    Examples:
        >>> print(describe_epoch(Epoch(0.5, 0.8, 0.6, 0.75, 1.23), 1, 10))
        第 1/10 轮  训练损失 ≈0.500  训练精度 ≈0.800  测试精度 ≈0.750  用时 1.2 秒
    """
    parts = [f"第 {number}/{epochs} 轮", f"训练损失 {format_measured(record.train_loss)}"]
    if record.train_accuracy is not None:
        parts.append(f"训练精度 {format_measured(record.train_accuracy)}")
    if record.test_accuracy is not None:
        parts.append(f"测试精度 {format_measured(record.test_accuracy)}")
    elif record.test_loss is not None:
        parts.append(f"测试损失 {format_measured(record.test_loss)}")
    parts.append(f"用时 {record.seconds:.1f} 秒")
    return "  ".join(parts)
