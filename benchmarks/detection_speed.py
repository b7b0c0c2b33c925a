"""检测要多久：锚框、标签、由输出到结果，对 d2l 自己的函数；非极大值抑制，对 torchvision 自己。

输入仿照真的训练与预测：32 张图像，每张 5,444 个锚框（d2l 的 TinySSD 的五种尺度）、8 个目标；
网络的输出由标签加噪声造出，多数锚框是背景，每张图像有几十到几百个候选。
"""

import importlib.util
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.data_speed import SHIPPED, Item
from d2lcore.anchors import anchor_targets, generate_anchors
from d2lcore.detection import detect, nms

IMAGES, OBJECTS, CLASSES = 32, 8, 10
# 特征图的边长 → 锚框的两种大小
SCALES = {32: (0.2, 0.272), 16: (0.37, 0.447), 8: (0.54, 0.619), 4: (0.71, 0.79), 1: (0.88, 0.961)}
RATIOS = (1.0, 2.0, 0.5)
WHOLE_IMAGE = (561, 728)  # 在这么大的特征图的每个位置上生成锚框，共 200 多万个
NMS_LIMIT = 1 / 1.1  # 至多花 torchvision 的 1.1 倍时间
IOU_THRESHOLD = 0.45


def ssd_anchors() -> Tensor:
    """五种尺度的锚框，形状 (5444, 4)。"""
    return torch.cat([generate_anchors((n, n), sizes, RATIOS) for n, sizes in SCALES.items()])


def some_labels(generator: torch.Generator) -> Tensor:
    """每张图像 8 个目标，形状 (32, 8, 5)。"""
    shape = (IMAGES, OBJECTS)
    corners = torch.rand(*shape, 2, generator=generator) * 0.7
    sizes = torch.rand(*shape, 2, generator=generator) * 0.25 + 0.1
    classes = torch.randint(CLASSES, (*shape, 1), generator=generator)
    return torch.cat([classes, corners, (corners + sizes).clamp(max=1)], dim=2)


def some_outputs(
    anchors: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """训练得不错的网络会给出的概率 (32, 5444, 11) 与偏移 (32, 5444, 4)：标签加上噪声。

    背景处的偏移不进损失，没有学过，噪声大：标准差取 1，那是偏移本来的尺度。
    """
    targets = anchor_targets(anchors, labels)
    scores = torch.randn(*targets.classes.shape, CLASSES + 1, generator=generator)
    scores[..., 0] += 5 + math.log(CLASSES)
    sure = torch.where(targets.mask, 8.0, 0.0)
    scores.scatter_add_(2, targets.classes.unsqueeze(2), sure.unsqueeze(2))
    noise = torch.randn(targets.offsets.shape, generator=generator)
    noise *= torch.where(targets.mask, 0.3, 1.0).unsqueeze(2)
    return scores.softmax(dim=2), targets.offsets + noise


def items(d2l: Any) -> list[Item]:
    """``d2l`` 是 ``d2l.torch`` 模块，``None`` 表示没装；``theirs`` 的键与别处一样，指"原样"。"""
    generator = torch.Generator().manual_seed(0)
    anchors = ssd_anchors()
    labels = some_labels(generator)
    probabilities, offsets = some_outputs(anchors, labels, generator)
    by_class = probabilities.transpose(1, 2).contiguous()  # d2l 要 (B, C+1, A)
    feature_map = torch.zeros(1, 1, *WHOLE_IMAGE)
    sizes, ratios = [0.75, 0.5, 0.25], [1.0, 2.0, 0.5]
    work: list[tuple[str, float, Callable[[], object], Callable[[], object]]] = [
        (
            "检测结果 32×5,444",
            150.0,
            partial(detect, probabilities, offsets, anchors),
            lambda: d2l.multibox_detection(
                by_class, offsets.flatten(1), anchors[None], IOU_THRESHOLD
            ),
        ),
        (
            "锚框标签 32×5,444×8，5 遍",
            3.5,
            partial(_times, 5, partial(anchor_targets, anchors, labels)),
            partial(_times, 5, lambda: d2l.multibox_target(anchors[None], labels)),
        ),
        (
            "生成 200 万个锚框",
            1.5,
            partial(generate_anchors, WHOLE_IMAGE, sizes, ratios),
            lambda: d2l.multibox_prior(feature_map, sizes, ratios),
        ),
    ]
    made = [
        Item(name, IMAGES, target, ours, {} if d2l is None else {SHIPPED: theirs})
        for name, target, ours, theirs in work
    ]
    return made + nms_items()


def nms_items() -> list[Item]:
    """与 torchvision 自己比：我们多做的只有检查形状之类。没装它就不比。"""
    if importlib.util.find_spec("torchvision") is None:
        return []
    from torchvision import ops

    generator = torch.Generator().manual_seed(0)
    made = []
    for count, repeat in ((1_000, 20), (10_000, 1)):
        corners = torch.rand(count, 2, generator=generator)
        boxes = torch.cat([corners, corners + torch.rand(count, 2, generator=generator) / 4], dim=1)
        scores = torch.rand(count, generator=generator)
        labels = torch.randint(CLASSES, (count,), generator=generator)
        ours = partial(nms, boxes, scores, IOU_THRESHOLD, labels)
        theirs = partial(ops.batched_nms, boxes, scores, labels, IOU_THRESHOLD)
        made.append(
            Item(
                f"NMS {count:,} 个框，{repeat} 遍",
                1,
                NMS_LIMIT,
                partial(_times, repeat, ours),
                {SHIPPED: partial(_times, repeat, theirs)},
                peer="torchvision",
            )
        )
    return made


def _times(count: int, work: Callable[[], object]) -> None:
    """太快的活多做几遍，一遍的时间才量得准。"""
    for _ in range(count):
        work()
