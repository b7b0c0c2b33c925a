"""残差网络 ResNet（He 等，2015，arXiv:1512.03385；先激活的版本：2016，arXiv:1603.05027）。"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from d2lcore._arguments import check_counts
from d2lcore.models.parts import head, init_he_, scaled, stem

RESNET18 = ((2, 64), (2, 128), (2, 256), (2, 512))  # 每段（残差块数，通道数）
RESNET34 = ((3, 64), (4, 128), (6, 256), (3, 512))


class Residual(nn.Module):
    """残差块：两个 3×3 卷积的输出加上输入，再 ReLU。

    步幅不为 1、或通道数改变时，输入经过一个 1×1 卷积（与批量规范化）再相加，否则两者形状不合；
    需不需要由参数决定，不必另外声明。卷积后面都有批量规范化，所以都不带偏置。

    Args:
        in_channels: 输入通道数。
        out_channels: 输出通道数。
        stride: 第一个卷积的步幅；2 使高宽减半。

    Examples:
        >>> import torch
        >>> X = torch.rand(4, 3, 6, 6)
        >>> Residual(3, 3)(X).shape, Residual(3, 6, stride=2)(X).shape
        (torch.Size([4, 3, 6, 6]), torch.Size([4, 6, 3, 3]))
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, X: Tensor) -> Tensor:
        """输入 (B, in_channels, H, W)，输出 (B, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)。"""
        Y = F.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        return F.relu(Y + self.shortcut(X))


class PreActResidual(nn.Module):
    """先激活的残差块：规范化与 ReLU 在卷积**之前**，相加之后不再激活，输入可以一路不变地传下去。

    形状改变时，捷径是一个 1×1 卷积，作用在激活之后的输入上。

    Args:
        in_channels: 输入通道数。
        out_channels: 输出通道数。
        stride: 第一个卷积的步幅；2 使高宽减半。

    Examples:
        >>> import torch
        >>> PreActResidual(3, 6, stride=2)(torch.rand(4, 3, 6, 6)).shape
        torch.Size([4, 6, 3, 3])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, X: Tensor) -> Tensor:
        """输入 (B, in_channels, H, W)，输出 (B, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)。"""
        Z = F.relu(self.bn1(X))
        Y = self.conv1(Z)
        Y = self.conv2(F.relu(self.bn2(Y)))
        return Y + (X if self.shortcut is None else self.shortcut(Z))


def resnet(
    stages: Sequence[tuple[int, int]] = RESNET18,
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    preact: bool = False,
    width: float = 1.0,
    small: bool = False,
) -> nn.Sequential:
    """由若干段残差块组成的网络；从第二段起，每段开头高宽减半。

    Args:
        stages: 每段的（残差块数，通道数），例如 ``((2, 16), (2, 32), (2, 64))``。
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        preact: 用 :class:`PreActResidual` 代替 :class:`Residual`；这时最后补一次规范化与 ReLU。
        width: 通道数的倍数。
        small: ``True`` 时开头只有 3×3 步幅 2 的卷积，没有汇聚，适合 28–64 像素的小图。

    Returns:
        输入 (B, in_channels, H, W)、输出得分 (B, num_classes) 的网络。

    Raises:
        ValueError: 某个参数不合适。

    Examples:
        >>> import torch
        >>> net = resnet(((2, 16), (2, 32), (2, 64)), small=True)
        >>> net(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    check_counts(num_classes=num_classes, in_channels=in_channels, stages=len(stages))
    block = PreActResidual if preact else Residual
    channels = scaled(stages[0][1], width)
    net = nn.Sequential(stem(in_channels, channels, small=small))
    for number, (num_blocks, out) in enumerate(stages):
        check_counts(num_blocks=num_blocks)
        out_channels, stride = scaled(out, width), 1 if number == 0 else 2
        first = block(channels, out_channels, stride)
        rest = [block(out_channels, out_channels) for _ in range(num_blocks - 1)]
        net.append(nn.Sequential(first, *rest))
        channels = out_channels
    if preact:
        net.extend([nn.BatchNorm2d(channels), nn.ReLU()])
    return init_he_(net.extend(head(channels, num_classes)))


def resnet18(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    preact: bool = False,
    width: float = 1.0,
    small: bool = False,
) -> nn.Sequential:
    """ResNet-18：1 + 4·2·2 + 1 = 18 层。缺省 11,175,370 个参数；选项见 :func:`resnet`。

    3 通道、1000 类时是 11,689,512 个，与 torchvision 的相同。

    Args:
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        preact: 用先激活的残差块。
        width: 通道数的倍数。
        small: 用适合 28–64 像素小图的开头。

    Examples:
        >>> sum(p.numel() for p in resnet18().parameters())
        11175370
    """
    return resnet(RESNET18, num_classes, in_channels, preact=preact, width=width, small=small)


def resnet34(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    preact: bool = False,
    width: float = 1.0,
    small: bool = False,
) -> nn.Sequential:
    """ResNet-34：1 + 2·(3 + 4 + 6 + 3) + 1 = 34 层。缺省 21,283,530 个参数；选项见 :func:`resnet`。

    3 通道、1000 类时是 21,797,672 个，与 torchvision 的相同。

    Args:
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        preact: 用先激活的残差块。
        width: 通道数的倍数。
        small: 用适合 28–64 像素小图的开头。

    Examples:
        >>> sum(p.numel() for p in resnet34().parameters())
        21283530
    """
    return resnet(RESNET34, num_classes, in_channels, preact=preact, width=width, small=small)
