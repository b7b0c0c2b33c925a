"""VGG：用同样的块搭网络，3×3 卷积叠几层再减半（Simonyan、Zisserman，2014，arXiv:1409.1556）。"""

from torch import nn

from d2lcore._arguments import check_counts
from d2lcore.models.parts import conv_block, dense_head, init_he_, scaled

VGG11 = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))  # 每块（卷积层数，输出通道数）


def vgg_block(
    num_convs: int,
    in_channels: int,
    out_channels: int,
    *,
    batch_norm: bool = False,
    pool: bool = True,
) -> nn.Sequential:
    """VGG 块：若干个保持高宽的 3×3 卷积，最后 2×2 最大汇聚，高宽减半。

    Args:
        num_convs: 卷积层数。
        in_channels: 输入通道数。
        out_channels: 输出通道数。
        batch_norm: 每个卷积之后是否加批量规范化。
        pool: 是否以汇聚结尾。

    Examples:
        >>> import torch
        >>> vgg_block(2, 3, 8)(torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 8, 16, 16])
    """
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers += conv_block(in_channels, out_channels, 3, padding=1, batch_norm=batch_norm)
        in_channels = out_channels
    return nn.Sequential(*layers, *([nn.MaxPool2d(2, stride=2)] if pool else []))


def vgg11(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    batch_norm: bool = False,
    width: float = 1.0,
    small: bool = False,
    image_size: int | None = None,
    hidden: int | None = None,
) -> nn.Sequential:
    """VGG-11：五个 VGG 块（八个卷积层）、三个全连接层。

    缺省 224×224 输入，128,806,154 个参数；3 通道、1000 类时是论文的 1.33 亿个。
    没有批量规范化的 VGG 不容易从头训练：论文先训练浅的，这里靠 He 初始化。

    Args:
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        batch_norm: 每个卷积之后是否加批量规范化。
        width: 通道数与隐藏单元数的倍数。
        small: ``True`` 时第一块不汇聚，28 像素的小图才够五块用；32 像素以上可以不用。
        image_size: 输入图像的边长；缺省 224，``small`` 时 28。
        hidden: 两个全连接隐藏层各有几个单元；缺省 4096 乘以 ``width``。

    Returns:
        输入 (B, in_channels, image_size, image_size)、输出得分 (B, num_classes) 的网络。

    Raises:
        ValueError: 某个参数不合适，例如图像太小。

    Examples:
        >>> import torch
        >>> vgg11(width=1 / 8, batch_norm=True, image_size=32)(torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 10])
    """
    hidden = scaled(4096, width) if hidden is None else hidden
    check_counts(num_classes=num_classes, in_channels=in_channels, hidden=hidden)
    if image_size is None:
        image_size = 28 if small else 224
    side = image_size // (16 if small else 32)  # 四次或五次汇聚，每次减半
    if side < 1:
        raise ValueError(
            f"image_size={image_size} 太小：汇聚之后什么也不剩，应至少是 32（small=True 时 16）。"
        )
    blocks: list[nn.Module] = []
    for number, (num_convs, channels) in enumerate(VGG11):
        out_channels, pool = scaled(channels, width), not (small and number == 0)
        blocks.append(
            vgg_block(num_convs, in_channels, out_channels, batch_norm=batch_norm, pool=pool)
        )
        in_channels = out_channels
    inputs = in_channels * side * side
    return init_he_(nn.Sequential(*blocks, *dense_head(inputs, hidden, num_classes)))
