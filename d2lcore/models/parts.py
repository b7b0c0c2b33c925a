"""各个网络共用的零件：按比例缩放通道数、卷积块、开头与结尾、初始化。"""

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from d2lcore.layers import Size


def scaled(channels: int, width: float) -> int:
    """通道数乘以 ``width``，四舍六入五取偶，至少为 1。

    Args:
        channels: 原来的通道数。
        width: 倍数，正数。

    Raises:
        ValueError: ``width`` 不是正的有限小数。

    Examples:
        >>> scaled(64, 0.25), scaled(96, 1 / 3), scaled(3, 0.1)
        (16, 32, 1)
    """
    if not 0 < width < math.inf:
        raise ValueError(f"通道的倍数 width={width!r} 不合适：应是正的有限小数，例如 0.25。")
    return max(1, round(channels * width))


def conv_block(
    in_channels: int,
    out_channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    *,
    batch_norm: bool = False,
) -> list[nn.Module]:
    """卷积、（可选的）批量规范化、ReLU，作为一串层返回，用 ``*`` 展开进 ``nn.Sequential``。

    有批量规范化时卷积不带偏置：规范化减去均值，会把它减掉。

    Args:
        in_channels: 输入通道数。
        out_channels: 输出通道数。
        kernel_size: 核的边长，或 (高, 宽)。
        stride: 步幅。
        padding: 每边的填充。
        batch_norm: 卷积之后是否加批量规范化。

    Examples:
        >>> [type(layer).__name__ for layer in conv_block(1, 6, 3, batch_norm=True)]
        ['Conv2d', 'BatchNorm2d', 'ReLU']
    """
    bias = not batch_norm
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
    ]
    if batch_norm:
        layers.append(nn.BatchNorm2d(out_channels))
    return [*layers, nn.ReLU()]


def stem(
    in_channels: int, out_channels: int, *, small: bool, batch_norm: bool = True
) -> nn.Sequential:
    """ResNet、DenseNet、GoogLeNet 的开头：尽早缩小图像，后面的层才算得起。

    Args:
        in_channels: 输入图像的通道数。
        out_channels: 输出通道数。
        small: ``False`` 时是 7×7 步幅 2 的卷积加 3×3 步幅 2 的汇聚，高宽缩到四分之一；
            ``True`` 时只有 3×3 步幅 2 的卷积，缩到一半，适合 28–64 像素的小图。
        batch_norm: 卷积之后是否加批量规范化。

    Examples:
        >>> import torch
        >>> X = torch.rand(2, 1, 32, 32)
        >>> [tuple(stem(1, 8, small=small)(X).shape) for small in (False, True)]
        [(2, 8, 8, 8), (2, 8, 16, 16)]
    """
    if small:
        return nn.Sequential(*conv_block(in_channels, out_channels, 3, 2, 1, batch_norm=batch_norm))
    return nn.Sequential(
        *conv_block(in_channels, out_channels, 7, 2, 3, batch_norm=batch_norm),
        nn.MaxPool2d(3, stride=2, padding=1),
    )


def head(channels: int, num_classes: int) -> list[nn.Module]:
    """全局平均汇聚加一个全连接层：输入任意高宽的 (B, channels, H, W)，输出 (B, num_classes)。

    Args:
        channels: 输入通道数。
        num_classes: 类别数。

    Examples:
        >>> import torch
        >>> nn.Sequential(*head(8, 10))(torch.rand(2, 8, 3, 5)).shape
        torch.Size([2, 10])
    """
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)]


def dense_head(inputs: int, hidden: int, num_classes: int) -> list[nn.Module]:
    """AlexNet 与 VGG 的结尾：两个带暂退的全连接隐藏层，再加输出层。

    Args:
        inputs: 输入特征数，等于 通道数·高·宽。
        hidden: 每个隐藏层的单元数。
        num_classes: 类别数。

    Examples:
        >>> len(dense_head(6400, 4096, 10))  # 展平；两组 全连接、ReLU、暂退；输出层
        8
    """
    return [
        nn.Flatten(),
        *(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(hidden, num_classes),
    ]


def init_he_(net: nn.Sequential) -> nn.Sequential:
    """He 初始化：权重 ~ N(0, 2/n)，n 是每个输出所看到的输入个数；偏置为 0。原地修改并返回。

    ReLU 把一半的输入变成 0，方差乘 2 正好补回来，信号才不会逐层变弱。
    来源：He 等，2015，arXiv:1502.01852。

    Args:
        net: 网络；其中的卷积层与全连接层被重新初始化，别的层不动。

    Examples:
        >>> net = init_he_(nn.Sequential(nn.Linear(1000, 1000)))
        >>> round(net[0].weight.std().item() ** 2 * 1000, 1)
        2.0
    """
    return _init_(net, partial(nn.init.kaiming_normal_, nonlinearity="relu"))


def init_xavier_(net: nn.Sequential) -> nn.Sequential:
    """Xavier 初始化（均匀分布），偏置为 0，用于 sigmoid 网络。原地修改并返回。

    来源：Glorot、Bengio，2010，AISTATS。

    Args:
        net: 网络；其中的卷积层与全连接层被重新初始化，别的层不动。

    Examples:
        >>> net = init_xavier_(nn.Sequential(nn.Linear(6, 6)))
        >>> bool(net[0].weight.abs().max() <= (6 / 12) ** 0.5)
        True
    """
    return _init_(net, nn.init.xavier_uniform_)


def _init_(net: nn.Sequential, fill: Callable[[Tensor], Tensor]) -> nn.Sequential:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fill(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net
