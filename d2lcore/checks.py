"""自检：固定随机种子、打印测得的数、检查论断是否落在区间内。

课文里的数分两种。**算得准的**（形状、手算例子、参数个数）换一台机器也一样，直接 ``print``，
重跑时逐字比对。**测得的**（损失、精度）换一台机器末几位会变，用 :func:`report` 打印，
每个数前带 ``≈``；重跑时这些数不逐字比对，所以后面必须有 :func:`expect` 检查它落在区间内。
"""

import math
import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """给 Python、NumPy 与 PyTorch 的全局随机数生成器设同一个种子。

    同一台机器、同一版本下，从同一种子开始的运算给出同样的随机数；
    不同的机器或版本之间只保证"差不多"。

    Args:
        seed: 非负整数，小于 2³²（NumPy 的上限）。

    Raises:
        ValueError: ``seed`` 不是这个范围内的整数。

    Examples:
        >>> seed_everything(0)
        >>> first = torch.rand(3)
        >>> seed_everything(0)
        >>> torch.equal(torch.rand(3), first)
        True
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"种子 seed={seed!r} 不合适：应是 0 到 2³²-1 之间的整数，例如 0。")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def format_measured(value: float | int) -> str:
    """把一个测得的数写成 ``≈0.832`` 这样的字符串：整数原样，小数留三位，极大极小用科学记数。

    Examples:
        >>> format_measured(0.8317), format_measured(61706), format_measured(2.5e-7)
        ('≈0.832', '≈61,706', '≈2.50e-07')
    """
    if isinstance(value, int):
        return f"≈{value:,}"
    if not math.isfinite(value):
        return f"≈{value}"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"≈{value:.2e}"
    return f"≈{value:.3f}"


def report(**values: float | int | torch.Tensor) -> None:
    """打印一行测得的数，例如 ``训练损失 ≈0.450  测试精度 ≈0.832``。

    Args:
        values: 名字（可用中文）到数的对应；数可以是只含一个元素的张量。

    Raises:
        TypeError: 某个值不是一个数。

    Examples:
        >>> report(训练损失=0.45, 测试精度=torch.tensor(0.832))
        训练损失 ≈0.450  测试精度 ≈0.832
    """
    parts = [f"{name} {format_measured(_as_number(value, name))}" for name, value in values.items()]
    print("  ".join(parts))


def expect(
    value: float | int | torch.Tensor,
    low: float | None = None,
    high: float | None = None,
    *,
    what: str,
) -> None:
    """检查一个论断：测得的数 ``value`` 应落在闭区间 ``[low, high]`` 内，``None`` 表示这一侧不限。

    成立时打印一行 ``✓ …``，其中不含测得的数，因此重跑时可以逐字比对。

    Args:
        value: 测得的数，可以是只含一个元素的张量。
        low: 下界（含）。
        high: 上界（含）。
        what: 这个数是什么，例如 ``"测试精度"``。

    Raises:
        AssertionError: 论断不成立；``value`` 是 NaN 时也算不成立。
        ValueError: 两个界都没给，或 ``low > high``。

    Examples:
        >>> expect(0.832, low=0.8, what="测试精度")
        ✓ 测试精度：不小于 0.8
        >>> expect(0.1, low=0.8, what="测试精度")
        Traceback (most recent call last):
            ...
        AssertionError: 论断不成立：测试精度应不小于 0.8，测得 0.1。...
    """
    if low is None and high is None:
        raise ValueError(f"检查「{what}」时至少要给 low、high 中的一个，否则这个检查永远成立。")
    if low is not None and high is not None and low > high:
        raise ValueError(f"检查「{what}」的区间是空的：low={low} 大于 high={high}。")
    number = _as_number(value, what)
    band = _band(low, high)
    inside = (low is None or number >= low) and (high is None or number <= high)
    if math.isnan(number) or not inside:
        raise AssertionError(
            f"论断不成立：{what}应{band}，测得 {number:.6g}。"
            "若改过代码、数据或超参数，这是正常的；若没有改过，请到仓库报告此事。"
        )
    print(f"✓ {what}：{band}")


def _as_number(value: float | int | torch.Tensor, name: str) -> float | int:
    """单元素张量、NumPy 标量与布尔值都变成 Python 的数。"""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        if math.prod(value.shape) != 1:
            raise TypeError(
                f"「{name}」是形状 {tuple(value.shape)} 的张量；"
                "这里要一个数，请先取平均或挑出一个元素。"
            )
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int | float):
        raise TypeError(f"「{name}」是 {type(value).__name__}，这里要一个数。")
    return value


def _band(low: float | None, high: float | None) -> str:
    if low is None:
        return f"不大于 {high:g}"
    if high is None:
        return f"不小于 {low:g}"
    return f"在 [{low:g}, {high:g}] 内"
