"""锚框：生成、分给真实的框、标记类别与偏移。

锚框用占图像宽高的比例（0–1）表示，坐标约定见 :mod:`d2lcore.boxes`。做法依 SSD（Liu 等，2016）：
每个锚框是一个训练样本，它的标签是"哪一类（或背景）"与"离真实的框差多少"。
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from d2lcore.boxes import box_iou, center_to_corner, check_boxes, corner_to_center

# 偏移各除以它（中心、宽高）：使训练时偏移的标准差大致为 1。数值是 SSD 的
VARIANCES = (0.1, 0.1, 0.2, 0.2)
PAIRS_AT_ONCE = 2**17  # 一次算多少对交并比：0.5 MB，放得进多数处理器的二级缓存


class AnchorTargets(NamedTuple):
    """一批锚框的标签：偏移 (B, A, 4)、有无目标 (B, A)、类别 (B, A)，见 :func:`anchor_targets`。

    Examples:
        >>> anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
        >>> nothing = torch.full((1, 3, 5), -1.0)  # 一张没有目标的图像
        >>> anchor_targets(anchors, nothing).mask
        tensor([[False, False]])
    """

    offsets: Tensor
    mask: Tensor
    classes: Tensor


def generate_anchors(
    feature_size: tuple[int, int],
    sizes: Sequence[float],
    ratios: Sequence[float],
    *,
    aspect: float | None = None,
) -> Tensor:
    """以特征图每个位置的中心为中心，生成 n+m-1 个锚框：(s1,r1) … (sn,r1), (s1,r2) … (s1,rm)。

    大小 s 相对于图像的**高**，宽高比 r 按**像素**算：锚框高 s/√r·H 像素、宽 s·√r·H 像素，
    面积是 (s·H)²，与 r 无关。换成比例，宽是 s·√r·H/W，高是 s/√r。
    锚框可以伸出图像，这里不裁：裁了，形状就不是想要的了。

    Args:
        feature_size: 特征图的 (高, 宽)。
        sizes: n 个大小，大于 0。
        ratios: m 个宽高比，大于 0。
        aspect: 图像的宽高比 W/H；缺省认为它与特征图的相同。

    Returns:
        形状 (高·宽·(n+m-1), 4)，缺省浮点类型；位置按先行后列，同一位置的锚框相邻。

    Raises:
        ValueError: 某个参数不是正数，或 ``sizes``、``ratios`` 是空的。

    Examples:
        >>> generate_anchors((1, 2), sizes=[0.5], ratios=[1.0])
        tensor([[0.1250, 0.2500, 0.3750, 0.7500],
                [0.6250, 0.2500, 0.8750, 0.7500]])
    """
    if len(feature_size) != 2 or not all(isinstance(n, int) and n > 0 for n in feature_size):
        raise ValueError(f"feature_size={feature_size} 不对：应是特征图的 (高, 宽)，两个正整数。")
    height, width = feature_size
    _check_positive("sizes", sizes)
    _check_positive("ratios", ratios)
    aspect = width / height if aspect is None else aspect
    _check_positive("aspect", [aspect])
    shapes = [(s, ratios[0]) for s in sizes] + [(sizes[0], r) for r in ratios[1:]]
    half_w = torch.tensor([s * math.sqrt(r) / aspect / 2 for s, r in shapes])
    half_h = torch.tensor([s / math.sqrt(r) / 2 for s, r in shapes])
    x = (torch.arange(width).reshape(-1, 1) + 0.5) / width  # (宽, 1)
    y = (torch.arange(height).reshape(-1, 1, 1) + 0.5) / height  # (高, 1, 1)
    anchors = torch.empty(height, width, len(shapes), 4)
    anchors[..., 0], anchors[..., 2] = x - half_w, x + half_w
    anchors[..., 1], anchors[..., 3] = y - half_h, y + half_h
    return anchors.reshape(-1, 4)


def assign_anchors(
    anchors: Tensor, boxes: Tensor, iou_threshold: float = 0.5, *, valid: Tensor | None = None
) -> Tensor:
    """给每个锚框找它负责的真实的框，找不到的是背景。

    规则（SSD 的，每种特殊情形只有一种结果）：

    1. 与某个真实的框的交并比 ≥ 阈值，就负责交并比最大的那个；并列时取序号最小的真实的框。
    2. 为了少漏掉目标，再让每个真实的框尽量至少有一个锚框：在剩下的真实的框与锚框里反复取交并比
       最大的一对配上（可以改掉第 1 步的结果），交并比须大于 0；并列时先取序号小的锚框，
       再取序号小的真实的框。一个锚框只这样配一次，真实的框比锚框多时，剩下的就没有锚框。

    面积为零的框与谁的交并比都是 0，所以永远配不上。

    Args:
        anchors: 形状 (A, 4)。
        boxes: 形状 (…, G, 4)，G 可以是 0。
        iou_threshold: 在 (0, 1] 之内。
        valid: 形状 (…, G) 的布尔张量，哪些真实的框算数；不算数的不管写着什么都不看。

    Returns:
        形状 (…, A) 的 int64：真实的框的序号，-1 是背景。

    Raises:
        TypeError: 框不是浮点张量，或 ``valid`` 不是布尔张量。
        ValueError: 形状、阈值或算数的框不对。

    Examples:
        >>> anchors = torch.tensor([[0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 1.0, 0.9], [0.0, 0.5, 0.2, 1]])
        >>> boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.0, 0.8, 0.2, 1.0]])
        >>> assign_anchors(anchors, boxes)
        tensor([-1,  0,  1])
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold={iou_threshold} 不对：应大于 0、不大于 1。")
    _check_valid(boxes, valid)
    if valid is not None:
        boxes = boxes.masked_fill(~valid.unsqueeze(-1), 0)  # 零面积：谁也配不上
    check_boxes(anchors, "anchors")
    check_boxes(boxes)
    if anchors.ndim != 2 or boxes.ndim < 2:
        raise ValueError(
            f"anchors 的形状是 {tuple(anchors.shape)}，boxes 的是 {tuple(boxes.shape)}；"
            "应分别是 (A, 4) 与 (…, G, 4)。"
        )
    shape = (*boxes.shape[:-2], len(anchors))
    if boxes.shape[-2] == 0 or len(anchors) == 0:
        return torch.full(shape, -1, device=boxes.device)
    boxes = boxes.reshape(-1, *boxes.shape[-2:])  # (B, G, 4)，B 是前面各维之积
    best, assigned, top, anchor = _best_pairs(anchors, boxes)
    assigned.masked_fill_(best < iou_threshold, -1)
    _force_matches(anchors, boxes, top, anchor, assigned)
    return assigned.reshape(shape)


def _best_pairs(anchors: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
    """每个锚框最好的真实的框、每个真实的框最好的锚框：(交并比, 序号) 各 (B, A) 与 (B, G)。

    一次只算几张图像：整批的交并比表放不进缓存，向系统领那么大的内存也比算它还慢。
    """
    pairs = boxes.shape[1] * len(anchors)
    found = []
    for some in boxes.split(max(1, PAIRS_AT_ONCE // pairs)):
        iou = box_iou(some, anchors)  # (几张, G, A)：最长的一维在最后，算得最快
        found.append((*iou.max(dim=1), *iou.max(dim=2)))  # 并列时 max 取序号最小的
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _force_matches(
    anchors: Tensor, boxes: Tensor, best: Tensor, anchor: Tensor, assigned: Tensor
) -> None:
    """:func:`assign_anchors` 的第 2 步，各图像同时做，就地改 ``assigned`` (B, A)。

    ``best``、``anchor`` (B, G) 是每个真实的框最好的锚框及其交并比；那个锚框被别人先要走时才重找。
    """
    used = torch.zeros_like(assigned, dtype=torch.bool)
    while (best > 0).any():
        # 并列的取序号小的真实的框先做。锚框各不相同时先做谁都一样，所以这就是规则所说的次序
        top, winner = best.max(dim=1, keepdim=True)  # 各 (B, 1)
        taken = anchor.gather(1, winner)  # (B, 1)
        before = assigned.gather(1, taken)
        assigned.scatter_(1, taken, torch.where(top > 0, winner, before))
        best.scatter_(1, winner, -1)  # 这个真实的框配好了
        used.scatter_(1, taken, True)
        image, loser = ((best > 0) & (anchor == taken)).nonzero(as_tuple=True)
        if len(image):
            iou = box_iou(boxes[image, loser].unsqueeze(1), anchors).squeeze(1)  # (L, A)
            iou.masked_fill_(used[image], -1)
            best[image, loser], anchor[image, loser] = iou.max(dim=1)


def encode_offsets(
    anchors: Tensor, boxes: Tensor, variances: Sequence[float] = VARIANCES
) -> Tensor:
    """真实的框离锚框差多少：网络要学着输出的四个数。

    中心差多少（以锚框的宽高为单位）、宽高是几倍（取对数），再各除以 ``variances``：
    ((bx-ax)/aw/0.1, (by-ay)/ah/0.1, ln(bw/aw)/0.2, ln(bh/ah)/0.2)，其中 a 是锚框、b 是真实的框。

    Args:
        anchors: 形状 (…, 4)，宽高大于 0。
        boxes: 形状 (…, 4)，宽高大于 0；与 ``anchors`` 按广播规则对齐。
        variances: 四个正数。

    Returns:
        形状 (…, 4)；:func:`decode_offsets` 是它的逆。

    Raises:
        TypeError: 框不是浮点张量。
        ValueError: 有框的宽或高不大于 0（对数没有定义），或形状、``variances`` 不对。

    Examples:
        >>> anchor = torch.tensor([0.0, 0.0, 0.5, 0.5])
        >>> encode_offsets(anchor, torch.tensor([0.25, 0.0, 0.75, 0.5]))
        tensor([5., 0., 0., 0.])
    """
    a, b = corner_to_center(anchors), corner_to_center(boxes)
    for name, box in (("anchors", a), ("boxes", b)):
        if not (box[..., 2:] > 0).all():
            raise ValueError(f"{name} 里有框的宽或高不大于 0（或是 NaN），不能取对数；请先去掉。")
    shift = (b[..., :2] - a[..., :2]) / a[..., 2:]
    stretch = (b[..., 2:] / a[..., 2:]).log()
    return torch.cat([shift, stretch], dim=-1) / _variances(variances, shift)


def decode_offsets(
    anchors: Tensor, offsets: Tensor, variances: Sequence[float] = VARIANCES
) -> Tensor:
    """按网络输出的偏移移动、伸缩锚框，得到预测的框；:func:`encode_offsets` 的逆。

    宽高取指数，总是正的；结果可以伸出图像。

    Args:
        anchors: 形状 (…, 4)。
        offsets: 形状 (…, 4)，与 ``anchors`` 按广播规则对齐。
        variances: 与编码时相同的四个正数。

    Returns:
        形状 (…, 4)，(x1, y1, x2, y2)。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状或 ``variances`` 不对。

    Examples:
        >>> anchor = torch.tensor([0.0, 0.0, 0.5, 0.5])
        >>> decode_offsets(anchor, torch.tensor([5.0, 0.0, 0.0, 0.0]))
        tensor([0.2500, 0.0000, 0.7500, 0.5000])
    """
    a = corner_to_center(anchors)
    if offsets.shape[-1:] != (4,):
        raise ValueError(f"offsets 的形状是 {tuple(offsets.shape)}，应是 (…, 4)。")
    scaled = offsets * _variances(variances, offsets)
    centers = a[..., :2] + scaled[..., :2] * a[..., 2:]
    sizes = a[..., 2:] * scaled[..., 2:].exp()
    return center_to_corner(torch.cat([centers, sizes], dim=-1))


def anchor_targets(anchors: Tensor, labels: Tensor, *, iou_threshold: float = 0.5) -> AnchorTargets:
    """一批图像里每个锚框的标签，训练检测网络用。

    Args:
        anchors: 形状 (A, 4)，各图像共用。
        labels: 形状 (B, G, 5)，每行是 (类别, x1, y1, x2, y2)。各图像的目标个数不同，
            少的用类别小于 0 的行补齐，这样的行不管还写着什么都不看。G 可以是 0。
        iou_threshold: 见 :func:`assign_anchors`。

    Returns:
        偏移 (B, A, 4)，背景处为 0；``mask`` (B, A) 布尔，有目标处为真；
        类别 (B, A) int64，背景为 0，第 c 类为 c+1。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状、阈值或目标的框不对。

    Examples:
        >>> anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
        >>> labels = torch.tensor([[[2.0, 0.5, 0.5, 1.0, 1.0], [-1.0, 0.0, 0.0, 0.0, 0.0]]])
        >>> anchor_targets(anchors, labels).classes
        tensor([[0, 3]])
    """
    if not labels.is_floating_point():
        raise TypeError(f"labels 是 {labels.dtype}，应是浮点张量；请先写 labels.float()。")
    if labels.ndim != 3 or labels.shape[-1] != 5:
        raise ValueError(
            f"labels 的形状是 {tuple(labels.shape)}，应是 (B, G, 5)：类别, x1, y1, x2, y2。"
        )
    assigned = assign_anchors(
        anchors, labels[..., 1:], iou_threshold, valid=labels[..., 0] >= 0
    )  # (B, A)
    mask = assigned >= 0
    image, anchor = mask.nonzero(as_tuple=True)
    matched = labels[image, assigned[mask]]  # (P, 5)：只算有目标的锚框，它们很少
    classes = torch.zeros_like(assigned)
    classes[mask] = matched[:, 0].long() + 1
    offsets = anchors.new_zeros(*mask.shape, 4)
    offsets[mask] = encode_offsets(anchors[anchor], matched[:, 1:]).to(offsets.dtype)
    return AnchorTargets(offsets, mask, classes)


def _variances(variances: Sequence[float], like: Tensor) -> Tensor:
    _check_positive("variances", variances)
    if len(variances) != 4:
        raise ValueError(f"variances={tuple(variances)} 有 {len(variances)} 个数，应是 4 个。")
    return like.new_tensor(variances)


def _check_positive(name: str, values: Sequence[float]) -> None:
    if len(values) == 0 or not all(0 < value < math.inf for value in values):
        raise ValueError(f"{name}={list(values)} 不对：应至少有一个数，且都是有限的正数。")


def _check_valid(boxes: Tensor, valid: Tensor | None) -> None:
    if valid is not None and valid.dtype != torch.bool:
        raise TypeError(f"valid 是 {valid.dtype}，应是布尔张量，例如 labels[..., 0] >= 0。")
    if valid is not None and valid.shape != boxes.shape[:-1]:
        raise ValueError(
            f"valid 的形状是 {tuple(valid.shape)}，boxes 的是 {tuple(boxes.shape)}；"
            "valid 应比 boxes 少最后一维。"
        )
