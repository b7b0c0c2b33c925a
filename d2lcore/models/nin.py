"""网络中的网络 NiN：1×1 卷积代替全连接层（Lin 等，2013，arXiv:1312.4400）。"""

from torch import nn

from d2lcore._arguments import check_counts
from d2lcore.layers import Size
from d2lcore.models.parts import conv_block, init_he_, scaled


def nin_block(
    in_channels: int,
    out_channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    *,
    batch_norm: bool = False,
    last: bool = False,
) -> nn.Sequential:
    """NiN 块：一个普通卷积，再两个 1×1 卷积，相当于在每个像素上放一个多层感知机。

    Args:
        in_channels: 输入通道数。
        out_channels: 输出通道数。
        kernel_size: 第一个卷积的核。
        stride: 第一个卷积的步幅。
        padding: 第一个卷积的填充。
        batch_norm: 每个卷积之后是否加批量规范化。
        last: ``True`` 时最后一个 1×1 卷积直接输出得分，后面没有规范化与 ReLU。

    Examples:
        >>> import torch
        >>> nin_block(1, 6, 5, stride=2)(torch.rand(1, 1, 13, 13)).shape
        torch.Size([1, 6, 5, 5])
    """
    final: list[nn.Module] = [nn.Conv2d(out_channels, out_channels, 1)]
    if not last:
        final = conv_block(out_channels, out_channels, 1, batch_norm=batch_norm)
    return nn.Sequential(
        *conv_block(in_channels, out_channels, kernel_size, stride, padding, batch_norm=batch_norm),
        *conv_block(out_channels, out_channels, 1, batch_norm=batch_norm),
        *final,
    )


def nin(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    batch_norm: bool = False,
    width: float = 1.0,
    small: bool = False,
) -> nn.Sequential:
    """NiN：四个 NiN 块，没有全连接层；最后一块每个类别一个通道，全局平均就是得分。

    缺省 1,992,166 个参数，不到 AlexNet 的二十分之一。

    最后一块**不以 ReLU 结尾**。常见的写法在全局平均之前还有一个 ReLU，得分于是都不小于 0；
    一旦某一类在所有位置上都是负数，它的得分恒为 0，自己的梯度也恒为 0；
    十类都这样时，所有的梯度都是 0，训练就一直停在 10% 的精度上。去掉它，形状与参数个数都不变。
    ``batch_norm=True`` 让训练更稳。

    Args:
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        batch_norm: 除最后的得分之外，每个卷积之后是否加批量规范化。
        width: 前三块通道数的倍数。
        small: ``True`` 时第一个卷积从 11×11 步幅 4 换成 5×5 步幅 1，适合 28–64 像素的小图。

    Returns:
        输入 (B, in_channels, H, W)、输出得分 (B, num_classes) 的网络。

    Raises:
        ValueError: 某个参数不合适。

    Examples:
        >>> sum(p.numel() for p in nin().parameters())
        1992166
    """
    check_counts(num_classes=num_classes, in_channels=in_channels)
    c1, c2, c3 = (scaled(n, width) for n in (96, 256, 384))
    kernel, stride, padding = (5, 1, 2) if small else (11, 4, 0)
    return init_he_(
        nn.Sequential(
            nin_block(in_channels, c1, kernel, stride, padding, batch_norm=batch_norm),
            nn.MaxPool2d(3, stride=2),
            nin_block(c1, c2, 5, padding=2, batch_norm=batch_norm),
            nn.MaxPool2d(3, stride=2),
            nin_block(c2, c3, 3, padding=1, batch_norm=batch_norm),
            nn.MaxPool2d(3, stride=2),
            nn.Dropout(0.5),
            nin_block(c3, num_classes, 3, padding=1, batch_norm=batch_norm, last=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
    )
