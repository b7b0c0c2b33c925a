"""两个框的交并比、GIoU、面积与外包框的算例。"""

import random
from collections.abc import Iterator

import torch
from torch import Tensor

from d2lcore.boxes import box_area, box_giou, box_iou
from tools.golden import Case

WIDTH, HEIGHT = 40, 30
Box = list[float]


def cases(rng: random.Random) -> Iterator[Case]:
    """随机的、重合的、碰边的、包含的、没有面积的；坐标有整数、四分之一格与两位小数。"""
    kinds = [random_pair, same, touching, contained, degenerate]
    for k in range(200):
        a, b = kinds[k % len(kinds)](rng, [1, 4, 100, 1][k // 5 % 4])
        A, B = (torch.tensor([box], dtype=torch.float64) for box in (a, b))
        yield Case("iou.iou", [a, b], box_iou(A, B).item(), 1e-8)
        yield Case("iou.giou", [a, b], box_giou(A, B).item(), 1e-8)
        yield Case("iou.area", [a], box_area(A).item(), 1e-8)
        yield Case("iou.l1", [a, b], (A - B).abs().sum().item(), 1e-8)
    for k in range(100):  # 坐标是整数时，面积就是格数：数出来
        a, b = kinds[k % len(kinds)](rng, 1)
        p, q = cells(a), cells(b)
        yield Case("iou.intersection", [a, b], int((p & q).sum()))
        yield Case("iou.union", [a, b], int((p | q).sum()))
        points = torch.tensor([a, b]).view(4, 2)  # 全部的角
        yield Case("iou.hull", [a, b], [*points.amin(0).tolist(), *points.amax(0).tolist()])


def cells(box: Box) -> Tensor:
    """框里的格，(高, 宽) 的布尔张量。"""
    x1, y1, x2, y2 = (int(v) for v in box)
    inside = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    inside[y1:y2, x1:x2] = True
    return inside


def random_box(rng: random.Random, parts: int) -> Box:
    """坐标是 1/parts 的倍数；偶尔没有面积。"""
    xs = sorted(rng.randint(0, WIDTH * parts) / parts for _ in range(2))
    ys = sorted(rng.randint(0, HEIGHT * parts) / parts for _ in range(2))
    return [xs[0], ys[0], xs[1], ys[1]]


def random_pair(rng: random.Random, parts: int) -> tuple[Box, Box]:
    return random_box(rng, parts), random_box(rng, parts)


def same(rng: random.Random, parts: int) -> tuple[Box, Box]:
    box = random_box(rng, parts)
    return box, list(box)


def touching(rng: random.Random, parts: int) -> tuple[Box, Box]:
    """共用一条竖边或横边，或只碰到一个角。"""
    a, b = random_pair(rng, parts)
    for k in rng.choice([[0], [1], [0, 1]]):
        low, middle, high = sorted([a[k], a[k + 2], b[k]])
        a[k], a[k + 2], b[k], b[k + 2] = low, middle, middle, high
    return a, b


def contained(rng: random.Random, parts: int) -> tuple[Box, Box]:
    a, b = random_pair(rng, parts)
    for k in (0, 1):
        a[k], b[k], b[k + 2], a[k + 2] = sorted([a[k], a[k + 2], b[k], b[k + 2]])
    return a, b


def degenerate(rng: random.Random, parts: int) -> tuple[Box, Box]:
    """一个或两个没有面积：线段，或一个点；有时两个重合。"""
    a, b = random_pair(rng, parts)
    for box in rng.choice([[a], [b], [a, b]]):
        for k in rng.choice([[0], [1], [0, 1]]):
            box[k + 2] = box[k]
    return (a, list(a)) if rng.random() < 0.3 else (a, b)
