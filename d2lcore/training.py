"""训练与评估网络。

全书只有一个约定：**损失是一批样本的平均值**。于是学习率的含义不随批量大小而变，
打印的损失也总是"平均每个样本的损失"。

同一个 :func:`fit` 从一台笔记本用到几块显卡：混合精度、channels-last、梯度裁剪、学习率调度、
断点续训、早停都是可选的参数；用 ``torchrun`` 启动时各进程自动分工，不必改程序。
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from d2lcore._training_checks import (
    PRECISIONS,
    check_checkpoint,
    check_finite,
    check_options,
    check_scheduler,
    check_shapes,
    is_classification,
    mean_loss,
)
from d2lcore.checkpoints import load_checkpoint, random_state, restore_random_state, save_checkpoint
from d2lcore.devices import pick_device, synchronize
from d2lcore.distributed import ALONE, Team, join_team
from d2lcore.history import Epoch, History, describe_epoch

Batches = Iterable[tuple[Tensor, Tensor]]
Loss = Callable[[Any, Tensor], Tensor]
Net = Callable[[Tensor], Any]
Precision = Literal["float32", "bfloat16", "float16"]

# 每隔几批看一次损失是否还是有限的数：每批都看，GPU 就得每批停下来等 CPU 一次
CHECK_EVERY = 50


class Optimizer(Protocol):
    """有 ``zero_grad`` 与 ``step`` 的对象：``torch.optim`` 里的都是，课文里手写的也是。

    Examples:
        >>> w = torch.zeros(2, requires_grad=True)
        >>> class GradientDescent:
        ...     def zero_grad(self):
        ...         w.grad = None
        ...     def step(self):
        ...         w.data -= 0.5 * w.grad
        >>> X, y = torch.tensor([[1., 0.], [0., 1.]]), torch.tensor([2., 4.])
        >>> mse = torch.nn.functional.mse_loss
        >>> history = fit(lambda X: X @ w, [(X, y)], epochs=20, optimizer=GradientDescent(),
        ...               loss=mse, log=False)
        >>> w.detach().round(decimals=3)
        tensor([2., 4.])
    """

    def zero_grad(self) -> None:
        """把梯度清零。"""

    def step(self) -> object:
        """按梯度更新一次参数。"""


class Scores(NamedTuple):
    """一次评估的结果：平均损失；分类精度（0 到 1），不是分类时是 ``None``。

    Examples:
        >>> Scores(loss=0.5, accuracy=0.8).accuracy
        0.8
    """

    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class _Plan:
    """怎样算一批：训练中不变的设定。"""

    loss: Loss
    device: torch.device
    precision: torch.dtype = torch.float32
    channels_last: bool = False
    clip_norm: float | None = None
    team: Team = ALONE


@dataclass
class _State:
    """训练中会变的一切；写进检查点的也就是它。"""

    net: Net
    optimizer: Optimizer
    scheduler: LRScheduler | None
    scaler: GradScaler
    generator: torch.Generator | None  # 训练数据若用自己的生成器打乱，也要记下
    history: History = field(default_factory=History)
    best: dict[str, Any] | None = None  # 早停时用：测试损失最小那一轮的参数


class _Tally:
    """边算边累计损失与精度。数都留在设备上，最后才取回：每批都取，GPU 就得每批停下来等 CPU。"""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.losses: list[Tensor] = []
        self.correct: list[Tensor] = []
        self.sizes: list[int] = []  # 每批的样本数
        self.labels = 0  # 标签总数；每个样本只有一个标签时就是样本数

    def add(self, value: Tensor, y_hat: Any, y: Tensor, size: int) -> None:
        """记下一批：平均损失、输出、标签、其中归自己的样本数。"""
        self.losses.append(value.detach())
        self.sizes.append(size)
        if size > 0 and is_classification(y_hat, y):
            self.correct.append((y_hat.detach().argmax(dim=1) == y).sum())
            self.labels += y.numel()

    def scores(self) -> Scores:
        """所有批、所有进程的平均损失与精度。"""
        # 批有大有小（最后一批常不满），按样本数加权才是"平均每个样本的损失"
        weights = torch.tensor(self.sizes, dtype=torch.float64)
        loss = torch.stack(self.losses).cpu().double() @ weights
        correct = torch.stack(self.correct).sum().cpu().double() if self.correct else loss * 0
        labels = torch.tensor(float(self.labels), dtype=torch.float64)
        sums = torch.stack([loss, correct, labels, weights.sum()])
        if self.team.size > 1:
            sums = self.team.total(sums.to(self.losses[0].device)).cpu()
        loss_sum, right, of, count = sums.tolist()
        return Scores(loss_sum / count, right / of if of else None)


def evaluate(
    net: Net,
    batches: Batches,
    *,
    loss: Loss = nn.functional.cross_entropy,
    device: str | torch.device | None = None,
) -> Scores:
    """在一个数据集上量平均损失与分类精度；不改参数，量完恢复网络原来的模式。

    标签是整数时当作分类：输出 (批量大小, 类别数, …)，标签 (批量大小, …)。
    标签是浮点数时当作回归：输出与标签形状相同，精度是 ``None``。

    Args:
        net: 网络，或任何把一批特征变成一批输出的函数。
        batches: 可反复遍历，每次给出特征与标签，第 0 维都是批量大小。
        loss: 一批样本的平均损失。
        device: 计算设备；缺省用网络参数所在的设备。

    Raises:
        ValueError: 没有数据，或网络输出、标签、损失的形状不合。

    Examples:
        >>> X, y = torch.tensor([[2., 0.], [0., 3.], [1., 0.]]), torch.tensor([0, 1, 1])
        >>> scores = evaluate(torch.nn.Identity(), [(X, y)])
        >>> round(scores.accuracy, 3)
        0.667
    """
    chosen = _device_of(net) if device is None else pick_device(device)
    return _evaluate(net, batches, _Plan(loss, chosen))


def fit(
    net: Net,
    train: Batches,
    test: Batches | None = None,
    *,
    epochs: int,
    lr: float = 0.1,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    loss: Loss = nn.functional.cross_entropy,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    channels_last: bool = False,
    clip_norm: float | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    on_epoch: Callable[[int, Epoch], object] | None = None,
    log: bool = True,
    progress: bool = False,
) -> History:
    """用小批量梯度下降训练一个网络，每轮之后在测试集上评估。

    每一步只做四件事：算输出与损失、清零旧梯度、反向传播、更新参数。
    结束后网络恢复原来的训练/评估模式。分类与回归的区别见 :func:`evaluate`。

    用 ``torchrun`` 启动时，每个进程取每个小批量的一段，梯度求平均，
    结果与一个进程算整个小批量相同。两样除外：批量规范化按各自那一段求均值与方差，
    在多块显卡上可先用 ``nn.SyncBatchNorm.convert_sync_batchnorm`` 换掉；
    暂退的掩码各进程自己抽，与一个进程抽的不是同一份。

    Args:
        net: ``nn.Module``；或任何函数，这时必须给 ``optimizer``。
        train: 训练数据，可反复遍历，每次给出特征与标签。
        test: 测试数据；``None`` 表示不评估。
        epochs: 轮数，每轮把训练数据用一遍。
        lr: 学习率，用于缺省的 ``torch.optim.SGD``；给了 ``optimizer`` 时不用。
        optimizer: 优化器；缺省是小批量随机梯度下降。
        scheduler: 学习率调度器。照 PyTorch 的文档：``OneCycleLR`` 与 ``CyclicLR`` 每批走一步，
            其余每轮走一步。
        loss: 一批样本的**平均**损失；缺省是交叉熵，网络输出未规范化的得分即可。
        device: 计算设备；缺省自动选（有显卡就用）。
        precision: 前向与反向用的浮点格式。``bfloat16``、``float16`` 是自动混合精度：
            参数仍是 float32；``float16`` 会自动缩放损失，以免小梯度变成 0。
        channels_last: 图像按"通道在最后"存放，卷积常常更快；不改变结果的含义。
        clip_norm: 全部梯度合在一起的 L2 范数的上限，超过就按比例缩小；``None`` 表示不裁剪。
        patience: 测试损失连续这么多轮没有变小就停，并取回最好一轮的参数；``None`` 表示不早停。
        checkpoint: 每轮之后把全部状态写进这个文件；``None`` 表示不写。
        resume: 检查点已在时从它接着训练，结果与没有中断过相同；不在就从头开始。
        on_epoch: 每轮之后调用 ``on_epoch(第几轮, 记录)``。
        log: 是否每轮打印一行。
        progress: 是否在标准错误上显示进度条。

    Returns:
        逐轮的记录。用时包括取数据与评估，不只是计算。

    Raises:
        ValueError: 参数、网络输出、标签或检查点不合要求。
        FileExistsError: 检查点已在，又没有说要接着训练。
        FloatingPointError: 损失变成 NaN 或无穷大，消息里有轮数与批次。

    Examples:
        >>> _ = torch.manual_seed(0)
        >>> X = torch.randn(64, 2)
        >>> y = (X[:, 0] > X[:, 1]).long()
        >>> net = torch.nn.Linear(2, 2)
        >>> history = fit(net, [(X, y)], epochs=50, lr=1.0, device="cpu", log=False)
        >>> len(history), history[-1].train_accuracy > 0.95
        (50, True)
    """
    device = pick_device("cpu" if device is None and not isinstance(net, nn.Module) else device)
    check_options(net, epochs, precision, device, clip_norm, patience, test)
    check_scheduler(scheduler, optimizer)
    check_checkpoint(net, optimizer, checkpoint, resume)
    team = join_team(device)
    plan = _Plan(loss, device, PRECISIONS[precision], channels_last, clip_norm, team)
    _place(net, plan)
    state = _State(
        net,
        optimizer if optimizer is not None else _default_optimizer(net, lr),
        scheduler,
        GradScaler(device.type, enabled=precision == "float16"),
        getattr(train, "generator", None),
    )
    if checkpoint is not None and resume and os.path.exists(checkpoint):
        _restore(state, checkpoint, device)
        if log and team.rank == 0:
            print(f"接着训练：{os.fspath(checkpoint)} 里已有 {len(state.history)} 轮")
    history = state.history
    together = DistributedDataParallel(net) if team.size > 1 else net  # type: ignore[type-var]
    while len(history) < epochs and not _should_stop(history, patience):
        number = len(history) + 1
        bar = _bar(train, f"第 {number}/{epochs} 轮") if progress and team.rank == 0 else train
        team.share_random_state()
        synchronize(device)
        start = time.perf_counter()
        trained = _train_one_epoch(together, bar, state, plan, number)
        tested = _evaluate(net, test, plan) if test is not None else None
        synchronize(device)
        record = Epoch(
            train_loss=trained.loss,
            train_accuracy=trained.accuracy,
            test_loss=tested.loss if tested else None,
            test_accuracy=tested.accuracy if tested else None,
            seconds=time.perf_counter() - start,
        )
        history.epochs.append(record)
        _end_epoch(state, record, keep_best=patience is not None)
        if team.rank == 0:
            if checkpoint is not None:
                _save(state, checkpoint, device)
            if log:
                print(describe_epoch(record, number, epochs))
            if on_epoch is not None:
                on_epoch(number, record)
    if state.best is not None and isinstance(net, nn.Module):
        net.load_state_dict(state.best)
    return history


def _train_one_epoch(net: Net, train: Batches, state: _State, plan: _Plan, number: int) -> Scores:
    """把训练数据用一遍，返回边训练边累计的平均损失与精度。"""
    scaler, optimizer = state.scaler, cast(torch.optim.Optimizer, state.optimizer)
    tally = _Tally(plan.team)
    with _mode(net, training=True):
        for X, y in train:
            part, y_part, size = _my_share(X, y, plan, first=not tally.sizes)
            y_hat = _forward(net, part, plan)
            if not tally.sizes:
                check_shapes(y_hat, y_part)
            value = mean_loss(plan.loss, y_hat, y_part)
            optimizer.zero_grad()
            # 各进程的梯度会求平均：先乘上自己的份额，平均后才是整批的梯度（只有一个进程时乘 1）
            scaler.scale(value * (size * plan.team.size / len(y))).backward()
            if plan.clip_norm is not None:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(cast(nn.Module, net).parameters(), plan.clip_norm)
            scaler.step(optimizer)  # 梯度里有无穷大时（只会在 float16 下）跳过这一步
            scaler.update()
            if isinstance(state.scheduler, OneCycleLR | CyclicLR):
                state.scheduler.step()
            tally.add(value, y_hat, y_part, size)
            if len(tally.losses) % CHECK_EVERY == 0:
                check_finite(tally.losses[-CHECK_EVERY:], len(tally.losses) - CHECK_EVERY, number)
    if not tally.losses:
        raise ValueError(
            "没有数据可训练：train 一批也没有给出。"
            "若它是生成器，只能遍历一次；请换成可反复遍历的对象。"
        )
    check_finite(tally.losses, 0, number)
    return tally.scores()


def _evaluate(net: Net, batches: Batches, plan: _Plan) -> Scores:
    tally = _Tally(plan.team)
    with torch.no_grad(), _mode(net, training=False):
        for X, y in batches:
            X, y, size = _my_share(X, y, plan, first=False)
            y_hat = _forward(net, X, plan)
            if not tally.sizes:
                check_shapes(y_hat, y)
            tally.add(mean_loss(plan.loss, y_hat, y), y_hat, y, size)
    if not tally.losses:
        raise ValueError("没有数据可评估：batches 一批也没有给出。")
    return tally.scores()


def _my_share(X: Tensor, y: Tensor, plan: _Plan, *, first: bool) -> tuple[Tensor, Tensor, int]:
    """这个进程要算的一段，放到设备上，以及其中的样本数。"""
    if first:
        plan.team.check_same_data(X, y)
    X, y, size = plan.team.share(X, y)
    return X.to(plan.device), y.to(plan.device), size


def _forward(net: Net, X: Tensor, plan: _Plan) -> Any:
    """网络的输出；混合精度下换回 float32，损失照常算。"""
    if plan.channels_last and X.ndim == 4:
        X = X.contiguous(memory_format=torch.channels_last)
    if plan.precision == torch.float32:
        return net(X)
    with torch.autocast(plan.device.type, dtype=plan.precision):
        y_hat = net(X)
    return y_hat.float() if isinstance(y_hat, Tensor) else y_hat


def _end_epoch(state: _State, record: Epoch, *, keep_best: bool) -> None:
    """一轮结束：每轮走一步的调度器走一步，需要时留下目前最好的参数。"""
    if isinstance(state.scheduler, ReduceLROnPlateau):
        state.scheduler.step(record.train_loss if record.test_loss is None else record.test_loss)
    elif state.scheduler is not None and not isinstance(state.scheduler, OneCycleLR | CyclicLR):
        state.scheduler.step()
    if keep_best and state.history.best == len(state.history):
        state.best = deepcopy(cast(nn.Module, state.net).state_dict())


def _should_stop(history: History, patience: int | None) -> bool:
    return patience is not None and len(history) > 0 and len(history) - history.best >= patience


def _save(state: _State, path: str | os.PathLike[str], device: torch.device) -> None:
    save_checkpoint(
        path,
        {
            "net": state.net.state_dict(),  # type: ignore[attr-defined]
            "optimizer": state.optimizer.state_dict(),  # type: ignore[attr-defined]
            "scheduler": state.scheduler.state_dict() if state.scheduler else None,
            "scaler": state.scaler.state_dict(),
            "history": [asdict(epoch) for epoch in state.history],
            "best": state.best,
            "random": random_state(device),
            "order": state.generator.get_state() if state.generator else None,
        },
    )


def _restore(state: _State, path: str | os.PathLike[str], device: torch.device) -> None:
    saved = load_checkpoint(path, device)
    try:
        for name, now in (("scheduler", state.scheduler), ("order", state.generator)):
            if (saved[name] is None) != (now is None):
                raise ValueError(f"{name} 一边有，一边没有")
        if isinstance(state.scheduler, OneCycleLR):
            old, new = saved["scheduler"]["total_steps"], state.scheduler.total_steps
            if old != new:
                raise ValueError(f"OneCycleLR 的总步数原来是 {old}，现在是 {new}")
        state.net.load_state_dict(saved["net"])  # type: ignore[attr-defined]
        state.optimizer.load_state_dict(saved["optimizer"])  # type: ignore[attr-defined]
        if state.scheduler is not None:
            state.scheduler.load_state_dict(saved["scheduler"])
        state.scaler.load_state_dict(saved["scaler"])
        state.history.epochs = [Epoch(**epoch) for epoch in saved["history"]]
        state.best = saved["best"]
        if state.generator is not None:
            state.generator.set_state(saved["order"].cpu())
        restore_random_state(saved["random"])
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"检查点 {os.fspath(path)} 与现在的网络、优化器、调度器或数据不相配："
            f"{_first_line(error)}。请用写检查点时的设定，或换一个检查点文件从头开始。"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}：" + str(error).strip().replace("\n\t", " ").split("\n")[0]


def _place(net: Net, plan: _Plan) -> None:
    """把网络放到设备上，按要求换存放次序；普通函数没有参数可放，也不能多进程训练。"""
    if isinstance(net, nn.Module):
        net.to(plan.device)
        if plan.channels_last:
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    elif plan.team.size > 1 or plan.clip_norm is not None:
        raise ValueError("net 是普通函数：多进程训练与梯度裁剪都要知道它的参数，请改用 nn.Module。")


def _bar(batches: Batches, name: str) -> Batches:
    from tqdm import tqdm

    total = len(batches) if isinstance(batches, Sized) else None
    return tqdm(batches, name, total, leave=False, unit="批", dynamic_ncols=True)


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
