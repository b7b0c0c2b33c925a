"""目标检测：非极大值抑制、由网络输出得到检测结果、平均精度。

框的约定见 :mod:`d2lcore.boxes`，锚框与偏移见 :mod:`d2lcore.anchors`。
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from d2lcore.anchors import decode_offsets
from d2lcore.boxes import at_least_float32, box_iou, check_boxes, clip_boxes

Method = Literal["area", "11", "101"]


class Detections(NamedTuple):
    """一张图像里检测出的 K 个目标，分数从大到小：框 (K, 4)、分数 (K,)、类别 (K,) int64。

    Examples:
        >>> found = Detections(torch.zeros(2, 4), torch.tensor([0.9, 0.8]), torch.tensor([3, 0]))
        >>> len(found.scores), found.labels.tolist()
        (2, [3, 0])
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class MeanAveragePrecision(NamedTuple):
    """各类平均精度的平均，与各类的平均精度 (C,) float64；没有真实目标的类是 NaN，不计入平均。

    Examples:
        >>> MeanAveragePrecision(0.5, torch.tensor([0.75, 0.25])).mean
        0.5
    """

    mean: float
    per_class: Tensor


def greedy_nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """从零写的非极大值抑制（NMS）：反复留下分数最高的框，去掉与它重叠太多的。

    规则：只去掉交并比**大于**阈值的，等于的留下；分数并列时序号小的在前。实际使用请用 :func:`nms`。

    Args:
        boxes: 形状 (N, 4)，N 可以是 0。
        scores: 形状 (N,)。
        iou_threshold: 阈值。

    Returns:
        留下的框的序号，int64，分数从大到小。

    Raises:
        TypeError: 框不是浮点张量。
        ValueError: 形状不对。

    Examples:
        >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 3.0], [5.0, 5.0, 6.0, 6.0]])
        >>> greedy_nms(boxes, torch.tensor([0.9, 0.8, 0.3]), iou_threshold=0.5)
        tensor([0, 2])
    """
    _check_scores(boxes, scores)
    rest = scores.argsort(descending=True, stable=True)
    kept = [rest[:0]]
    while len(rest):
        best, rest = rest[:1], rest[1:]
        kept.append(best)
        iou = box_iou(boxes[best], boxes[rest])[0]
        rest = rest[iou <= iou_threshold]
    return torch.cat(kept)


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, labels: Tensor | None = None
) -> Tensor:
    """非极大值抑制，实际使用的版本：由 torchvision 的 C++ / CUDA 程序做。

    结果与 :func:`greedy_nms` 相同。给了 ``labels`` 就各类分开做：不同类的框再重叠也不互相抑制。

    Args:
        boxes: 形状 (N, 4)，N 可以是 0。
        scores: 形状 (N,)。
        iou_threshold: 阈值；按框的数值类型比较，恰好相等的留下。
        labels: 形状 (N,)，整数类别。

    Returns:
        留下的框的序号，int64，分数从大到小。

    Raises:
        TypeError: 框不是浮点张量。
        ValueError: 形状不对。
        RuntimeError: 没有装 torchvision。

    Examples:
        >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 3.0], [5.0, 5.0, 6.0, 6.0]])
        >>> scores = torch.tensor([0.9, 0.8, 0.3])
        >>> nms(boxes, scores, iou_threshold=0.5)
        tensor([0, 2])
        >>> nms(boxes, scores, iou_threshold=0.5, labels=torch.tensor([0, 1, 0]))
        tensor([0, 1, 2])
    """
    _check_scores(boxes, scores)
    try:
        from torchvision import ops
    except ImportError as error:
        raise RuntimeError(
            "nms 要用 torchvision，但没有装好；请运行 pip install torchvision，或改用 greedy_nms。"
        ) from error
    boxes = at_least_float32(boxes)
    scores = scores.to(boxes.dtype)
    # CPU 上 torchvision 拿 float32 的交并比与双精度的阈值比，阈值 0.3 时"恰好相等"会变成"大于"
    limit = iou_threshold if boxes.dtype == torch.float64 else float(np.float32(iou_threshold))
    if labels is None:
        return ops.nms(boxes, scores, limit)
    if labels.shape != scores.shape:
        raise ValueError(f"labels 的形状是 {tuple(labels.shape)}，应是 {tuple(scores.shape)}。")
    if len(boxes) and (low := boxes.min().item()) < 0:
        boxes = boxes - low  # batched_nms 靠平移把各类分开，有负坐标时它会分不开
    return ops.batched_nms(boxes, scores, labels, limit)


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    *,
    method: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.3,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:
    """Soft-NMS：重叠的框不删掉，只降低分数（Bodla 等，2017）。

    每次取分数最高的框，其余的分数乘以一个随交并比 u 减小的数：``"gaussian"`` 是 exp(-u²/sigma)；
    ``"linear"`` 在 u 大于 ``iou_threshold`` 时是 1-u，否则不变。剩下的分数都小于
    ``score_threshold`` 时停止。分数并列时序号小的在前。

    Args:
        boxes: 形状 (N, 4)，N 可以是 0。
        scores: 形状 (N,)，浮点。
        method: ``"gaussian"`` 或 ``"linear"``。
        sigma: 只用于 ``"gaussian"``，大于 0；越大，降得越少。
        iou_threshold: 只用于 ``"linear"``。
        score_threshold: 分数小于它的框不再保留。

    Returns:
        留下的框的序号 (K,) int64，与降低后的分数 (K,)，从大到小。

    Raises:
        TypeError: 框不是浮点张量。
        ValueError: 形状、``method`` 或 ``sigma`` 不对。

    Examples:
        >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 4.0]])
        >>> soft_nms(boxes, torch.tensor([0.9, 0.8]), method="linear")
        (tensor([0, 1]), tensor([0.9000, 0.4000]))
    """
    _check_scores(boxes, scores)
    if method not in ("gaussian", "linear") or not sigma > 0:
        raise ValueError(
            f'method={method!r}、sigma={sigma} 不对：应是 "gaussian" 或 "linear"，sigma 大于 0。'
        )
    index = torch.arange(len(boxes), device=boxes.device)
    left = at_least_float32(scores)
    kept, kept_scores = [index[:0]], [left[:0]]
    while len(index) and left.max() >= score_threshold:
        top = left.argmax(dim=0, keepdim=True)  # 并列时取第一个
        kept.append(index[top])
        kept_scores.append(left[top])
        others = torch.arange(len(index), device=boxes.device) != top
        iou = box_iou(boxes[index[top]], boxes[index[others]])[0]
        if method == "gaussian":
            factor = (-(iou**2) / sigma).exp()
        else:
            factor = torch.where(iou > iou_threshold, 1 - iou, 1)
        index, left = index[others], left[others] * factor
    return torch.cat(kept), torch.cat(kept_scores)


@torch.no_grad()
def detect(
    probabilities: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    *,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.45,
    max_candidates: int = 400,
    max_detections: int = 100,
    clip: bool = True,
) -> list[Detections]:
    """由检测网络的输出得到每张图像的检测结果。

    每个"锚框与非背景类"的组合，概率 ≥ ``score_threshold`` 就是候选，分数就是这个概率（背景概率再大
    也不妨碍，更不会被当作结果）。每张图像取分数最高的 ``max_candidates`` 个候选，各类分开做
    :func:`nms`，留下至多 ``max_detections`` 个。分数并列时，锚框序号小的在前，再是类别小的。

    先按分数筛再做 NMS：锚框成千上万，值得做 NMS 的只有几百个，快就快在这里。

    Args:
        probabilities: 形状 (B, A, C+1)，已做过 softmax；第 0 列是背景，第 c+1 列是第 c 类。
        offsets: 形状 (B, A, 4)，网络输出的偏移。
        anchors: 形状 (A, 4)，比例坐标。
        score_threshold: 分数的下限（含）。
        iou_threshold: NMS 的阈值。
        max_candidates: 每张图像至多多少个候选进入 NMS。
        max_detections: 每张图像至多多少个结果。
        clip: 把框裁到图像（0 到 1）之内，完全在图像之外的候选去掉。

    Returns:
        长为 B 的列表，每张图像一个 :class:`Detections`，分数从大到小，可以是空的。

    Raises:
        ValueError: 形状不对，概率不在 0 到 1 之间，或输入里有 NaN、无穷。

    Examples:
        >>> anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
        >>> probabilities = torch.tensor([[[0.1, 0.9], [0.99, 0.01]]])
        >>> detect(probabilities, torch.zeros(1, 2, 4), anchors)[0].boxes
        tensor([[0.0000, 0.0000, 0.5000, 0.5000]])
    """
    _check_outputs(probabilities, offsets, anchors, max_candidates, max_detections)
    if len(probabilities) == 0:
        return []
    found = [_candidates(p, score_threshold, max_candidates) for p in probabilities[..., 1:]]
    counts = torch.tensor([len(part[0]) for part in found])
    anchor, label, score = (torch.cat(parts) for parts in zip(*found, strict=True))
    image = torch.arange(len(found)).repeat_interleave(counts).to(score.device)
    # 全部图像的候选一起解码，再按图像分开
    boxes = decode_offsets(anchors[anchor], offsets[image, anchor])
    if clip:
        boxes = clip_boxes(boxes, 1, 1)
        inside = (boxes[:, :2] < boxes[:, 2:]).all(dim=1)
        boxes, score, label, image = boxes[inside], score[inside], label[inside], image[inside]
    sizes = image.bincount(minlength=len(found)).tolist()
    results = []
    for one in zip(boxes.split(sizes), score.split(sizes), label.split(sizes), strict=True):
        kept = nms(one[0], one[1], iou_threshold, one[2])[:max_detections]
        results.append(Detections(*(x[kept] for x in one)))
    return results


def _candidates(foreground: Tensor, score_threshold: float, limit: int) -> tuple[Tensor, ...]:
    """一张图像 (A, C) 里分数最高的至多 ``limit`` 个候选：锚框、类别、分数，分数从大到小。"""
    likely = (foreground.amax(dim=1) >= score_threshold).nonzero().squeeze(1)  # 多数锚框没有候选
    row, label = (foreground[likely] >= score_threshold).nonzero(as_tuple=True)
    anchor = likely[row]
    score = foreground[anchor, label]
    if len(score) > limit:  # 先粗筛，只给少数几个排序；与第 limit 名并列的此时都留着
        good = score >= score.topk(limit).values[-1]
        anchor, label, score = anchor[good], label[good], score[good]
    order = score.argsort(descending=True, stable=True)[:limit]  # 并列时原来在前的在前
    return anchor[order], label[order], score[order]


def match_detections(
    detections: Detections, boxes: Tensor, labels: Tensor, iou_threshold: float = 0.5
) -> Tensor:
    """一张图像里每个检测结果是否命中，PASCAL VOC 的规则。

    每个检测结果看同类的真实的框里交并比最大的那个（并列时取序号最小的）：交并比 ≥ 阈值，
    而且它还没有被分数更高的结果认走，才算命中。重复认同一个的都是误报，哪怕旁边还有别的真实的框。

    Args:
        detections: 检测结果，K 个；分数并列时保持原来的次序。
        boxes: 真实的框 (G, 4)，G 可以是 0。
        labels: 真实的类别 (G,)，整数。
        iou_threshold: 阈值，大于 0。

    Returns:
        形状 (K,) 的布尔张量，次序与 ``detections`` 相同。

    Raises:
        TypeError: 框不是浮点张量。
        ValueError: 形状或阈值不对。

    Examples:
        >>> box = torch.tensor([[0.0, 0.0, 0.5, 0.5]])
        >>> twice = Detections(box.repeat(2, 1), torch.tensor([0.9, 0.8]), torch.tensor([3, 3]))
        >>> match_detections(twice, box, torch.tensor([3]))
        tensor([ True, False])
    """
    if not iou_threshold > 0:
        raise ValueError(f"iou_threshold={iou_threshold} 不对：应大于 0。")
    if labels.shape != boxes.shape[:-1]:
        raise ValueError(f"labels 的形状是 {tuple(labels.shape)}，应是 {tuple(boxes.shape[:-1])}。")
    _check_scores(detections.boxes, detections.scores)
    hits = torch.zeros_like(detections.scores, dtype=torch.bool)
    if len(boxes) == 0:
        return hits
    iou = box_iou(detections.boxes, boxes)  # (K, G)
    iou = iou.masked_fill(detections.labels.unsqueeze(1) != labels, 0)
    best, truth = iou.max(dim=1)
    order = detections.scores.argsort(descending=True, stable=True)
    truth = truth.masked_fill(best < iou_threshold, -1)[order]
    # 稳定排序把认同一个真实的框的排到一起，分数高的仍在前：每组的第一个命中，-1 那组除外
    truth, place = truth.sort(stable=True)
    first = truth.diff(prepend=truth.new_full((1,), -1)) > 0
    hits[order[place[first]]] = True
    return hits


def precision_recall(scores: Tensor, hits: Tensor, truths: int) -> tuple[Tensor, Tensor]:
    """把检测结果按分数从大到小一个个放进来，每放一个算一次查准率与查全率。

    Args:
        scores: 形状 (K,)；并列时保持原来的次序。
        hits: 形状 (K,)，布尔，是否命中，见 :func:`match_detections`。
        truths: 真实目标的个数，大于 0。

    Returns:
        查准率（命中的占已放入的比例）与查全率（命中的占真实目标的比例），各 (K,) float64。

    Raises:
        ValueError: 形状或 ``truths`` 不对。

    Examples:
        >>> hits = torch.tensor([True, False, True, True])
        >>> precision, recall = precision_recall(torch.tensor([0.9, 0.8, 0.7, 0.6]), hits, truths=4)
        >>> precision.tolist()[1::2], recall.tolist()
        ([0.5, 0.75], [0.25, 0.25, 0.5, 0.75])
    """
    found = _in_order(scores, hits, truths).cumsum(0).double()
    return found / torch.arange(1, len(found) + 1), found / truths


def average_precision(scores: Tensor, hits: Tensor, truths: int, method: Method = "area") -> float:
    """平均精度（AP）：查准率对查全率的平均，一个类、一个交并比阈值下的总分，0 到 1。

    先把每处的查准率换成"查全率不低于此处时最大的查准率"，曲线便不再呈锯齿状；再取平均：
    ``"area"`` 是曲线下的面积（PASCAL VOC 2010 起）；``"11"`` 是查全率 0, 0.1, …, 1 处的平均
    （VOC 2007）；``"101"`` 是查全率 0, 0.01, …, 1 处的平均（COCO）。达不到的查全率处算 0。

    Args:
        scores: 形状 (K,)，全部图像里这一类的检测结果的分数；并列时保持原来的次序。
        hits: 形状 (K,)，布尔，是否命中，见 :func:`match_detections`。
        truths: 真实目标的个数，大于 0。
        method: ``"area"``、``"11"`` 或 ``"101"``。

    Raises:
        ValueError: 形状、``truths`` 或 ``method`` 不对。

    Examples:
        >>> hits = torch.tensor([True, False, True, True])
        >>> average_precision(torch.tensor([0.9, 0.8, 0.7, 0.6]), hits, truths=4)
        0.625
    """
    steps = {"area": 0, "11": 10, "101": 100}.get(method)
    if steps is None:
        raise ValueError(f'method={method!r} 不对：应是 "area"、"11" 或 "101"。')
    precision, _ = precision_recall(scores, hits, truths)
    envelope = precision.flip(0).cummax(0).values.flip(0)
    ordered = _in_order(scores, hits, truths)
    if method == "area":  # 每命中一个，查全率增加 1/truths
        return envelope[ordered].sum().item() / truths
    # 查全率 ≥ i/steps 写成整数的比较，不受舍入影响；第一个达到的位置，达不到的落在补上的 0
    reached = ordered.cumsum(0) * steps
    first = torch.searchsorted(reached, torch.arange(steps + 1) * truths)
    return torch.cat([envelope, envelope.new_zeros(1)])[first].mean().item()


def mean_average_precision(
    detections: list[Detections],
    labels: Tensor,
    *,
    num_classes: int,
    iou_thresholds: tuple[float, ...] = (0.5,),
    method: Method = "area",
) -> MeanAveragePrecision:
    """平均精度的平均（mAP）：各类、各交并比阈值的平均精度再取平均。

    同一类的检测结果不分图像，一起按分数排序（并列时图像序号小的在前）。
    没有真实目标的类，平均精度没有定义，不计入平均。COCO 的总分是
    ``iou_thresholds=(0.5, 0.55, …, 0.95)``、``method="101"``；但配对都用 VOC 的规则
    （见 :func:`match_detections`），真实的框互相重叠时与 COCO 的程序可能略有出入。

    Args:
        detections: 每张图像的检测结果，B 个。
        labels: 形状 (B, G, 5)，每行是 (类别, x1, y1, x2, y2)，类别小于 0 的行是补齐用的。
        num_classes: 类别数。
        iou_thresholds: 至少一个阈值。
        method: 见 :func:`average_precision`。

    Returns:
        平均值，与各类的值（对阈值取过平均；没有真实目标的类是 NaN）。

    Raises:
        ValueError: 形状、类别或参数不对，或一个真实目标也没有。

    Examples:
        >>> labels = torch.tensor([[[0.0, 0.1, 0.1, 0.5, 0.5], [1.0, 0.5, 0.5, 0.9, 0.9]]])
        >>> found = Detections(labels[0, :1, 1:], torch.tensor([0.9]), torch.tensor([0]))
        >>> mean_average_precision([found], labels, num_classes=2).mean
        0.5
    """
    labels = labels.detach().cpu()
    _check_labels(labels, detections, num_classes, iou_thresholds)
    detections = [Detections(*(x.detach().cpu() for x in one)) for one in detections]
    truths = [rows[rows[:, 0] >= 0] for rows in labels]
    counts = torch.cat(truths)[:, 0].long().bincount(minlength=num_classes)  # (C,)
    scores = torch.cat([one.scores for one in detections])
    classes = torch.cat([one.labels for one in detections])
    table = torch.full((len(iou_thresholds), num_classes), math.nan, dtype=torch.float64)
    for row, threshold in enumerate(iou_thresholds):
        pairs = zip(detections, truths, strict=True)
        hits = torch.cat(
            [match_detections(one, rows[:, 1:], rows[:, 0], threshold) for one, rows in pairs]
        )
        for c in counts.nonzero().flatten().tolist():
            mine = classes == c
            count = int(counts[c])
            table[row, c] = average_precision(scores[mine], hits[mine], count, method)
    per_class = table.mean(dim=0)
    return MeanAveragePrecision(per_class.nanmean().item(), per_class)


def _in_order(scores: Tensor, hits: Tensor, truths: int) -> Tensor:
    """按分数从大到小排好的 ``hits``，在 CPU 上（不是每种设备都有 float64）。"""
    if scores.ndim != 1 or scores.shape != hits.shape:
        raise ValueError(
            f"scores、hits 的形状是 {tuple(scores.shape)}、{tuple(hits.shape)}，应都是 (K,)。"
        )
    if hits.dtype != torch.bool or truths < int(hits.sum()) or truths < 1:
        raise ValueError(
            f"hits 是 {hits.dtype}，真的有 {int(hits.sum())} 个，truths={truths}："
            "hits 应是布尔张量，truths 应不小于 1，也不小于命中的个数。"
        )
    return hits.cpu()[scores.cpu().argsort(descending=True, stable=True)]


def _check_scores(boxes: Tensor, scores: Tensor) -> None:
    """框的类型与最后一维由 :func:`box_iou` 等检查，这里只看与分数是否对得上。"""
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ValueError(
            f"框的形状是 {tuple(boxes.shape)}，分数的形状是 {tuple(scores.shape)}；"
            "应分别是 (N, 4) 与 (N,)。"
        )
    if not (boxes.is_floating_point() and scores.is_floating_point()):
        raise TypeError(f"框是 {boxes.dtype}，分数是 {scores.dtype}；都应是浮点张量。")


def _check_outputs(
    probabilities: Tensor, offsets: Tensor, anchors: Tensor, candidates: int, limit: int
) -> None:
    """网络输出的形状与数值。"""
    batch, count, classes = probabilities.shape if probabilities.ndim == 3 else (0, 0, 0)
    if classes < 2 or offsets.shape != (batch, count, 4) or anchors.shape != (count, 4):
        raise ValueError(
            f"probabilities、offsets、anchors 的形状是 {tuple(probabilities.shape)}、"
            f"{tuple(offsets.shape)}、{tuple(anchors.shape)}；应是 (B, A, C+1)、(B, A, 4)、(A, 4)。"
        )
    if candidates < 1 or limit < 1:
        raise ValueError(f"max_candidates={candidates}、max_detections={limit}：都应不小于 1。")
    if probabilities.numel() == 0:
        return
    low, high = probabilities.aminmax()
    if not (low >= 0 and high <= 1.001):  # NaN 也过不了；半精度的 softmax 可能略大于 1
        raise ValueError(
            f"probabilities 在 {low:.4g} 到 {high:.4g} 之间，应在 0 到 1 之间、没有 NaN；"
            "网络输出的得分请先做 softmax(dim=-1)。"
        )
    if not offsets.sum(dtype=torch.float32).isfinite():  # 有一个不是有限的数，和就不是
        raise ValueError("offsets 里有 NaN 或无穷，网络多半已经发散；请减小学习率重新训练。")


def _check_labels(
    labels: Tensor,
    detections: list[Detections],
    num_classes: int,
    iou_thresholds: tuple[float, ...],
) -> None:
    if labels.ndim != 3 or labels.shape[2] != 5 or len(labels) != len(detections):
        raise ValueError(
            f"labels 的形状是 {tuple(labels.shape)}，检测结果有 {len(detections)} 张图像的；"
            "labels 应是 (B, G, 5)，两者张数相同。"
        )
    if len(iou_thresholds) == 0:
        raise ValueError("iou_thresholds 是空的，至少要有一个阈值，例如 (0.5,)。")
    truths = labels[labels[..., 0] >= 0]  # (T, 5)
    if len(truths) == 0:
        raise ValueError("labels 里一个真实目标也没有，平均精度没有定义。")
    check_boxes(truths[:, 1:], "labels")
    classes = torch.cat([truths[:, 0], *(one.labels.cpu() for one in detections)])
    if not 0 <= classes.min() <= classes.max() < num_classes:
        raise ValueError(
            f"类别在 {int(classes.min())} 到 {int(classes.max())} 之间，"
            f"应在 0 到 {num_classes - 1} 之间（num_classes={num_classes}）。"
        )
