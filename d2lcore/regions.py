"""感兴趣区域（RoI）：从整张图的特征图里，给每个框取出一块固定大小的特征。

两种取法：:func:`roi_pool` 把框取整到格子上再取最大（Fast R-CNN，Girshick，2015）；
:func:`roi_align` 不取整，在小数坐标上用双线性插值再取平均（Mask R-CNN，He 等，2017）。
两者的规则与参数都和 ``torchvision.ops`` 的同名函数相同，可以互换；这里的是用来讲解的从零版本。

特征图 (B, C, H, W) 的第 (i, j) 格，值看作在坐标 y=i、x=j 处。框按 (x1, y1, x2, y2) 给出，
乘上 ``spatial_scale``（特征图的边长除以图像的边长）就到了特征图的坐标。
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from d2lcore.boxes import at_least_float32, check_boxes


def roi_pool(
    features: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
) -> Tensor:
    """RoI 汇聚：框取整到格子上，分成 P×Q 份，每份取最大。

    规则（与 torchvision 相同），取整两次：

    1. 四个坐标乘 ``spatial_scale``，再四舍五入（恰好一半时朝远离 0 的方向）。两端的格都算在内，
       所以高是 y2-y1+1 格、宽是 x2-x1+1 格，至少 1 格。
    2. 高为 h 格时，第 p 份从 ⌊p·h/P⌋ 到 ⌈(p+1)·h/P⌉（不含），相邻两份可以共有一格；宽同理。
       商与积按坐标的数值类型算。
    3. 每份裁到特征图之内再取最大；裁完是空的，就是 0。

    对 ``features`` 可以求导：梯度只给每份里最大的那一格，并列时给行号、列号最小的。
    坐标取了整，所以对 ``boxes`` 没有梯度。

    Args:
        features: 浮点，形状 (B, C, H, W)。
        boxes: 形状 (N, 5)，每行是 (第几张图, x1, y1, x2, y2)；或 B 个 (n, 4) 的列表，
            每张图一个。N 可以是 0，框可以伸出图像，面积可以是零。
        output_size: (P, Q)，或一个数表示两者相同。
        spatial_scale: 特征图的边长除以框所在坐标系里图像的边长。

    Returns:
        形状 (N, C, P, Q)。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状不对、第几张图越界、框不合格，或 ``output_size``、``spatial_scale`` 不对。

    Examples:
        >>> features = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> roi_pool(features, [torch.tensor([[0.0, 0.0, 2.0, 2.0]])], output_size=1)
        tensor([[[[10.]]]])
        >>> roi_pool(features, [torch.tensor([[0.0, 0.0, 2.4, 2.4]])], output_size=1)  # 取整后相同
        tensor([[[[10.]]]])
    """
    image, corners = _regions(features, boxes, spatial_scale)
    P, Q = _pair(output_size)
    x1, y1, x2, y2 = _round_half_away(corners * spatial_scale).T
    rows = _bins(y1, y2, P, features.shape[2])  # (N, P, 2)
    columns = _bins(x1, x2, Q, features.shape[3])
    pooled = [features[:0, :, :1, :1].expand(-1, -1, P, Q)]  # 一个框也没有时，也还连着计算图
    for index, row, column in zip(image.tolist(), rows.tolist(), columns.tolist(), strict=True):
        # 先在列上、再在行上取最大：比逐份取少做许多次，并列时也正好是行号最小的
        one = _max_in_bins(_max_in_bins(features[index], column, dim=2), row, dim=1)
        pooled.append(one[None])
    return torch.cat(pooled)


def roi_align(
    features: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """RoI 对齐：坐标不取整，每份里取 g×g 个点做双线性插值，再取平均。

    规则（与 torchvision 相同）：

    1. 四个坐标乘 ``spatial_scale``；``aligned`` 为真时再减 0.5（像素 k 占 k 到 k+1，中心在 k+0.5，
       而第 k 格的值在坐标 k 处），为假时不减，但高、宽至少算 1 格。
    2. 高 h 平均分成 P 份；第 p 份里第 i 个点在 y1 + (p + (i+0.5)/g)·h/P。宽同理。
    3. g 是 ``sampling_ratio``；它不大于 0 时，g 是 ⌈h/P⌉，高宽各算各的。g 为 0（面积是零）时得 0。
    4. 点上的值见 :func:`bilinear_sample`：伸出特征图不到 1 格的按边上的值，更远的算 0，
       照样计入平均。

    插值与平均都是线性的，高宽又各算各的，所以一个框就是 A·F·Bᵀ：A (P, H) 管高，B (Q, W) 管宽。

    对 ``features`` 可以求导；对 ``boxes`` 也可以，torchvision 的则不给框梯度。

    Args:
        features: 浮点，形状 (B, C, H, W)。
        boxes: 形状 (N, 5)，每行是 (第几张图, x1, y1, x2, y2)；或 B 个 (n, 4) 的列表，
            每张图一个。N 可以是 0，框可以伸出图像，面积可以是零。
        output_size: (P, Q)，或一个数表示两者相同。
        spatial_scale: 特征图的边长除以框所在坐标系里图像的边长。
        sampling_ratio: 每份每个方向取几个点；不大于 0 时按框的大小定。
        aligned: 坐标是否再减半格。缺省值与 torchvision 一样是假，新的程序应当用真。

    Returns:
        形状 (N, C, P, Q)。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状不对、第几张图越界、框不合格，或某个参数不对。

    Examples:
        >>> features = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> box = torch.tensor([[0.5, 0.5, 2.5, 2.5]])
        >>> roi_align(features, [box], output_size=1, sampling_ratio=1, aligned=True)
        tensor([[[[5.]]]])
        >>> roi_align(features, [box + 0.25], output_size=1, sampling_ratio=1, aligned=True)
        tensor([[[[6.2500]]]])
    """
    image, corners = _regions(features, boxes, spatial_scale)
    P, Q = _pair(output_size)
    if not isinstance(sampling_ratio, int):
        raise ValueError(f"sampling_ratio={sampling_ratio!r} 不对：应是整数，-1 表示按框的大小定。")
    x1, y1, x2, y2 = (corners * spatial_scale - (0.5 if aligned else 0.0)).T
    height, width = y2 - y1, x2 - x1
    if not aligned:
        height, width = height.clamp(min=1), width.clamp(min=1)
    H, W = features.shape[2:]
    A = _sampling_matrices(y1, height, P, H, sampling_ratio).to(features.dtype)  # (N, P, H)
    B = _sampling_matrices(x1, width, Q, W, sampling_ratio).to(features.dtype)  # (N, Q, W)
    aligned_features = features.new_zeros(len(image), features.shape[1], P, Q)
    for index in range(len(features)):
        mine = image == index
        rows = torch.einsum("nph,chw->ncpw", A[mine], features[index])
        aligned_features[mine] = torch.einsum("ncpw,nqw->ncpq", rows, B[mine])
    return aligned_features


def bilinear_sample(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """在小数坐标 (y, x) 处取特征：四周四格的加权平均，离得越近权重越大。

    第 (i, j) 格的值在 y=i、x=j 处。令 i=⌊y⌋、b=y-i，上面一行的权重是 1-b，下面一行是 b；左右同理。
    -1 到 0 之间的坐标当作 0，H-1 到 H 之间的当作 H-1；小于 -1 或大于 H 的点，值是 0。

    Args:
        features: 浮点，形状 (C, H, W)。
        y: 纵坐标，浮点，任意形状。
        x: 横坐标，与 ``y`` 按广播规则对齐。

    Returns:
        形状 (C, …)，… 是 ``y``、``x`` 广播之后的形状。对三者都可以求导。

    Raises:
        TypeError: 不是浮点张量。
        ValueError: 形状不对。

    Examples:
        >>> features = torch.tensor([[[0.0, 4.0], [8.0, 12.0]]])
        >>> bilinear_sample(features, torch.tensor([0.5, 0.25]), torch.tensor([0.5, 1.0]))
        tensor([[6., 6.]])
    """
    for name, value in (("features", features), ("y", y), ("x", x)):
        _check_float(name, value)
    if features.ndim != 3 or 0 in features.shape[1:]:
        raise ValueError(f"features 的形状是 {tuple(features.shape)}，应是 (C, H, W)，高宽至少 1。")
    try:
        y, x = torch.broadcast_tensors(y, x)
    except RuntimeError:
        raise ValueError(
            f"y 的形状 {tuple(y.shape)} 与 x 的形状 {tuple(x.shape)} 对不上：应相同，或可以广播。"
        ) from None
    _, H, W = features.shape
    inside = (y >= -1) & (y <= H) & (x >= -1) & (x <= W)
    y, x = y.clamp(0, H - 1), x.clamp(0, W - 1)
    top, left = y.detach().floor().long(), x.detach().floor().long()
    bottom, right = (top + 1).clamp(max=H - 1), (left + 1).clamp(max=W - 1)
    b, a = y - top, x - left  # 下面一行、右边一列的权重
    value = (1 - b) * ((1 - a) * features[:, top, left] + a * features[:, top, right]) + b * (
        (1 - a) * features[:, bottom, left] + a * features[:, bottom, right]
    )
    return value * inside


def _max_in_bins(X: Tensor, bins: list[list[int]], dim: int) -> Tensor:
    """在 ``dim`` 这一维上，每份 [start, end) 取最大；空的一份是 0。"""
    empty = torch.zeros_like(X.select(dim, 0))
    return torch.stack(
        [X.narrow(dim, a, b - a).max(dim).values if a < b else empty for a, b in bins], dim
    )


def _bins(first: Tensor, last: Tensor, parts: int, length: int) -> Tensor:
    """格 first 到 last（含）分成几份，裁到 0 到 length：int64 (N, parts, 2)，各是 [start, end)。"""
    size = (last - first + 1).clamp(min=1)[:, None] / parts  # (N, 1)
    p = torch.arange(parts, device=size.device)
    edges = torch.stack([(p * size).floor(), ((p + 1) * size).ceil()], dim=-1)
    return (edges + first[:, None, None]).clamp(0, length).long()


def _round_half_away(X: Tensor) -> Tensor:
    """四舍五入，一半时朝远离 0 的方向，与 C 的 round 相同；torch.round 则取偶数。"""
    whole = X.detach().trunc()
    return whole + X.detach().sign() * ((X.detach() - whole).abs() >= 0.5)


def _sampling_matrices(
    start: Tensor, extent: Tensor, parts: int, length: int, sampling_ratio: int
) -> Tensor:
    """一个方向上"插值再平均"的矩阵 (N, parts, length)：乘上这个方向的特征就得到各份的值。"""
    size = (extent / parts)[:, None, None]  # 每份多长，(N, 1, 1)
    fixed = torch.full_like(size, sampling_ratio)
    grid = fixed if sampling_ratio > 0 else size.detach().ceil()  # 每份取几个点
    most = int(grid.max()) if len(grid) else 0
    i = torch.arange(most, device=size.device)
    p = torch.arange(parts, device=size.device)[:, None]
    points = start[:, None, None] + p * size + (i + 0.5) * size / grid.clamp(min=1)  # (N, P, g)
    counted = (i < grid) & (points >= -1) & (points <= length)
    k = torch.arange(length, device=size.device)
    # 双线性插值给第 k 格的权重是"帽子"：1 减距离，不小于 0
    hats = (1 - (points.clamp(0, length - 1)[..., None] - k).abs()).clamp(min=0)
    return (hats * counted[..., None]).sum(2) / grid.clamp(min=1)


def _regions(
    features: Tensor, boxes: Tensor | Sequence[Tensor], spatial_scale: float
) -> tuple[Tensor, Tensor]:
    """检查输入；返回每个框在第几张图 (N,) int64 与四个坐标 (N, 4)，至少是 float32。"""
    _check_float("features", features)
    if features.ndim != 4 or 0 in features.shape[2:]:
        raise ValueError(
            f"features 的形状是 {tuple(features.shape)}，应是 (B, C, H, W)，高宽至少 1；"
            "只有一张图时写成 features[None]。"
        )
    if not 0 < spatial_scale < float("inf"):
        raise ValueError(
            f"spatial_scale={spatial_scale} 不对：应是正数，即特征图的边长除以图像的边长，"
            "例如步幅为 16 时是 1/16。"
        )
    if not isinstance(boxes, Tensor):
        boxes = _with_image_index(boxes, len(features), features)
    _check_float("boxes", boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise ValueError(
            f"boxes 的形状是 {tuple(boxes.shape)}，应是 (N, 5)：第几张图, x1, y1, x2, y2；"
            "没有第一列时，请给列表，每张图一个 (n, 4)。"
        )
    boxes = at_least_float32(boxes)
    check_boxes(boxes[:, 1:])
    image = boxes[:, 0].detach()
    wrong = (image != image.floor()) | (image < 0) | ~(image < len(features))  # NaN 也算
    if wrong.any():
        raise ValueError(
            f"boxes 的第一列里有 {image[wrong][0].item():g}，应是第几张图："
            f"0 到 {len(features) - 1} 的整数（features 有 {len(features)} 张）。"
        )
    return image.long(), boxes[:, 1:]


def _with_image_index(boxes: Sequence[Tensor], images: int, like: Tensor) -> Tensor:
    """B 个 (n, 4) 变成一个 (N, 5)，第一列是第几张图。"""
    if len(boxes) != images:
        raise ValueError(f"boxes 是 {len(boxes)} 个张量的列表，features 却有 {images} 张图。")
    parts = [at_least_float32(like).new_zeros(0, 5)]
    for k, one in enumerate(boxes):
        _check_float(f"boxes[{k}]", one)
        if one.ndim != 2 or one.shape[1] != 4:
            raise ValueError(f"boxes[{k}] 的形状是 {tuple(one.shape)}，应是 (n, 4)。")
        one = at_least_float32(one)
        parts.append(torch.cat([one.new_full((len(one), 1), k), one], dim=1))
    return torch.cat(parts)


def _pair(output_size: int | tuple[int, int]) -> tuple[int, int]:
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"output_size={output_size} 不对：应是一个正整数，或 (高, 宽)。")
    return size


def _check_float(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} 是 {kind}，应是浮点张量；整数请先写 {name}.float()。")
