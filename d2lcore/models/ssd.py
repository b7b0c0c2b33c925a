"""SSD：单发多框检测（Liu 等，2016，arXiv:1512.02325）的小号，从随机的参数开始训练。

骨干网络由"卷积、批量规范化、ReLU"的块组成，每块高宽减半。最后几张大小不同的特征图各接两个
3×3 卷积：一个给出类别的得分，一个给出偏移。特征图的每个位置负责自己的几个锚框，
锚框的次序与输出的次序相同：先是最大的特征图，图内先行后列，同一位置的锚框相邻。
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from d2lcore._arguments import check_counts
from d2lcore.anchors import generate_anchors
from d2lcore.models.parts import conv_block, init_he_

# 每张特征图的锚框大小（相对于图像的高），从最大的特征图（最小的目标）到最小的
SIZES = ((0.22, 0.32), (0.38, 0.5), (0.6, 0.75))
RATIOS = (1.0, 2.0, 0.5)


def class_predictor(channels: int, num_anchors: int, num_classes: int) -> nn.Conv2d:
    """类别的预测：每个位置 ``num_anchors`` 个锚框，各给背景与 ``num_classes`` 个类别一个得分。

    Args:
        channels: 特征图的通道数。
        num_anchors: 每个位置的锚框数。
        num_classes: 类别数，不算背景。

    Returns:
        3×3 卷积，高宽不变，输出 num_anchors·(num_classes+1) 个通道；同一个锚框的得分相邻。

    Examples:
        >>> class_predictor(8, num_anchors=5, num_classes=10)(torch.zeros(2, 8, 20, 20)).shape
        torch.Size([2, 55, 20, 20])
    """
    return nn.Conv2d(channels, num_anchors * (num_classes + 1), kernel_size=3, padding=1)


def offset_predictor(channels: int, num_anchors: int) -> nn.Conv2d:
    """偏移的预测：每个位置 ``num_anchors`` 个锚框，各给四个偏移。

    Args:
        channels: 特征图的通道数。
        num_anchors: 每个位置的锚框数。

    Returns:
        3×3 卷积，高宽不变，输出 4·num_anchors 个通道；同一个锚框的四个偏移相邻。

    Examples:
        >>> offset_predictor(8, num_anchors=5)(torch.zeros(2, 8, 20, 20)).shape
        torch.Size([2, 20, 20, 20])
    """
    return nn.Conv2d(channels, num_anchors * 4, kernel_size=3, padding=1)


def concat_predictions(maps: Sequence[Tensor], width: int) -> Tensor:
    """把几个尺度的输出排成一列锚框：通道移到最后，展平，再首尾相接。

    通道必须先移到最后：展平时最后一维变得最快，每 ``width`` 个相邻的数才属于同一个锚框。

    Args:
        maps: 每个尺度的输出 (B, a·width, h, w)，各尺度的 a、h、w 可以不同。
        width: 每个锚框几个数：类别是 C+1，偏移是 4。

    Returns:
        形状 (B, A, width)，A 是各尺度 h·w·a 之和；次序与
        :func:`~d2lcore.anchors.generate_anchors` 的相同。

    Raises:
        ValueError: 一个尺度也没有，或通道数不是 ``width`` 的倍数。

    Examples:
        >>> maps = [torch.zeros(2, 55, 20, 20), torch.zeros(2, 33, 10, 10)]
        >>> concat_predictions(maps, width=11).shape  # 20·20·5 + 10·10·3
        torch.Size([2, 2300, 11])
    """
    if len(maps) == 0:
        raise ValueError("maps 是空的，至少要有一个尺度的输出。")
    for Y in maps:
        if Y.ndim != 4 or Y.shape[1] % width != 0:
            raise ValueError(
                f"有一个尺度的输出形状是 {tuple(Y.shape)}，应是 (B, 通道, 高, 宽)，"
                f"通道数是 width={width} 的倍数。"
            )
    return torch.cat([Y.permute(0, 2, 3, 1).reshape(len(Y), -1, width) for Y in maps], dim=1)


def down_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """两组"3×3 卷积、批量规范化、ReLU"，前一组的步幅是 2：高宽减半（向上取整）。

    用步幅而不用汇聚来减半，大图上的卷积少算四分之三，CPU 上才训练得动。

    Args:
        in_channels: 输入通道数。
        out_channels: 输出通道数。

    Examples:
        >>> down_block(16, 32)(torch.zeros(2, 16, 48, 48)).shape
        torch.Size([2, 32, 24, 24])
    """
    return nn.Sequential(
        *conv_block(in_channels, out_channels, 3, stride=2, padding=1, batch_norm=True),
        *conv_block(out_channels, out_channels, 3, padding=1, batch_norm=True),
    )


class SSD(nn.Module):
    """单发多框检测网络。缺省 1×96×96 的输入，756 个锚框。

    输入 (B, in_channels, image_size, image_size)，取值 0 到 1；输出两个张量：得分
    (B, A, num_classes+1)，第 0 列是背景，没有 softmax；偏移 (B, A, 4)。
    损失见 :class:`~d2lcore.multibox.MultiBoxLoss`，预测见 :func:`~d2lcore.multibox.predict`。

    Args:
        num_classes: 类别数，不算背景。
        in_channels: 输入图像的通道数。
        image_size: 输入图像的边长。
        channels: 骨干网络各块的输出通道数；每块高宽减半，最后一块的输出是最大的特征图。
        extra: 其余各尺度的通道数，一个尺度一块；可以是空的，那就只有一个尺度。
        sizes: 每个尺度的锚框大小，相对于图像的边长；个数是 ``extra`` 的加一。
        ratios: 各尺度共用的宽高比。

    Attributes:
        anchors: 全部锚框 (A, 4)，次序与输出相同；随网络换设备，不写进 ``state_dict``。
        feature_sizes: 各尺度特征图的边长。

    Raises:
        ValueError: 某个参数不合适。

    Examples:
        >>> net = SSD(num_classes=10)
        >>> scores, offsets = net(torch.zeros(2, 1, 96, 96))
        >>> scores.shape, offsets.shape, net.anchors.shape
        (torch.Size([2, 756, 11]), torch.Size([2, 756, 4]), torch.Size([756, 4]))
        >>> net.feature_sizes
        [12, 6, 3]
    """

    anchors: Tensor

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: int = 96,
        channels: Sequence[int] = (8, 32, 64),
        extra: Sequence[int] = (64, 64),
        sizes: Sequence[Sequence[float]] = SIZES,
        ratios: Sequence[float] = RATIOS,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        if len(channels) == 0 or len(sizes) != len(extra) + 1:
            raise ValueError(
                f"channels 有 {len(channels)} 块，extra 有 {len(extra)} 块，sizes 有 {len(sizes)} "
                "组；channels 不能空，sizes 应比 extra 多一组，每个尺度一组。"
            )
        self.num_classes, self.image_size = num_classes, image_size
        widths = [in_channels, *channels, *extra]
        blocks = [down_block(*pair) for pair in pairwise(widths)]
        # stages[k] 给出第 k 个尺度的特征图：第 0 个是骨干网络，其余各是一块
        self.stages = nn.ModuleList(
            [nn.Sequential(*blocks[: len(channels)]), *blocks[len(channels) :]]
        )
        for stage in self.stages:
            init_he_(stage)  # type: ignore[arg-type]
        # 减半 m 次、每次向上取整，就是除以 2 的 m 次方再向上取整
        self.feature_sizes = [-(-image_size >> len(channels) + k) for k in range(len(sizes))]
        self.class_heads, self.offset_heads = nn.ModuleList(), nn.ModuleList()
        for width, scale in zip([channels[-1], *extra], sizes, strict=True):
            num_anchors = len(scale) + len(ratios) - 1
            self.class_heads.append(class_predictor(width, num_anchors, num_classes))
            self.offset_heads.append(offset_predictor(width, num_anchors))
        anchors = [
            generate_anchors((side, side), scale, ratios)
            for side, scale in zip(self.feature_sizes, sizes, strict=True)
        ]
        self.register_buffer("anchors", torch.cat(anchors), persistent=False)

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """图像 (B, C, H, W) → 得分 (B, A, num_classes+1) 与偏移 (B, A, 4)。

        Raises:
            ValueError: 图像的大小与锚框的不符。
        """
        if X.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"输入的形状是 {tuple(X.shape)}，而锚框是照 {self.image_size}×{self.image_size} "
                "的图像铺的；请缩放图像，或在造网络时改 image_size。"
            )
        scores, offsets = [], []
        for stage, to_class, to_offset in zip(
            self.stages, self.class_heads, self.offset_heads, strict=True
        ):
            X = stage(X)
            scores.append(to_class(X))
            offsets.append(to_offset(X))
        return (
            concat_predictions(scores, self.num_classes + 1),
            concat_predictions(offsets, 4),
        )
