"""稠密连接网络 DenseNet（Huang 等，2016，arXiv:1608.06993）。"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from d2lcore._arguments import check_counts
from d2lcore.models.parts import head, init_he_, scaled, stem


def dense_layer(in_channels: int, growth: int) -> nn.Sequential:
    """稠密块里的一层：规范化、ReLU、3×3 卷积，输出 ``growth`` 个新通道。

    卷积不带偏置：它的输出还要经过规范化，偏置会被减掉。

    Args:
        in_channels: 输入通道数。
        growth: 输出通道数，即增长率。

    Examples:
        >>> dense_layer(3, 10)(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 10, 8, 8])
    """
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, growth, 3, padding=1, bias=False),
    )


class DenseBlock(nn.Module):
    """稠密块：每一层的输入是前面所有层的输出在通道维上的连结；高宽不变。

    Args:
        num_layers: 层数。
        in_channels: 输入通道数。
        growth: 增长率：每层增加几个通道。

    Examples:
        >>> DenseBlock(2, 3, 10)(torch.rand(4, 3, 8, 8)).shape  # 3 + 2·10 = 23
        torch.Size([4, 23, 8, 8])
    """

    def __init__(self, num_layers: int, in_channels: int, growth: int) -> None:
        super().__init__()
        layers = [dense_layer(in_channels + i * growth, growth) for i in range(num_layers)]
        self.layers = nn.Sequential(*layers)
        self.out_channels = in_channels + num_layers * growth

    def forward(self, X: Tensor) -> Tensor:
        """输入 (B, in_channels, H, W)，输出 (B, out_channels, H, W)。"""
        for layer in self.layers:
            X = torch.cat([X, layer(X)], dim=1)
        return X


def transition(in_channels: int, out_channels: int) -> nn.Sequential:
    """过渡层：规范化、ReLU、1×1 卷积减少通道，2×2 平均汇聚使高宽减半。

    Args:
        in_channels: 输入通道数。
        out_channels: 输出通道数。

    Examples:
        >>> transition(23, 10)(torch.rand(4, 23, 8, 8)).shape
        torch.Size([4, 10, 4, 4])
    """
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.AvgPool2d(2, stride=2),
    )


def densenet(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    blocks: Sequence[int] = (4, 4, 4, 4),
    growth: int = 32,
    width: float = 1.0,
    small: bool = False,
) -> nn.Sequential:
    """DenseNet：稠密块之间用过渡层把通道数与高宽都减半（没有 1×1 的瓶颈层）。

    缺省 757,322 个参数；给每个卷积都带上偏置的写法多 904 个，可后面都有规范化，偏置不起作用。

    Args:
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        blocks: 每个稠密块的层数。
        growth: 增长率。
        width: 通道数（包括增长率）的倍数。
        small: ``True`` 时开头只有 3×3 步幅 2 的卷积，没有汇聚，适合 28–64 像素的小图。

    Returns:
        输入 (B, in_channels, H, W)、输出得分 (B, num_classes) 的网络。

    Raises:
        ValueError: 某个参数不合适。

    Examples:
        >>> net = densenet(blocks=(4, 4, 4), width=1 / 4, small=True)  # 增长率 8
        >>> net(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    check_counts(num_classes=num_classes, in_channels=in_channels)
    check_counts(blocks=len(blocks), growth=growth)
    channels, growth = scaled(64, width), scaled(growth, width)
    net = nn.Sequential(stem(in_channels, channels, small=small))
    for number, num_layers in enumerate(blocks):
        check_counts(num_layers=num_layers)
        if number > 0:
            net.append(transition(channels, channels // 2))
            channels //= 2
        block = DenseBlock(num_layers, channels, growth)
        net.append(block)
        channels = block.out_channels
    return init_he_(net.extend([nn.BatchNorm2d(channels), nn.ReLU(), *head(channels, num_classes)]))
