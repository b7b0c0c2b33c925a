"""d2l-zh 的训练函数，供 :mod:`d2lcore.d2l` 使用；都由 :func:`d2lcore.training.fit` 完成。"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from d2lcore._d2l_data import get_fashion_mnist_labels
from d2lcore._d2l_plots import Animator, show_images
from d2lcore.history import History
from d2lcore.training import _device_of, _mode, evaluate, fit


class Timer:
    """计时器，可以量几段，一建立就开始。改：用只增不减的时钟；停表前等显卡算完。

    Examples:
        >>> timer = Timer()
        >>> timer.stop() >= 0, timer.sum() == timer.avg() == timer.cumsum()[-1]
        (True, True)
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.start()

    def start(self) -> None:
        """开始一段。"""
        self.tik = time.perf_counter()

    def stop(self) -> float:
        """结束这一段，返回它的秒数。"""
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() - self.tik)
        return self.times[-1]

    def avg(self) -> float:
        """各段的平均。"""
        return sum(self.times) / len(self.times)

    def sum(self) -> float:
        """各段之和。"""
        return sum(self.times)

    def cumsum(self) -> list[float]:
        """逐段累计。"""
        return np.cumsum(self.times).tolist()


class Accumulator:
    """累加 n 个数。改：个数不对就报错，不悄悄丢掉；还连着计算图的损失也不警告。

    Examples:
        >>> metric = Accumulator(2)
        >>> metric.add(3, torch.tensor(4.0))
        >>> metric[0], metric[1]
        (3.0, 4.0)
    """

    def __init__(self, n: int) -> None:
        self.data = [0.0] * n

    def add(self, *args: float | Tensor) -> None:
        """各加上一个数。"""
        if len(args) != len(self.data):
            raise ValueError(f"要累加 {len(self.data)} 个数，给了 {len(args)} 个；应一样多。")
        values = (b.detach() if isinstance(b, Tensor) else b for b in args)
        self.data = [a + float(b) for a, b in zip(self.data, values, strict=True)]

    def reset(self) -> None:
        """都变回 0。"""
        self.data = [0.0] * len(self.data)

    def __getitem__(self, idx: int) -> float:
        return self.data[idx]


def linreg(X: Tensor, w: Tensor, b: Tensor | float) -> Tensor:
    """线性回归 Xw + b。

    Examples:
        >>> linreg(torch.ones(1, 2), torch.ones(2, 1), 1.0)
        tensor([[3.]])
    """
    return X @ w + b


def squared_loss(y_hat: Tensor, y: Tensor) -> Tensor:
    """平方损失的一半，逐个样本，不求平均；``y`` 会变成 ``y_hat`` 的形状。

    Examples:
        >>> squared_loss(torch.tensor([[3.0]]), torch.tensor([1.0]))
        tensor([[2.]])
    """
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


def sgd(params: Sequence[Tensor], lr: float, batch_size: int) -> None:
    """小批量随机梯度下降：梯度是一批的总和，所以除以批量大小；更新之后把梯度清零。

    Examples:
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> (w * 4).backward()
        >>> sgd([w], lr=0.5, batch_size=2)
        >>> w.item(), w.grad.item()
        (0.0, 0.0)
    """
    with torch.no_grad():
        for param in params:
            if param.grad is None:
                raise ValueError("有参数没有梯度；请先写 l.sum().backward()，再调用 sgd。")
            param -= lr * param.grad / batch_size
            param.grad.zero_()


def try_gpu(i: int = 0) -> torch.device:
    """第 ``i`` 块显卡；没有就是 CPU。

    Examples:
        >>> try_gpu(99)
        device(type='cpu')
    """
    return torch.device("cuda", i) if torch.cuda.device_count() > i else torch.device("cpu")


def try_all_gpus() -> list[torch.device]:
    """所有显卡；没有就是只有 CPU 的列表。

    Examples:
        >>> len(try_all_gpus()) >= 1
        True
    """
    return [torch.device("cuda", i) for i in range(torch.cuda.device_count())] or [try_gpu()]


def accuracy(y_hat: Tensor, y: Tensor) -> float:
    """预测对的**个数**（不是比例）：``y_hat`` 是得分 (B, C, …) 或预测的类别，``y`` 是 (B, …)。

    改：形状不合就报错；原来 (n, 1) 与 (n,) 会广播成 n×n，个数就错了。

    Examples:
        >>> accuracy(torch.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]]), torch.tensor([0, 2]))
        1.0
    """
    scored = y_hat.ndim == y.ndim + 1
    classes = y_hat.argmax(dim=1) if scored else y_hat
    if classes.shape != y.shape or (scored and y_hat.shape[1] == 1):
        raise ValueError(
            f"预测的形状是 {tuple(y_hat.shape)}，标签的形状是 {tuple(y.shape)}；"
            "应是 (批量大小, 类别数) 与 (批量大小,)，类别数至少是 2；或两者相同，都是类别。"
        )
    return float((classes.type(y.dtype) == y).sum())


def evaluate_accuracy(
    net: Callable[[Tensor], Tensor], data_iter: Iterable, device: torch.device | None = None
) -> float:
    """分类精度，0 到 1。改：量完恢复网络原来的模式；``evaluate_accuracy_gpu`` 就是它。

    Examples:
        >>> data_iter = [(torch.tensor([[2.0, 0.0], [3.0, 1.0]]), torch.tensor([0, 1]))]
        >>> evaluate_accuracy(torch.nn.Identity(), data_iter)
        0.5
    """
    scores = evaluate(net, data_iter, loss=lambda y_hat, y: y_hat.new_zeros(()), device=device)
    if scores.accuracy is None:
        raise ValueError("标签是浮点数，不是分类，没有精度；量损失请用 evaluate_loss。")
    return scores.accuracy


evaluate_accuracy_gpu = evaluate_accuracy


def evaluate_loss(net: Callable[[Tensor], Tensor], data_iter: Iterable, loss: Callable) -> float:
    """平均损失。改：用评估模式，不求梯度，量完恢复；``loss`` 求平均、求和、逐个都行。

    Examples:
        >>> data_iter = [(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 0.0]))]
        >>> evaluate_loss(torch.nn.Identity(), data_iter, squared_loss)
        2.5
    """
    mean, metric = _MeanLoss(loss), Accumulator(2)
    with torch.no_grad(), _mode(net, training=False):
        for X, y in data_iter:
            out = net(X)
            y = y.reshape(out.shape) if y.numel() == out.numel() else y
            metric.add(mean(out, y) * len(y), len(y))
    return metric[0] / metric[1]


class _MeanLoss:
    """各种约定的损失都变成“一批的平均”。``sum_gradient=True`` 时值不变，梯度却是总和的：
    d2l 的 ``updater(批量大小)`` 与第 13 章的学习率都按总和的梯度来定。"""

    def __init__(self, loss: Callable, sum_gradient: bool = False) -> None:
        self.loss, self.sum_gradient = loss, sum_gradient
        self.sums: bool | None = None  # 只给一个数的损失，是求和还是求平均
        self.batch_size = 0

    def __call__(self, y_hat: Tensor, y: Tensor) -> Tensor:
        value, self.batch_size = self.loss(y_hat, y), len(y)
        if value.ndim == 0 and self.sums is None:
            with torch.no_grad():  # 同一批重复一遍：平均不变，总和加倍
                twice = self.loss(torch.cat([y_hat, y_hat]), torch.cat([y, y]))
            self.sums = bool(abs(twice - 2 * value) < abs(twice - value))
        if value.ndim > 0 or self.sums:
            total = value.sum()
            mean = total / value.numel() if value.ndim > 0 else total / len(y)
        else:
            mean, total = value, value * len(y)
        return mean.detach() + (total - total.detach()) if self.sum_gradient else mean


class _Updater:
    """把 ``updater(批量大小)`` 变成 :func:`fit` 要的优化器。"""

    def __init__(self, updater: Callable[[int], object], loss: _MeanLoss) -> None:
        self.updater, self.loss = updater, loss

    def zero_grad(self) -> None:
        """不必做：``sgd`` 用完梯度自己清零。"""

    def step(self) -> None:
        self.updater(self.loss.batch_size)


class _Counted:
    """遍历时数一数给出了多少样本。"""

    def __init__(self, batches: Iterable) -> None:
        self.batches, self.samples = batches, 0

    def __iter__(self) -> Iterator:
        for X, y in self.batches:
            self.samples += len(y)
            yield X, y


def _objective(loss: Callable, updater: Any, sum_gradient: bool = False) -> tuple[_MeanLoss, Any]:
    """:func:`fit` 要的损失与优化器。"""
    builtin = isinstance(updater, Optimizer)
    mean = _MeanLoss(loss, sum_gradient or not builtin)
    return mean, updater if builtin else _Updater(updater, mean)


def _fit_and_draw(
    net: Any, train_iter: Iterable, test_iter: Any, epochs: int, objective: tuple, device: Any
) -> tuple[History, int]:
    """训练并画曲线，返回记录与一共用过多少样本；训练完网络停在评估模式，与 d2l 相同。"""
    animator = Animator("epoch", xlim=[1, epochs], legend=["train loss", "train acc", "test acc"])
    counted = _Counted(train_iter)
    history = fit(
        net, counted, test_iter, epochs=epochs, loss=objective[0], optimizer=objective[1],
        device=device, log=False,
        on_epoch=lambda k, e: animator.add(k, (e.train_loss, e.train_accuracy, e.test_accuracy)),
    )  # fmt: skip
    if isinstance(net, nn.Module):
        net.eval()
    return history, counted.samples


def _print_summary(history: History, samples: int, where: object) -> None:
    last = history[-1]
    train_acc, test_acc = _or_nan(last.train_accuracy), _or_nan(last.test_accuracy)
    print(f"loss {last.train_loss:.3f}, train acc {train_acc:.3f}, test acc {test_acc:.3f}")
    print(f"{samples / history.seconds:.1f} examples/sec on {where}")


def _or_nan(accuracy: float | None) -> float:
    return float("nan") if accuracy is None else accuracy


def train_epoch_ch3(
    net: Any, train_iter: Iterable, loss: Callable, updater: Any
) -> tuple[float, float]:
    """训练一轮，返回平均损失与精度（回归时是 nan）；``updater`` 是优化器或 ``updater(批量大小)``。

    改：``loss`` 求平均、求和、逐个都行，报的总是每个样本的平均；损失成了 nan 就停下。

    Examples:
        >>> net = torch.nn.Linear(2, 2)
        >>> batches = [(torch.randn(8, 2), torch.randint(2, (8,)))]
        >>> trainer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> loss, acc = train_epoch_ch3(net, batches, torch.nn.CrossEntropyLoss(), trainer)
    """
    mean, optimizer = _objective(loss, updater)
    device = _device_of(net)
    history = fit(
        net, train_iter, epochs=1, loss=mean, optimizer=optimizer, device=device, log=False
    )
    return history[-1].train_loss, _or_nan(history[-1].train_accuracy)


def train_ch3(
    net: Any, train_iter: Iterable, test_iter: Iterable, loss: Callable, num_epochs: int,
    updater: Any,
) -> None:  # fmt: skip
    """训练几轮，画出曲线。改：结果差也不报 AssertionError；``loss`` 的约定不限。

    Examples:
        >>> net = torch.nn.Linear(2, 2)
        >>> batches = [(torch.randn(8, 2), torch.randint(2, (8,)))]
        >>> trainer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> train_ch3(net, batches, batches, torch.nn.CrossEntropyLoss(), 1, trainer)
        epoch 1  train loss ...
    """
    _fit_and_draw(
        net, train_iter, test_iter, num_epochs, _objective(loss, updater), _device_of(net)
    )


def predict_ch3(net: Any, test_iter: Iterable, n: int = 6) -> None:
    """画出第一批的前 ``n`` 张，上面写真实的类别与预测的类别。改：大小与设备不限，用评估模式。

    Examples:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 10))
        >>> predict_ch3(net, [(torch.rand(8, 1, 4, 4), torch.arange(8))], n=3)
        >>> from matplotlib import pyplot as plt
        >>> plt.gcf().axes[1].get_title().split()[0]
        'trouser'
    """
    X, y = next(iter(test_iter))
    X, y = X[:n], y[:n]
    with torch.no_grad(), _mode(net, training=False):
        predicted = net(X.to(_device_of(net))).argmax(dim=1)
    names = zip(get_fashion_mnist_labels(y), get_fashion_mnist_labels(predicted), strict=True)
    show_images(X, 1, len(X), titles=["\n".join(pair) for pair in names])


def train_ch6(
    net: nn.Module, train_iter: Iterable, test_iter: Iterable, num_epochs: int, lr: float,
    device: torch.device | None = None,
) -> None:  # fmt: skip
    """用小批量随机梯度下降训练，画出曲线，打印结果。

    第一次训练一个网络之前，把卷积层与全连接层的权重重新初始化（Xavier，均匀分布）：笔记都靠它。
    改：同一个网络再次调用就接着训练；批数不足 5 也行；每秒样本数连取数据与评估的时间也算在内。

    Examples:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> batches = [(torch.rand(8, 1, 2, 2), torch.randint(2, (8,)))]
        >>> train_ch6(net, batches, batches, 1, 0.1, try_gpu(99))
        training on cpu
        epoch 1  train loss ...
        loss ..., train acc ..., test acc ...
        ... examples/sec on cpu
    """
    device = try_gpu() if device is None else device
    if not getattr(net, "initialized_by_train_ch6", False):
        for module in net.modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and not is_lazy(module.weight):
                nn.init.xavier_uniform_(module.weight)
        net.initialized_by_train_ch6 = True  # type: ignore[assignment]
    print("training on", device)
    net.to(device)
    objective = _objective(nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=lr))
    _print_summary(
        *_fit_and_draw(net, train_iter, test_iter, num_epochs, objective, device), device
    )


def train_batch_ch13(
    net: nn.Module, X: Tensor, y: Tensor, loss: Callable, trainer: Optimizer,
    devices: Sequence[torch.device],
) -> tuple[Tensor, float]:  # fmt: skip
    """训练一批，返回损失的总和与预测对的个数。梯度是总和的，不是平均的：笔记的学习率按它来定。

    改：``loss`` 求平均也行，梯度与返回值仍是总和。

    Examples:
        >>> net = torch.nn.Linear(2, 2)
        >>> X, y, loss = torch.zeros(4, 2), torch.zeros(4).long(), torch.nn.CrossEntropyLoss()
        >>> trainer = torch.optim.Adam(net.parameters())
        >>> total, correct = train_batch_ch13(net, X, y, loss, trainer, [try_gpu(99)])
    """
    X, y = X.to(devices[0]), y.to(devices[0])
    net.train()
    trainer.zero_grad()
    y_hat = net(X)
    value = _MeanLoss(loss, sum_gradient=True)(y_hat, y)
    value.backward()
    trainer.step()
    return value.detach() * len(y), accuracy(y_hat.detach(), y)


def train_ch13(
    net: nn.Module, train_iter: Iterable, test_iter: Iterable, loss: Callable, trainer: Optimizer,
    num_epochs: int, devices: Sequence[torch.device] | None = None,
) -> None:  # fmt: skip
    """用所有显卡训练，画出曲线，打印结果。梯度是一批的总和，见 :func:`train_batch_ch13`。

    改：只有一个设备时不包 DataParallel；用到时才找显卡；批数不足 5 也行；用时如 :func:`train_ch6`。

    Examples:
        >>> net = torch.nn.Linear(2, 2)
        >>> batches = [(torch.randn(8, 2), torch.randint(2, (8,)))]
        >>> trainer = torch.optim.Adam(net.parameters())
        >>> loss = torch.nn.CrossEntropyLoss(reduction="none")
        >>> train_ch13(net, batches, batches, loss, trainer, 1, [try_gpu(99)])
        epoch 1  train loss ...
        loss ..., train acc ..., test acc ...
        ... examples/sec on [device(type='cpu')]
    """
    devices = try_all_gpus() if devices is None else devices
    net = nn.DataParallel(net, device_ids=list(devices)) if len(devices) > 1 else net
    objective = _objective(loss, trainer, sum_gradient=True)
    _print_summary(
        *_fit_and_draw(net, train_iter, test_iter, num_epochs, objective, devices[0]), devices
    )
