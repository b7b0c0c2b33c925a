"""边界框：两种表示的转换、面积、交并比。

全库只用一种约定：框是 (x1, y1, x2, y2)，即左上角与右下角，x 向右、y 向下，x1 ≤ x2、y1 ≤ y2。
单位随意（像素，或占图像宽高的比例 0–1），但一次调用里要统一。框放在浮点张量的最后一维，长度为 4。

为了快，除 :func:`check_boxes` 外各函数只看形状与类型，不看数值；来路不明的框请先用它检查。
"""

import torch
from torch import Tensor


def check_boxes(boxes: Tensor, name: str = "boxes") -> None:
    """检查每个框的坐标都有限，且 x1 ≤ x2、y1 ≤ y2；面积为零的框合格。

    Args:
        boxes: 形状 (…, 4)。
        name: 报错时怎样称呼它。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状不对，或有框不合格；报出第一个不合格的框。

    Examples:
        >>> check_boxes(torch.tensor([[0.1, 0.1, 0.5, 0.9]]))
        >>> check_boxes(torch.tensor([[0.5, 0.1, 0.1, 0.9]]))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: boxes 里第 [0] 个框 [0.5, 0.1, 0.1, 0.9] 不合格：...
    """
    _check_shape(boxes, name)
    good = boxes.isfinite().all(-1) & (boxes[..., :2] <= boxes[..., 2:]).all(-1)
    if not good.all():
        where = (~good).nonzero()[0].tolist()
        box = [float(f"{value:.4g}") for value in boxes[tuple(where)].tolist()]
        raise ValueError(
            f"{name} 里第 {where} 个框 {box} 不合格：坐标应是有限的数，且 x1 ≤ x2、y1 ≤ y2。"
            "若它是 (中心, 宽, 高)，请先用 center_to_corner 转换。"
        )


def corner_to_center(boxes: Tensor) -> Tensor:
    """(x1, y1, x2, y2) → (中心 x, 中心 y, 宽, 高)，形状 (…, 4) 不变。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 最后一维的长度不是 4。

    Examples:
        >>> corner_to_center(torch.tensor([0.0, 0.0, 4.0, 2.0]))
        tensor([2., 1., 4., 2.])
    """
    _check_shape(boxes, "boxes")
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dim=-1)


def center_to_corner(boxes: Tensor) -> Tensor:
    """(中心 x, 中心 y, 宽, 高) → (x1, y1, x2, y2)，形状 (…, 4) 不变。

    与 :func:`corner_to_center` 互逆。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 最后一维的长度不是 4。

    Examples:
        >>> center_to_corner(torch.tensor([2.0, 1.0, 4.0, 2.0]))
        tensor([0., 0., 4., 2.])
    """
    _check_shape(boxes, "boxes")
    cx, cy, w, h = boxes.unbind(-1)
    return torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], dim=-1)


def box_area(boxes: Tensor) -> Tensor:
    """面积，形状 (…, 4) → (…)。半精度的框给 float32：float16 最大只到 65504，放不下 256×256 像素。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 最后一维的长度不是 4。

    Examples:
        >>> box_area(torch.tensor([[0.0, 0.0, 4.0, 2.0], [1.0, 1.0, 1.0, 5.0]]))
        tensor([8., 0.])
    """
    _check_shape(boxes, "boxes")
    x1, y1, x2, y2 = at_least_float32(boxes).unbind(-1)
    return (x2 - x1) * (y2 - y1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """两两之间的交并比（IoU，即 Jaccard 系数）：相交的面积除以相并的面积，在 [0, 1] 之间。

    规则：两个框的面积都为零时相并的面积也是零，交并比定为 0（不是 NaN）。可以求导。

    Args:
        a: 形状 (…, N, 4)。
        b: 形状 (…, M, 4)；前面各维与 ``a`` 的按广播规则对齐。

    Returns:
        形状 (…, N, M)；半精度的框给 float32，理由同 :func:`box_area`。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状不对。

    Examples:
        >>> a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> b = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
        >>> box_iou(a, b)
        tensor([[1.0000, 0.3333, 0.0000]])
    """
    intersection, union = _overlap(a, b)
    return _ratio(intersection, union)


def box_giou(a: Tensor, b: Tensor) -> Tensor:
    """两两之间的 GIoU：交并比减去"外包框里不属于两者的比例"，在 (-1, 1] 之间。

    两个框不相交时交并比总是 0，没有梯度；GIoU 随距离变化，所以能作损失（Rezatofighi 等，2019）。
    规则：两个框重合成一点或同一线段时外包框的面积是零，后一项定为 0，于是 GIoU 是 0。

    Args:
        a: 形状 (…, N, 4)。
        b: 形状 (…, M, 4)；前面各维与 ``a`` 的按广播规则对齐。

    Returns:
        形状 (…, N, M)；半精度的框给 float32。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状不对。

    Examples:
        >>> a = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        >>> b = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 4.0, 1.0]])
        >>> box_giou(a, b)
        tensor([[ 1.0000,  0.0000, -0.5000]])
    """
    intersection, union = _overlap(a, b)
    ax1, ay1, ax2, ay2 = _planes(a).unsqueeze(-1)
    bx1, by1, bx2, by2 = _planes(b).unsqueeze(-2)
    width = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    height = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    hull = width * height
    outside = _ratio(hull - union, hull)
    return _ratio(intersection, union) - outside


def clip_boxes(boxes: Tensor, height: float, width: float) -> Tensor:
    """把框裁到图像之内：x 到 [0, width]，y 到 [0, height]。

    完全在图像之外的框变成边上面积为零的框，不会被删掉。

    Args:
        boxes: 形状 (…, 4)。
        height: 图像的高，单位与框相同；框是比例时为 1。
        width: 图像的宽。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状不对，或高、宽不是正数。

    Examples:
        >>> clip_boxes(torch.tensor([[-5.0, 10.0, 20.0, 90.0]]), height=60, width=80)
        tensor([[ 0., 10., 20., 60.]])
    """
    _check_shape(boxes, "boxes")
    if not (height > 0 and width > 0):
        raise ValueError(f"图像的高 {height}、宽 {width} 不对：都应大于 0，次序是先高后宽。")
    return boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))


def at_least_float32(X: Tensor) -> Tensor:
    """半精度（float16、bfloat16）升到 float32，其余原样：坐标相减相乘时半精度的误差与溢出都太大。

    Examples:
        >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return X if X.dtype in (torch.float32, torch.float64) else X.float()


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """两两之间相交、相并的面积，各是 (…, N, M)。"""
    _check_shape(a, "a", rows=True)
    _check_shape(b, "b", rows=True)
    try:
        torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except RuntimeError:
        raise ValueError(
            f"a 的形状 {tuple(a.shape)} 与 b 的形状 {tuple(b.shape)} 对不上："
            "除最后两维外，各维应相同或其一为 1。"
        ) from None
    ax1, ay1, ax2, ay2 = _planes(a).unsqueeze(-1)  # 各 (…, N, 1)
    bx1, by1, bx2, by2 = _planes(b).unsqueeze(-2)  # 各 (…, 1, M)
    # 减法与截断就地做：(…, N, M) 很大，向系统领新内存比算它还慢
    width = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)
    height = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    intersection = width * height
    areas = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1)
    return intersection, areas.sub_(intersection)


def _planes(boxes: Tensor) -> Tensor:
    """(…, N, 4) → (4, …, N)：同一种坐标在内存里相邻，逐元素的运算才能成批地做，快三到五倍。"""
    return at_least_float32(boxes).movedim(-1, 0).contiguous()


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``，就地改 ``whole``；它为零时 ``part`` 也是零，商定为 0，梯度也不会是 NaN。"""
    return part / whole.clamp_(min=torch.finfo(whole.dtype).tiny)


def _check_shape(boxes: Tensor, name: str, rows: bool = False) -> None:
    """浮点张量，最后一维是 4；``rows`` 表示还要有"第几个框"这一维。"""
    if not isinstance(boxes, Tensor) or not boxes.is_floating_point():
        kind = boxes.dtype if isinstance(boxes, Tensor) else type(boxes).__name__
        raise TypeError(f"{name} 是 {kind}，应是浮点张量；整数坐标请先写 {name}.float()。")
    if boxes.ndim < 1 + rows or boxes.shape[-1] != 4:
        expected = "(…, N, 4)；只有一个框时写成 box[None]" if rows else "(…, 4)"
        raise ValueError(f"{name} 的形状是 {tuple(boxes.shape)}，应是 {expected}。")
