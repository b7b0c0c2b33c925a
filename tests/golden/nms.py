"""非极大值抑制的算例：并列、恰好等于阈值、各类分开、空输入、Soft-NMS。"""

import random
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from d2lcore.boxes import box_iou
from d2lcore.detection import greedy_nms, nms, soft_nms
from tools.golden import Case

Box = list[int]
SEVEN = [[1, 1, 5, 5], [2, 1, 6, 5], [1, 1, 5, 6], [3, 1, 7, 5]]
SEVEN += [[7, 6, 11, 10], [7, 6, 11, 8], [8, 6, 12, 10]]


def cases(rng: random.Random) -> Iterator[Case]:
    """坐标是整数、算双精度，于是“恰好等于阈值”在两种语言里判断得一样；分数常有并列。"""
    example = SEVEN, [0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4], [0, 0, 1, 0, 1, 1, 1]
    for k in range(21):
        yield from hard(*example, k / 20)
        yield from soft(*example, "linear", k / 20, 0.5)
        yield from soft(*example, "gaussian", 0.5, 0.1 + k / 10)
    yield from hard([], [], [], 0.5)
    yield from soft([], [], [], "linear", 0.3, 0.5)
    yield from soft([], [], [], "gaussian", 0.3, 0.5)
    for k in range(140):
        boxes, scores, labels = scene(rng, ties=True)
        threshold = rng.choice([0.25, 0.5, 0.75]) if k % 2 else rng.randint(0, 20) / 20
        yield from hard(boxes, scores, labels, threshold)
        yield from soft(boxes, scores, labels, "linear", threshold, 0.5)
        boxes, scores, labels = scene(rng, ties=False)
        yield Case("nms.iou", boxes[:2], box_iou(*torch.tensor(boxes[:2]).double()[:, None]).item())
        sigma = rng.randint(1, 20) / 10
        if steady(boxes, scores, sigma):
            yield from soft(boxes, scores, labels, "gaussian", 0.5, sigma)


def scene(rng: random.Random, ties: bool) -> tuple[list[Box], list[float], list[int]]:
    """2 到 9 个挤在一起的框；ties 时分数只有五种（含 0），有时框也相同。"""
    boxes = []
    for _ in range(rng.randint(2, 9)):
        x, y = rng.randint(0, 6), rng.randint(0, 6)
        boxes.append([x, y, x + rng.randint(1, 6), y + rng.randint(1, 6)])
    if ties and rng.random() < 0.3:
        boxes[-1] = boxes[0]
    scores = [rng.randint(0, 4) / 4 if ties else rng.randint(1, 999) / 1000 for _ in boxes]
    return boxes, scores, [rng.randrange(3) for _ in boxes]


def tensors(boxes: list[Box], scores: list[float]) -> tuple[Tensor, Tensor]:
    made = (torch.tensor(values, dtype=torch.float64) for values in (boxes, scores))
    return next(made).view(-1, 4), next(made)


def hard(
    boxes: list[Box], scores: list[float], labels: list[int], threshold: float
) -> Iterator[Case]:
    """不分类别与各类分开各一个。"""
    answer = greedy_nms(*tensors(boxes, scores), threshold)
    assert torch.equal(answer, nms(*tensors(boxes, scores), threshold))
    yield Case("nms.nms", [boxes, scores, None, threshold], answer.tolist())
    answer = nms(*tensors(boxes, scores), threshold, torch.tensor(labels, dtype=torch.int64))
    yield Case("nms.nms", [boxes, scores, labels, threshold], answer.tolist())


def soft(
    boxes: list[Box],
    scores: list[float],
    labels: list[int],
    method: Literal["gaussian", "linear"],
    threshold: float,
    sigma: float,
) -> Iterator[Case]:
    """不分类别与各类分开各一个；后者先把各类平移开，互不相交。"""
    for classes in (None, labels):
        B, s = tensors(boxes, scores)
        if classes is not None:
            B = B + 100 * torch.tensor(classes, dtype=torch.float64)[:, None]
        kept, new = soft_nms(B, s, method=method, sigma=sigma, iou_threshold=threshold)
        result: dict[str, Any] = {"kept": kept.tolist(), "scores": new.tolist()}
        yield Case("nms.soft", [boxes, scores, classes, method, threshold, sigma], result, 1e-8)


def steady(boxes: list[Box], scores: list[float], sigma: float) -> bool:
    """分数变动十亿分之一，留下的次序也不变：各家的 exp 末位不同，近乎并列的不能作算例。"""
    B, s = tensors(boxes, scores)
    nudged = s * (1 + 1e-9 * torch.linspace(-1, 1, len(s), dtype=torch.float64))
    orders = [soft_nms(B, x, sigma=sigma)[0].tolist() for x in (s, nudged, s * 2 - nudged)]
    return all(order == orders[0] for order in orders)
