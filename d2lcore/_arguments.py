"""几个模块共用的参数检查。"""

import torch
from torch import Tensor


def check_dtype(name: str, value: Tensor, dtype: torch.dtype) -> None:
    """``value`` 应是类型为 ``dtype`` 的张量，否则 :class:`TypeError`。"""
    if not isinstance(value, Tensor) or value.dtype != dtype:
        given = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} 是 {given}，应是 {dtype} 的张量；请先用 .to({dtype}) 转换。")


def check_count(name: str, value: int, low: int, high: int | None = None) -> None:
    """``value`` 应是 ``low`` 到 ``high``（含）之间的整数，否则 :class:`ValueError`。"""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}={value!r} 不合适：应是整数。")
    if value < low or (high is not None and value > high):
        band = f"不小于 {low}" if high is None else f"{low} 到 {high} 之间"
        raise ValueError(f"{name}={value} 不合适：应是{band}的整数。")


def make_generator(seed: int) -> torch.Generator:
    """从 ``seed`` 开始的随机数生成器（CPU）。"""
    check_count("seed", seed, 0, 2**63 - 1)
    return torch.Generator().manual_seed(seed)


def check_counts(**counts: int) -> None:
    """检查通道数、类别数这类参数都是正整数。

    Args:
        counts: 名字到数的对应。

    Raises:
        ValueError: 某个数不是正整数。

    Examples:
        >>> check_counts(num_classes=0)
        Traceback (most recent call last):
        ValueError: num_classes=0 不合适：应是不小于 1 的整数。
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}={count!r} 不合适：应是不小于 1 的整数。")
