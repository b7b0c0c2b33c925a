"""平均精度与 COCO 官方的程序（pycocotools）比对。"""

import contextlib
import io

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from d2lcore.detection import Detections, mean_average_precision

THRESHOLDS = tuple(k / 100 for k in range(50, 100, 5))
CLASSES = 3


def grid_truths(rng: torch.Generator) -> Tensor:
    """(B, 4, 5)：每个象限里一个真实的框，互不重叠；约四分之一的位置空着。"""
    corner = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]])
    low = corner + 0.15 * torch.rand(40, 4, 2, generator=rng)
    size = 0.15 + 0.2 * torch.rand(40, 4, 2, generator=rng)
    kinds = torch.randint(CLASSES, (40, 4, 1), generator=rng).float()
    labels = torch.cat([kinds, low, low + size], dim=2)
    labels[torch.rand(40, 4, generator=rng) < 0.25] = -1
    return labels


def simulated(labels: Tensor, shift: float, rng: torch.Generator) -> list[Detections]:
    """每个目标报告两次，一次偏一点；另加误报。"""
    results = []
    for rows in labels:
        rows = rows[rows[:, 0] >= 0].repeat(2, 1)
        move = shift * (2 * torch.rand(len(rows), 2, generator=rng) - 1)
        corner = 0.6 * torch.rand(3, 2, generator=rng)
        boxes = torch.cat([rows[:, 1:] + move.repeat(1, 2), torch.cat([corner, corner + 0.3], 1)])
        kinds = torch.cat([rows[:, 0].long(), torch.randint(CLASSES, (3,), generator=rng)])
        results.append(Detections(boxes, torch.rand(len(boxes), generator=rng), kinds))
    return results


def coco_scores(results: list[Detections], labels: Tensor) -> tuple[float, float]:
    """COCO 程序的 (mAP@[.5:.95], mAP@0.5)；画布当作 1000×1000 像素。"""
    truths, found = [], []
    for image, (rows, one) in enumerate(zip(labels, results, strict=True)):
        for row in rows[rows[:, 0] >= 0]:
            x, y, w, h = _xywh(row[1:])
            truths.append(
                {"id": len(truths) + 1, "image_id": image, "category_id": int(row[0]),
                 "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0}
            )  # fmt: skip
        for box, score, kind in zip(*one, strict=True):
            found.append(
                {"image_id": image, "category_id": int(kind), "bbox": _xywh(box),
                 "score": float(score)}
            )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = {
            "images": [{"id": k} for k in range(len(labels))],
            "annotations": truths,
            "categories": [{"id": k} for k in range(CLASSES)],
        }
        data.createIndex()
        judge = COCOeval(data, data.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def _xywh(box: Tensor) -> list[float]:
    x1, y1, x2, y2 = (1000 * value for value in box.double().tolist())
    return [x1, y1, x2 - x1, y2 - y1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shift", [0.01, 0.05])
def test_equals_coco_when_truths_do_not_overlap(seed: int, shift: float) -> None:
    """真实的框互不重叠时，VOC 与 COCO 的配对相同；只剩查全率在采样点上的舍入（COCO 用浮点）。"""
    rng = torch.Generator().manual_seed(seed)
    labels = grid_truths(rng)
    results = simulated(labels, shift, rng)
    ours = [
        mean_average_precision(
            results, labels, num_classes=CLASSES, iou_thresholds=thresholds, method="101"
        ).mean
        for thresholds in (THRESHOLDS, (0.5,))
    ]
    assert ours == pytest.approx(coco_scores(results, labels), abs=1e-3)
    assert 0.05 < ours[0] < ours[1] < 1  # 数据不是平凡的
