"""GoogLeNet：含并行连结的网络（Szegedy 等，2014，arXiv:1409.4842）。"""

import torch
from torch import Tensor, nn

from d2lcore._arguments import check_counts
from d2lcore.models.parts import conv_block, head, init_he_, scaled, stem

# 每个 Inception 块四条路的通道数：1×1；1×1→3×3；1×1→5×5；汇聚→1×1。按汇聚分成三段
STAGES = (
    ((64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64)),
    (
        (192, (96, 208), (16, 48), 64),
        (160, (112, 224), (24, 64), 64),
        (128, (128, 256), (24, 64), 64),
        (112, (144, 288), (32, 64), 64),
        (256, (160, 320), (32, 128), 128),
    ),
    ((256, (160, 320), (32, 128), 128), (384, (192, 384), (48, 128), 128)),
)


class Inception(nn.Module):
    """Inception 块：四条路各看各的尺度，输出在通道维上连结；高宽不变。

    Args:
        in_channels: 输入通道数。
        c1: 第一条路，1×1 卷积的输出通道数。
        c2: 第二条路，1×1 卷积、3×3 卷积的输出通道数。
        c3: 第三条路，1×1 卷积、5×5 卷积的输出通道数。
        c4: 第四条路，3×3 最大汇聚之后 1×1 卷积的输出通道数。
        batch_norm: 每个卷积之后是否加批量规范化。

    Examples:
        >>> block = Inception(192, 64, (96, 128), (16, 32), 32)
        >>> block(torch.rand(1, 192, 12, 12)).shape  # 64 + 128 + 32 + 32 = 256
        torch.Size([1, 256, 12, 12])
    """

    def __init__(
        self,
        in_channels: int,
        c1: int,
        c2: tuple[int, int],
        c3: tuple[int, int],
        c4: int,
        *,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()

        def conv(c_in: int, c_out: int, kernel: int) -> list[nn.Module]:
            return conv_block(c_in, c_out, kernel, padding=kernel // 2, batch_norm=batch_norm)

        self.path1 = nn.Sequential(*conv(in_channels, c1, 1))
        self.path2 = nn.Sequential(*conv(in_channels, c2[0], 1), *conv(*c2, 3))
        self.path3 = nn.Sequential(*conv(in_channels, c3[0], 1), *conv(*c3, 5))
        self.path4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), *conv(in_channels, c4, 1))
        self.out_channels = c1 + c2[1] + c3[1] + c4

    def forward(self, X: Tensor) -> Tensor:
        """输入 (B, in_channels, H, W)，输出 (B, out_channels, H, W)。"""
        return torch.cat([self.path1(X), self.path2(X), self.path3(X), self.path4(X)], dim=1)


def googlenet(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    batch_norm: bool = False,
    width: float = 1.0,
    small: bool = False,
) -> nn.Sequential:
    """GoogLeNet：两段普通卷积，三段共九个 Inception 块（没有辅助分类器与局部响应规范化）。

    缺省 5,977,530 个参数。

    Args:
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        batch_norm: 每个卷积之后是否加批量规范化。
        width: 通道数的倍数。
        small: ``True`` 时进 Inception 块之前只缩小到一半（缺省是八分之一），适合 28–64 像素的小图。

    Returns:
        输入 (B, in_channels, H, W)、输出得分 (B, num_classes) 的网络。

    Raises:
        ValueError: 某个参数不合适。

    Examples:
        >>> net = googlenet(width=1 / 8, small=True, batch_norm=True)
        >>> net(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    check_counts(num_classes=num_classes, in_channels=in_channels)

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, stride=2, padding=1)

    c1, channels = scaled(64, width), scaled(192, width)
    second = [
        *conv_block(c1, c1, 1, batch_norm=batch_norm),
        *conv_block(c1, channels, 3, padding=1, batch_norm=batch_norm),
    ]
    net = nn.Sequential(
        stem(in_channels, c1, small=small, batch_norm=batch_norm),
        nn.Sequential(*second, *([] if small else [pool()])),
    )
    for number, stage in enumerate(STAGES):
        layers: list[nn.Module] = []
        for p1, (p2a, p2b), (p3a, p3b), p4 in stage:
            n1, n2a, n2b, n3a, n3b, n4 = (scaled(n, width) for n in (p1, p2a, p2b, p3a, p3b, p4))
            block = Inception(channels, n1, (n2a, n2b), (n3a, n3b), n4, batch_norm=batch_norm)
            layers.append(block)
            channels = block.out_channels
        last = number == len(STAGES) - 1
        net.append(nn.Sequential(*layers, *([] if last else [pool()])))
    return init_he_(net.extend(head(channels, num_classes)))
