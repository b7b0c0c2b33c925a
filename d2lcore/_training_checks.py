"""训练之前与之中的检查：给了什么、应是什么、怎么改，都用一句中文说清。"""

import math
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

PRECISIONS = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


def check_options(
    net: Any,
    epochs: int,
    precision: str,
    device: torch.device,
    clip_norm: float | None,
    patience: int | None,
    test: Any,
) -> None:
    _check_positive_int("轮数 epochs", epochs)
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} 不认识：应是 {'、'.join(PRECISIONS)} 之一。")
    if precision == "float16" and device.type == "mps":
        raise ValueError("MPS 上没有为 float16 缩放损失的工具；请改用 precision='bfloat16'。")
    if clip_norm is not None and not (clip_norm > 0 and math.isfinite(clip_norm)):
        raise ValueError(f"clip_norm={clip_norm!r} 不合适：应是正的有限小数，例如 1.0。")
    if patience is not None:
        _check_positive_int("patience", patience)
        if test is None or not isinstance(net, nn.Module):
            raise ValueError(
                "早停（patience）要比较测试损失并留下最好的参数：请给测试集与 nn.Module。"
            )


def check_scheduler(scheduler: Any, optimizer: Any) -> None:
    if scheduler is not None and (optimizer is None or scheduler.optimizer is not optimizer):
        raise ValueError(
            "scheduler 调的不是这次训练的优化器，学习率不会变；"
            "请把建调度器时用的那个优化器也交给 fit（optimizer=…）。"
        )


def check_checkpoint(
    net: Any, optimizer: Any, path: str | os.PathLike[str] | None, resume: bool
) -> None:
    if path is None:
        if resume:
            raise ValueError(
                "resume=True 要接着训练，却没有说检查点在哪里；请给 checkpoint=文件名。"
            )
        return
    if not isinstance(net, nn.Module) or not (
        optimizer is None or hasattr(optimizer, "state_dict")
    ):
        raise ValueError(
            "检查点要存网络与优化器的 state_dict()；请用 nn.Module 与 torch.optim 的优化器。"
        )
    if os.path.exists(path) and not resume:
        raise FileExistsError(
            f"检查点 {os.fspath(path)} 已在，重新训练会盖掉它。"
            "要接着训练请加 resume=True，要从头开始请换个文件名或先删掉它。"
        )


def _check_positive_int(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r} 不合适：应是不小于 1 的整数。")


def is_classification(y_hat: Any, y: Tensor) -> bool:
    """标签是整数，并且输出只比标签多出"类别"这一维。"""
    return isinstance(y_hat, Tensor) and not y.is_floating_point() and y_hat.ndim == y.ndim + 1


def mean_loss(loss: Callable[[Any, Tensor], Tensor], y_hat: Any, y: Tensor) -> Tensor:
    try:
        value = loss(y_hat, y)
    except IndexError as error:  # 交叉熵在 CPU 上遇到越界的标签
        raise ValueError(_wrong_labels(y_hat, y)) from error
    if value.ndim != 0:
        raise ValueError(
            f"损失函数返回了形状 {tuple(value.shape)} 的张量；"
            "本库约定返回一批样本的平均值（一个数），请用 reduction='mean'，或在末尾加 .mean()。"
        )
    return value


def check_shapes(y_hat: Any, y: Tensor) -> None:
    if not isinstance(y_hat, Tensor):
        return  # 有几个输出的网络，由损失函数自己核对
    given = f"网络输出的形状是 {tuple(y_hat.shape)}，标签的形状是 {tuple(y.shape)}；"
    if y.is_floating_point():
        if y_hat.shape != y.shape:
            raise ValueError(
                given + "标签是浮点数时当作回归，两者的形状应相同。"
                "形状不同时相减会广播：(n, 1) 减 (n,) 得到 (n, n)，损失就错了；"
                "请用 y.reshape(-1, 1) 之类的办法改成一样。"
            )
        return
    if y_hat.shape == y.shape:
        raise ValueError(
            given + "标签是整数时当作类别，输出应多出一维类别。若这是回归，请把标签换成 y.float()。"
        )
    if not is_classification(y_hat, y) or y_hat.shape[:1] + y_hat.shape[2:] != y.shape:
        raise ValueError(
            given + "应分别是 (批量大小, 类别数) 与 (批量大小,)。"
            "常见原因：忘了 nn.Flatten()，或最后一层的输出不是类别数。"
        )
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < y_hat.shape[1]:
        raise ValueError(_wrong_labels(y_hat, y))


def _wrong_labels(y_hat: Tensor, y: Tensor) -> str:
    return (
        f"标签在 {int(y.min())} 到 {int(y.max())} 之间，而网络只输出 {y_hat.shape[1]} 个类别；"
        f"标签应在 0 到 {y_hat.shape[1] - 1} 之间。"
    )


def check_finite(losses: list[Tensor], offset: int, number: int) -> None:
    """``losses`` 是从第 ``offset`` 批（从 0 数）之后的损失。"""
    finite = torch.isfinite(torch.stack(losses))
    if not bool(finite.all()):
        first = int((~finite).nonzero()[0])
        raise FloatingPointError(
            f"第 {number} 轮第 {offset + first + 1} 批的损失是 {losses[first].item()}，训练已停止。"
            "常见原因：学习率太大、对 0 取了对数、把未经 softmax 的得分当成概率。"
            "先把学习率减到十分之一，再检查损失函数。"
        )
