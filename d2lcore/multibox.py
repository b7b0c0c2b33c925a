"""多框检测的损失与预测：难负例挖掘、平滑 L1、由网络到检测结果。

一个约定到底（SSD 的）：两项都先求和，再除以有目标的锚框数。锚框绝大多数是背景，对全部锚框求平均，
损失就只说明背景认得好不好。没有目标的图像当作有一个目标锚框：仍取最难的几个背景，除数仍加一，
网络由此学会在空白的图上不作声，损失也总是有限的数。
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lcore._arguments import check_count
from d2lcore.anchors import AnchorTargets, anchor_targets
from d2lcore.boxes import at_least_float32
from d2lcore.detection import Detections, detect
from d2lcore.training import _mode


class MultiBoxParts(NamedTuple):
    """一批图像的损失的两项，各是一个数：类别的与偏移的，见 :func:`multibox_loss`。

    Examples:
        >>> MultiBoxParts(torch.tensor(2.0), torch.tensor(1.0)).offsets
        tensor(1.)
    """

    classes: Tensor
    offsets: Tensor


def hard_negatives(losses: Tensor, mask: Tensor, ratio: int | None = 3) -> Tensor:
    """难负例挖掘：每张图像在背景锚框里取损失最大的几个，个数是有目标的锚框的 ``ratio`` 倍。

    一个目标锚框也没有的图像当作有一个，取 ``ratio`` 个；背景不够时全取。并列时取序号小的。

    Args:
        losses: 形状 (B, A)，每个锚框"是背景"的损失。
        mask: 形状 (B, A) 的布尔张量，有目标处为真。
        ratio: 背景与目标之比；``None`` 表示全部背景都要。

    Returns:
        形状 (B, A) 的布尔张量，选中的背景锚框为真。

    Raises:
        ValueError: 形状或 ``ratio`` 不对。
        TypeError: ``mask`` 不是布尔张量。

    Examples:
        >>> losses = torch.tensor([[0.1, 2.0, 0.3, 0.9, 0.2]])
        >>> mask = torch.tensor([[False, True, False, False, False]])
        >>> hard_negatives(losses, mask, ratio=2)
        tensor([[False, False,  True,  True, False]])
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"mask 是 {mask.dtype}，应是布尔张量。")
    if losses.ndim != 2 or mask.shape != losses.shape:
        raise ValueError(
            f"losses、mask 的形状是 {tuple(losses.shape)}、{tuple(mask.shape)}，应都是 (B, A)。"
        )
    if ratio is None:
        return ~mask
    check_count("ratio", ratio, 1)
    wanted = ratio * mask.sum(dim=1, keepdim=True).clamp(min=1)  # (B, 1)
    order = losses.masked_fill(mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)  # order 的逆：每个锚框排第几
    return (rank < wanted) & ~mask


def multibox_loss(
    scores: Tensor, offsets: Tensor, targets: AnchorTargets, *, negative_ratio: int | None = 3
) -> MultiBoxParts:
    """一批图像的损失，分成类别与偏移两项。

    类别：有目标的锚框与 :func:`hard_negatives` 选出的背景锚框，交叉熵之和。
    偏移：有目标的锚框，四个偏移的平滑 L1 之和（误差小于 1 是 e²/2，否则是 |e|-1/2）。
    两项都除以 N：各图像里有目标的锚框数之和，没有目标的图像算一个。

    半精度的输入升到 float32 再算，混合精度下可以直接用。

    Args:
        scores: 形状 (B, A, C+1)，没有 softmax，第 0 列是背景。
        offsets: 形状 (B, A, 4)。
        targets: 锚框的标签，见 :func:`~d2lcore.anchors.anchor_targets`。
        negative_ratio: 背景与目标之比；``None`` 表示不挖掘，全部背景都算。

    Raises:
        ValueError: 形状对不上，没有图像，类别比 C 多，或 ``negative_ratio`` 不对。

    Examples:
        >>> targets = AnchorTargets(torch.zeros(1, 3, 4), torch.tensor([[True, False, False]]),
        ...                         torch.tensor([[1, 0, 0]]))
        >>> scores = torch.zeros(1, 3, 2)  # 两个候选一样可能：每个锚框的交叉熵是 ln 2
        >>> offsets = torch.tensor([[[0.5, 0.0, 0.0, 3.0], [9.0] * 4, [9.0] * 4]])
        >>> parts = multibox_loss(scores, offsets, targets)
        >>> round(parts.classes.item(), 4), parts.offsets.item()  # 3 ln 2；0.5²/2 + (3 - 0.5)
        (2.0794, 2.625)
    """
    _check_shapes(scores, offsets, targets)
    highest = int(targets.classes.max()) if targets.classes.numel() else 0
    if highest >= scores.shape[2]:
        raise ValueError(
            f"有目标是第 {highest - 1} 类，而网络只给 {scores.shape[2] - 1} 类与背景打分；"
            f"类别应在 0 到 {scores.shape[2] - 2} 之间。"
        )
    mask, number = targets.mask, targets.mask.sum(dim=1).clamp(min=1).sum()
    scores, offsets = at_least_float32(scores), at_least_float32(offsets)
    losses = F.cross_entropy(scores.flatten(0, 1), targets.classes.flatten(), reduction="none")
    losses = losses.reshape(mask.shape)  # (B, A)；背景锚框的正是"是背景"的损失
    kept = mask | hard_negatives(losses.detach(), mask, negative_ratio)
    distance = F.smooth_l1_loss(
        offsets[mask], targets.offsets[mask].to(offsets.dtype), reduction="sum"
    )
    return MultiBoxParts(losses[kept].sum() / number, distance / number)


class MultiBoxLoss:
    """多框检测的损失，可以直接交给 :func:`~d2lcore.training.fit`（``loss=``）。

    由真实的框算出锚框的标签，再算 :func:`multibox_loss`，两项之和就是损失。
    它按有目标的锚框求平均，不是按样本；所以多进程训练时，各进程的目标数不同，
    梯度与一个进程算整个小批量的略有出入。

    Args:
        anchors: 形状 (A, 4)，次序与网络的输出相同，例如 ``net.anchors``。
        negative_ratio: 见 :func:`multibox_loss`。
        offset_weight: 偏移那一项乘以它。
        iou_threshold: 见 :func:`~d2lcore.anchors.assign_anchors`。

    Raises:
        ValueError: 某个参数不对。

    Examples:
        >>> from d2lcore.anchors import generate_anchors
        >>> anchors = generate_anchors((2, 2), sizes=[0.5], ratios=[1.0])
        >>> loss = MultiBoxLoss(anchors)
        >>> labels = torch.tensor([[[0.0, 0.0, 0.0, 0.5, 0.5]]])  # 恰好是第 0 个锚框
        >>> value = loss((torch.zeros(1, 4, 3), torch.zeros(1, 4, 4)), labels)
        >>> round(value.item(), 4)  # 4 ln 3：一个目标、三个背景
        4.3944
    """

    def __init__(
        self,
        anchors: Tensor,
        *,
        negative_ratio: int | None = 3,
        offset_weight: float = 1.0,
        iou_threshold: float = 0.5,
    ) -> None:
        if anchors.ndim != 2 or anchors.shape[1] != 4:
            raise ValueError(f"anchors 的形状是 {tuple(anchors.shape)}，应是 (A, 4)。")
        if negative_ratio is not None:
            check_count("negative_ratio", negative_ratio, 1)
        if not 0 <= offset_weight < float("inf"):
            raise ValueError(f"offset_weight={offset_weight} 不对：应是不小于 0 的有限小数。")
        self.anchors = anchors
        self.negative_ratio = negative_ratio
        self.offset_weight = offset_weight
        self.iou_threshold = iou_threshold

    def __call__(self, outputs: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        """网络的输出（得分 (B, A, C+1)、偏移 (B, A, 4)）与真实的框 (B, G, 5) → 一个数。

        Raises:
            TypeError: ``outputs`` 不是两个张量。
            ValueError: 形状或数值不对，见 :func:`multibox_loss` 与
                :func:`~d2lcore.anchors.anchor_targets`。
        """
        if not isinstance(outputs, tuple | list) or len(outputs) != 2:
            raise TypeError("网络应输出两个张量：得分 (B, A, C+1) 与偏移 (B, A, 4)。")
        scores, offsets = outputs
        anchors = self.anchors = self.anchors.to(labels.device)  # 换设备只在第一批
        targets = anchor_targets(anchors, labels, iou_threshold=self.iou_threshold)
        parts = multibox_loss(scores, offsets, targets, negative_ratio=self.negative_ratio)
        return parts.classes + self.offset_weight * parts.offsets


@torch.no_grad()
def predict(
    net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], **options: Any
) -> list[Detections]:
    """用检测网络预测一个数据集，次序与数据相同；量完恢复网络原来的模式。

    Args:
        net: 输出得分与偏移的网络，有 ``anchors``，例如 :class:`~d2lcore.models.ssd.SSD`。
        batches: 每次给出图像与标签（标签不用）；要与真实的框比对，就不能打乱次序。
        options: 交给 :func:`~d2lcore.detection.detect`。

    Returns:
        每张图像一个检测结果，在网络所在的设备上。

    Raises:
        TypeError: 网络没有 ``anchors``。
        ValueError: 见 :func:`~d2lcore.detection.detect`。

    Examples:
        >>> from d2lcore.models.ssd import SSD
        >>> _ = torch.manual_seed(0)
        >>> images, labels = torch.zeros(3, 1, 96, 96), torch.full((3, 1, 5), -1.0)
        >>> found = predict(SSD(num_classes=10), [(images, labels)], max_detections=7)
        >>> [len(one.scores) for one in found]
        [7, 7, 7]
    """
    anchors = getattr(net, "anchors", None)
    if not isinstance(anchors, Tensor):
        raise TypeError(f"{type(net).__name__} 没有张量 anchors：检测网络应有它的锚框 (A, 4)。")
    found: list[Detections] = []
    with _mode(net, training=False):
        for X, _ in batches:
            scores, offsets = net(X.to(anchors.device))
            found += detect(scores.softmax(dim=-1), offsets, anchors, **options)
    return found


def _check_shapes(scores: Tensor, offsets: Tensor, targets: AnchorTargets) -> None:
    """四个张量的前两维都是 (B, A)，B 不是 0。"""
    pairs = tuple(targets.mask.shape)
    good = scores.ndim == 3 and scores.shape[2] >= 2 and len(scores) > 0
    shapes = [scores.shape[:2], targets.classes.shape, offsets.shape[:2], targets.offsets.shape[:2]]
    good = good and all(tuple(shape) == pairs for shape in shapes)
    if not good or offsets.shape[2:] != (4,) or targets.offsets.shape[2:] != (4,):
        raise ValueError(
            f"得分、偏移的形状是 {tuple(scores.shape)}、{tuple(offsets.shape)}，"
            f"锚框的标签是 {pairs} 的；"
            "应是 (B, A, C+1)、(B, A, 4) 与 (B, A)，B 不小于 1，A 是锚框的个数。"
        )
