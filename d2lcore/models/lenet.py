"""LeNet：最早投入使用的卷积网络之一（LeCun 等，1998，Proc. IEEE 86(11)）。"""

from torch import nn

from d2lcore._arguments import check_counts
from d2lcore.models.parts import init_he_, init_xavier_, scaled


def lenet(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    variant: str = "classic",
    batch_norm: bool = False,
    width: float = 1.0,
    image_size: int = 28,
) -> nn.Sequential:
    """LeNet：两个卷积块，三个全连接层。缺省 28×28 输入，61,706 个参数。

    Args:
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        variant: ``"classic"`` 是 sigmoid、平均汇聚、Xavier 初始化；
            ``"modern"`` 是 ReLU、最大汇聚、He 初始化。
        batch_norm: 每个激活函数之前是否加批量规范化；加了，它前面的层就不带偏置。
        width: 通道数与隐藏单元数的倍数。
        image_size: 输入图像的边长，至少 12。

    Returns:
        输入 (B, in_channels, image_size, image_size)、输出得分 (B, num_classes) 的网络。

    Raises:
        ValueError: 某个参数不合适。

    Examples:
        >>> net = lenet()
        >>> sum(p.numel() for p in net.parameters())
        61706
    """
    check_counts(num_classes=num_classes, in_channels=in_channels)
    if variant not in ("classic", "modern"):
        raise ValueError(f"variant={variant!r} 不认识：应是 'classic' 或 'modern'。")
    if image_size < 12:
        raise ValueError(f"image_size={image_size} 太小：两个卷积块之后什么也不剩，应至少是 12。")
    modern = variant == "modern"
    activation: type[nn.Module] = nn.ReLU if modern else nn.Sigmoid
    pool = nn.MaxPool2d if modern else nn.AvgPool2d
    c1, c2, h1, h2 = (scaled(n, width) for n in (6, 16, 120, 84))
    side = (image_size // 2 - 4) // 2  # 28 → 28 → 14 → 10 → 5
    bias = not batch_norm  # 规范化会把偏置减掉

    def activated(norm: nn.Module) -> list[nn.Module]:
        return [norm, activation()] if batch_norm else [activation()]

    net = nn.Sequential(
        nn.Conv2d(in_channels, c1, 5, padding=2, bias=bias),
        *activated(nn.BatchNorm2d(c1)),
        pool(2, stride=2),
        nn.Conv2d(c1, c2, 5, bias=bias),
        *activated(nn.BatchNorm2d(c2)),
        pool(2, stride=2),
        nn.Flatten(),
        nn.Linear(c2 * side * side, h1, bias=bias),
        *activated(nn.BatchNorm1d(h1)),
        nn.Linear(h1, h2, bias=bias),
        *activated(nn.BatchNorm1d(h2)),
        nn.Linear(h2, num_classes),
    )
    return init_he_(net) if modern else init_xavier_(net)
