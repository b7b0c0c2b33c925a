"""AlexNet：把 LeNet 做大做深，换成 ReLU 与暂退法（Krizhevsky 等，2012，NeurIPS）。"""

from torch import nn

from d2lcore._arguments import check_counts
from d2lcore.layers import conv_output_size
from d2lcore.models.parts import conv_block, dense_head, init_he_, scaled


def alexnet(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    width: float = 1.0,
    small: bool = False,
    image_size: int | None = None,
    hidden: int | None = None,
) -> nn.Sequential:
    """AlexNet：五个卷积层、三个全连接层（一块显卡的版本，没有局部响应规范化）。

    缺省 224×224 输入，46,764,746 个参数，九成以上在全连接层。

    Args:
        num_classes: 类别数。
        in_channels: 输入图像的通道数。
        width: 通道数与隐藏单元数的倍数。
        small: ``True`` 时第一个卷积从 11×11 步幅 4 换成 5×5 步幅 1，适合 28–64 像素的小图。
        image_size: 输入图像的边长；缺省 224，``small`` 时 28。
        hidden: 两个全连接隐藏层各有几个单元；缺省 4096 乘以 ``width``。

    Returns:
        输入 (B, in_channels, image_size, image_size)、输出得分 (B, num_classes) 的网络。

    Raises:
        ValueError: 某个参数不合适，例如图像太小。

    Examples:
        >>> net = alexnet(width=1 / 3, small=True, hidden=256)  # CPU 上也训练得动
        >>> sum(p.numel() for p in net.parameters())
        568212
    """
    hidden = scaled(4096, width) if hidden is None else hidden
    check_counts(num_classes=num_classes, in_channels=in_channels, hidden=hidden)
    c1, c2, c3 = (scaled(n, width) for n in (96, 256, 384))
    if image_size is None:
        image_size = 28 if small else 224
    if image_size < (15 if small else 65):
        raise ValueError(
            f"image_size={image_size} 太小：汇聚之后什么也不剩，应至少是 65（small=True 时 15）。"
        )
    kernel, stride, padding = (5, 1, 2) if small else (11, 4, 1)
    side = conv_output_size(image_size, kernel, stride, padding)
    for _ in range(3):  # 只有第一个卷积与三个汇聚改变高宽
        side = conv_output_size(side, kernel=3, stride=2)
    return init_he_(
        nn.Sequential(
            *conv_block(in_channels, c1, kernel, stride, padding),
            nn.MaxPool2d(3, stride=2),
            *conv_block(c1, c2, 5, padding=2),
            nn.MaxPool2d(3, stride=2),
            *conv_block(c2, c3, 3, padding=1),
            *conv_block(c3, c3, 3, padding=1),
            *conv_block(c3, c2, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
            *dense_head(c2 * side * side, hidden, num_classes),
        )
    )
