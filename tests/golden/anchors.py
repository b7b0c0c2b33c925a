"""锚框实验室的算例：生成、交并比、分配的每一步、偏移与它的逆。"""

import random
from collections.abc import Iterator

import torch
from torch import Tensor

from d2lcore.anchors import assign_anchors, decode_offsets, encode_offsets, generate_anchors
from d2lcore.boxes import box_iou
from tools.golden import Case

Layout = tuple[int, int, list[float], list[float], float]  # 高、宽、大小、宽高比、图像的宽高比


def cases(rng: random.Random) -> Iterator[Case]:
    """随机的避开并列；坐标是 1/16 的倍数的没有舍入，专取并列与恰好等于阈值的。"""
    for _ in range(90):
        height, width, sizes, ratios, aspect = random_layout(rng, most=3)
        anchors = generate_anchors((height, width), sizes, ratios, aspect=aspect)
        yield Case("anchors.generate", [height, width, sizes, ratios, aspect], anchors.tolist())
        some, other = ([random_box(rng) for _ in range(rng.randint(1, 3))] for _ in range(2))
        answer = box_iou(torch.tensor(some), torch.tensor(other))
        yield Case("anchors.iou", [some, other], answer.tolist())
    for _ in range(90):
        a, b, t = random_box(rng), random_box(rng), round(rng.uniform(0, 1), 2)
        offsets = encode_offsets(torch.tensor(a), torch.tensor(b))
        yield Case("anchors.encode", [a, b], offsets.tolist())
        yield Case("anchors.decode", [a, offsets.tolist()], b)  # 互逆
        morphed = decode_offsets(torch.tensor(a), t * offsets)
        yield Case("anchors.morph", [a, b, t], morphed.tolist())
    made = 0
    while made < 120:
        layout = random_layout(rng, most=5)
        boxes = [random_box(rng) for _ in range(rng.randint(1, 3))]
        threshold = round(rng.uniform(0.1, 0.9), 2)
        if clear(layout, boxes, threshold):
            made += 1
            yield from assignment(layout, boxes, threshold)
    for _ in range(120):
        yield from assignment(grid_layout(rng), grid_boxes(rng), rng.choice([0.25, 0.5, 0.75, 1]))


def random_layout(rng: random.Random, most: int) -> Layout:
    sizes = [round(rng.uniform(0.05, 1.2), 2) for _ in range(rng.randint(1, 3))]
    ratios = [round(rng.uniform(0.2, 5), 1) for _ in range(rng.randint(1, 3))]
    aspect = rng.choice([180, 240, 320, 480]) / 240
    return rng.randint(1, most), rng.randint(1, most), sizes, ratios, aspect


def random_box(rng: random.Random) -> list[float]:
    x, y = rng.randint(0, 180), rng.randint(0, 180)
    return [v / 200 for v in (x, y, rng.randint(x + 10, 200), rng.randint(y + 10, 200))]


def grid_layout(rng: random.Random) -> Layout:
    sizes = rng.choice([[0.5], [0.25, 0.5], [0.5, 0.25, 0.125]])
    ratios = rng.choice([[1.0], [1.0, 4.0], [1.0, 0.25, 4.0]])
    return rng.choice([1, 2, 4]), rng.choice([2, 4]), sizes, ratios, rng.choice([1.0, 2.0])


def grid_boxes(rng: random.Random) -> list[list[float]]:
    boxes = []
    for _ in range(rng.randint(1, 3)):
        x, y = rng.randint(0, 13), rng.randint(0, 13)
        boxes.append([v / 16 for v in (x, y, rng.randint(x + 2, 16), rng.randint(y + 2, 16))])
    return [boxes[0], boxes[0], *boxes[1:2]] if rng.random() < 0.2 else boxes  # 两个相同的


def overlaps(layout: Layout, boxes: list[list[float]]) -> tuple[Tensor, Tensor, Tensor]:
    height, width, sizes, ratios, aspect = layout
    anchors = generate_anchors((height, width), sizes, ratios, aspect=aspect)
    truths = torch.tensor(boxes)
    return anchors, truths, box_iou(anchors, truths)


def clear(layout: Layout, boxes: list[list[float]], threshold: float) -> bool:
    """没有并列，也没有恰好等于阈值的，离得都比舍入误差远。"""
    values = overlaps(layout, boxes)[2].flatten()
    values = torch.cat([values[values > 0], torch.tensor([threshold])]).sort().values
    return bool((values.diff() > 1e-5).all())


def assignment(layout: Layout, boxes: list[list[float]], threshold: float) -> Iterator[Case]:
    """分配的结果用 d2lcore 的；中间的步骤用最朴素的循环，它的结果须与 d2lcore 的相同。"""
    anchors, truths, iou = overlaps(layout, boxes)
    best, owner = iou.max(dim=1)
    first = owner.masked_fill(best < threshold, -1)
    assigned, left, matches = first.clone(), iou.clone(), []
    while (left > 0).any():
        i, j = divmod(int(left.argmax()), len(boxes))  # 并列时先取序号小的锚框
        matches.append([i, j, iou[i, j].item()])
        assigned[i] = j
        left[i] = left[:, j] = 0
    answer = assign_anchors(anchors, truths, threshold)
    assert torch.equal(assigned, answer)
    result = {"first": first.tolist(), "matches": matches, "assigned": answer.tolist()}
    yield Case("anchors.solve", [*layout, boxes, threshold], result)
