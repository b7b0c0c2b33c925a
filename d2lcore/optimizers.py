"""一套不必细调的训练设定：带动量的随机梯度下降，学习率先升后降，整个训练一个周期。"""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from d2lcore._arguments import check_counts


def one_cycle_sgd(
    net: nn.Module,
    steps: int,
    lr: float = 0.1,
    *,
    weight_decay: float = 5e-4,
) -> tuple[torch.optim.SGD, OneCycleLR]:
    """随机梯度下降与单周期的学习率，一起交给 :func:`d2lcore.training.fit`。

    学习率从 ``lr/25`` 起，前三成步数里升到 ``lr``，其余步数里沿余弦降到接近 0；
    动量（Nesterov 的写法）反向变化，从 0.95 降到 0.85 再回到 0.95，这是 ``OneCycleLR`` 的缺省值。
    开头小，网络不会一上来就发散；中间大，走得快；末尾小，小批量的噪声平息，精度不再跳动。
    来源：Smith、Topin，2017，arXiv:1708.07120。

    Args:
        net: 要训练的网络。
        steps: 总步数，等于轮数乘以每轮的批数。
        lr: 学习率的最大值。
        weight_decay: 权重衰减的系数。

    Returns:
        优化器与调度器；调度器每批走一步，:func:`d2lcore.training.fit` 知道。

    Raises:
        ValueError: 步数不是正整数，或学习率不是正的有限小数。

    Examples:
        >>> optimizer, scheduler = one_cycle_sgd(nn.Linear(4, 2), steps=10, lr=0.5)
        >>> rates = []
        >>> for _ in range(10):
        ...     rates.append(scheduler.get_last_lr()[0])
        ...     optimizer.step()
        ...     scheduler.step()
        >>> max(rates), rates.index(max(rates)), rates[-1] < rates[0]
        (0.5, 2, True)
    """
    check_counts(steps=steps)
    if not 0 < lr < math.inf:
        raise ValueError(f"学习率 lr={lr!r} 不合适：应是正的有限小数，例如 0.1。")
    optimizer = torch.optim.SGD(
        net.parameters(), lr=lr, momentum=0.95, weight_decay=weight_decay, nesterov=True
    )
    return optimizer, OneCycleLR(optimizer, max_lr=lr, total_steps=steps)
