"""检测：非极大值抑制、由输出到结果、平均精度；手算例子、每条规则、与慢算法和 torchvision 对照。"""

import sys
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from d2lcore.anchors import decode_offsets, encode_offsets, generate_anchors
from d2lcore.boxes import box_iou
from d2lcore.detection import (
    Detections,
    average_precision,
    detect,
    greedy_nms,
    match_detections,
    mean_average_precision,
    nms,
    precision_recall,
    soft_nms,
)

BOTH = pytest.mark.parametrize("function", [greedy_nms, nms])

# 四个预测：前三个叠在狗身上，第四个是猫
PREDICTED = torch.tensor(
    [
        [0.1, 0.08, 0.52, 0.92],
        [0.08, 0.2, 0.56, 0.95],
        [0.15, 0.3, 0.62, 0.91],
        [0.55, 0.2, 0.9, 0.88],
    ]
)
CONFIDENCE = torch.tensor([0.9, 0.8, 0.7, 0.9])


def boxes_of(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def grid_boxes(*shape: int, n: int = 16) -> Tensor:
    """坐标是 1/16 的整数倍：交并比没有舍入误差，并列与相等随处可见。"""
    return torch.randint(0, n + 1, (*shape, 2, 2)).sort(dim=-2).values.flatten(-2) / n


# ---- 非极大值抑制 -------------------------------------------------------------------------


@BOTH
def test_nms_of_the_worked_example(function) -> None:
    kept = function(PREDICTED, CONFIDENCE, 0.5)
    assert kept.tolist() == [0, 3]
    assert kept.dtype == torch.int64


@BOTH
def test_only_iou_above_the_threshold_is_suppressed(function) -> None:
    boxes = boxes_of((0, 0, 2, 2), (0, 0, 2, 1), (0, 0, 1, 1))  # 与第一个：1/2、1/4
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert function(boxes, scores, 0.5).tolist() == [0, 1, 2]
    assert function(boxes, scores, 0.49).tolist() == [0, 2]
    assert function(boxes, scores, 0.2).tolist() == [0]
    # 3/10 在 float32 里略大于双精度的 0.3；仍算相等，留下
    assert function(boxes_of((0, 0, 10, 1), (0, 0, 3, 1)), scores[:2], 0.3).tolist() == [0, 1]


@BOTH
def test_suppressed_boxes_suppress_nobody(function) -> None:
    boxes = boxes_of((0, 0, 4, 1), (1, 0, 5, 1), (2, 0, 6, 1))  # 相邻的 3/5，隔一个的 1/3
    assert function(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]


@BOTH
def test_result_is_sorted_and_ties_go_to_the_lower_index(function) -> None:
    apart = boxes_of((0, 0, 1, 1), (2, 0, 3, 1), (4, 0, 5, 1), (6, 0, 7, 1))
    scores = torch.tensor([0.5, 0.7, 0.5, 0.7])
    assert function(apart, scores, 0.5).tolist() == [1, 3, 0, 2]
    same = boxes_of((0, 0, 1, 1)).repeat(3, 1)
    assert function(same, torch.tensor([0.5, 0.5, 0.5]), 0.5).tolist() == [0]


@BOTH
def test_nms_of_nothing(function) -> None:
    kept = function(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64
    assert function(torch.ones(1, 4), torch.ones(1), 0.5).tolist() == [0]


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_nms_dtypes(function, dtype: torch.dtype) -> None:
    with torch.device("meta"):  # 没写 device 的张量会落错地方
        kept = function(PREDICTED.to(dtype), CONFIDENCE.to(dtype), 0.5)
    assert kept.tolist() == [0, 3]


@BOTH
def test_double_precision_is_not_lost(function) -> None:
    # 交并比在双精度的 0.1 与 float32 的 0.1（略大）之间
    boxes = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0.1 + 5e-10]], dtype=torch.float64)
    assert function(boxes, torch.tensor([0.9, 0.8]), 0.1).tolist() == [0]


@BOTH
def test_zero_area_boxes_are_kept(function) -> None:
    boxes = boxes_of((1, 1, 1, 1), (1, 1, 1, 1), (0, 0, 2, 2))
    assert function(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.0).tolist() == [0, 1, 2]


def test_classes_do_not_suppress_each_other() -> None:
    labels = torch.tensor([0, 0, 1, 0])
    assert nms(PREDICTED, CONFIDENCE, 0.5, labels).tolist() == [0, 3, 2]
    assert nms(PREDICTED[:0], CONFIDENCE[:0], 0.5, labels[:0]).tolist() == []


def test_classes_stay_apart_for_negative_coordinates() -> None:
    boxes = boxes_of((0, 0, 1, 1), (-2, -2, -1, -1), (-2, -2, -1, -1.1))
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert nms(boxes, scores, 0.5, torch.tensor([0, 1, 1])).tolist() == [0, 1]
    boxes = boxes_of((0, 0, 1, 1), (-2, -2, -1, -1), (0, 0, 1, 1))
    assert nms(boxes, scores, 0.1, torch.tensor([0, 1, 1])).tolist() == [0, 1, 2]


@BOTH
def test_nms_errors_say_what_was_given(function) -> None:
    with pytest.raises(ValueError, match=r"框的形状是 \(4, 4\)，分数的形状是 \(3,\)"):
        function(PREDICTED, CONFIDENCE[:3], 0.5)
    with pytest.raises(ValueError, match=r"框的形状是 \(4,\)"):
        function(PREDICTED[0], CONFIDENCE[0], 0.5)
    with pytest.raises(ValueError, match=r"框的形状是 \(4, 3\)"):
        function(PREDICTED[:, :3], CONFIDENCE, 0.5)
    with pytest.raises(TypeError, match=r"框是 torch.int64"):
        function(PREDICTED.long(), CONFIDENCE, 0.5)
    with pytest.raises(TypeError, match=r"分数是 torch.int64"):
        function(PREDICTED, CONFIDENCE.long(), 0.5)


def test_nms_labels_must_fit() -> None:
    with pytest.raises(ValueError, match=r"labels 的形状是 \(3,\)，应是 \(4,\)"):
        nms(PREDICTED, CONFIDENCE, 0.5, torch.zeros(3))


def test_missing_torchvision_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(RuntimeError, match="pip install torchvision，或改用 greedy_nms"):
        nms(PREDICTED, CONFIDENCE, 0.5)


# ---- Soft-NMS ---------------------------------------------------------------------------


def test_soft_nms_by_hand() -> None:
    boxes = boxes_of((0, 0, 2, 2), (0, 0, 2, 4), (9, 9, 10, 10))  # 交并比 1/2、0
    scores = torch.tensor([0.9, 0.8, 0.6])
    kept, new = soft_nms(boxes, scores, method="linear")
    assert kept.tolist() == [0, 2, 1]
    assert new.tolist() == pytest.approx([0.9, 0.6, 0.4])
    kept, new = soft_nms(boxes, scores, sigma=0.25)
    assert kept.tolist() == [0, 2, 1]
    assert new.tolist() == pytest.approx([0.9, 0.6, 0.8 * 0.36787944], rel=1e-5)  # exp(-¼/¼)
    assert soft_nms(boxes, scores)[1].tolist()[2] == pytest.approx(0.8 * 0.60653066, rel=1e-5)


def test_soft_nms_linear_spares_small_overlaps() -> None:
    boxes = boxes_of((0, 0, 2, 2), (0, 0, 2, 4))
    scores = torch.tensor([0.9, 0.8])
    assert soft_nms(boxes, scores, method="linear", iou_threshold=0.5)[1].tolist() == pytest.approx(
        [0.9, 0.8]
    )
    far = boxes_of((0, 0, 4, 1), (3, 0, 7, 1))  # 1/7，小于缺省的 0.3
    assert soft_nms(far, scores, method="linear")[1].tolist() == pytest.approx([0.9, 0.8])


def test_soft_nms_drops_low_scores_and_breaks_ties() -> None:
    same = boxes_of((0, 0, 1, 1)).repeat(3, 1)
    scores = torch.tensor([0.5, 0.5, 0.5])
    kept, new = soft_nms(same, scores, method="linear")  # 分数降到 0
    assert (kept.tolist(), new.tolist()) == ([0], [0.5])
    kept, new = soft_nms(same, scores, method="linear", score_threshold=0)
    assert (kept.tolist(), new.tolist()) == ([0, 1, 2], [0.5, 0, 0])
    assert soft_nms(same, scores, score_threshold=0.5)[0].tolist() == [0]  # 等于下限的留下
    assert scores.tolist() == [0.5] * 3  # 原来的不变


def test_soft_nms_of_nothing() -> None:
    for scores in (torch.zeros(0), torch.zeros(2)):
        kept, new = soft_nms(torch.zeros(len(scores), 4), scores)
        assert (kept.shape, kept.dtype, new.shape) == ((0,), torch.int64, (0,))


@pytest.mark.parametrize("method", ["gaussian", "linear"])
@pytest.mark.parametrize("seed", range(5))
def test_soft_nms_equals_a_slow_loop(method: str, seed: int) -> None:
    torch.manual_seed(seed)
    boxes, scores = grid_boxes(12), torch.rand(12)
    table = box_iou(boxes, boxes).tolist()
    left = dict(enumerate(scores.tolist()))
    expected = []
    while left and max(left.values()) >= 0.1:
        best = max(left, key=lambda i: (left[i], -i))
        expected.append((best, left.pop(best)))
        for i in left:
            u = table[best][i]
            if method == "gaussian":
                left[i] *= float(torch.tensor(-u * u / 0.4).exp())
            elif u > 0.25:
                left[i] *= 1 - u
    kept, new = soft_nms(
        boxes, scores, method=method, sigma=0.4, iou_threshold=0.25, score_threshold=0.1
    )  # type: ignore[arg-type]
    assert kept.tolist() == [i for i, _ in expected]
    assert new.tolist() == pytest.approx([s for _, s in expected], rel=1e-5)


def test_soft_nms_errors_say_what_was_given() -> None:
    with pytest.raises(ValueError, match="method='hard'"):
        soft_nms(PREDICTED, CONFIDENCE, method="hard")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sigma=0 不对"):
        soft_nms(PREDICTED, CONFIDENCE, sigma=0)
    with pytest.raises(ValueError, match="分数的形状是"):
        soft_nms(PREDICTED, CONFIDENCE[:2])


# ---- 由网络输出到检测结果 -------------------------------------------------------------------

SIDE_BY_SIDE = boxes_of((0, 0, 0.25, 0.5), (0.25, 0, 0.5, 0.5), (0.5, 0, 0.75, 0.5))


def run(foreground: list, anchors: Tensor = SIDE_BY_SIDE, offsets: Tensor | None = None, **options):
    """一张图像；``foreground`` 的每行是一个锚框各类的概率，其余给背景。"""
    probabilities = torch.tensor(foreground, dtype=torch.float32)
    probabilities = torch.cat([1 - probabilities.sum(1, keepdim=True), probabilities], dim=1)
    offsets = torch.zeros(len(anchors), 4) if offsets is None else offsets
    return detect(probabilities[None], offsets[None], anchors, **options)[0]


def test_detect_gives_honest_scores_sorted() -> None:
    found = run([[0.1, 0.2], [0.9, 0.02], [0.0, 0.6]])
    assert found.scores.tolist() == pytest.approx([0.9, 0.6, 0.2, 0.1])
    assert found.labels.tolist() == [0, 1, 1, 0]
    assert torch.equal(found.boxes, SIDE_BY_SIDE[[1, 2, 0, 0]])
    assert found.labels.dtype == torch.int64


def test_background_wins_is_still_an_honest_low_score() -> None:
    found = run([[0.06], [0.01], [0.04]])
    assert found.scores.tolist() == pytest.approx([0.06])
    assert found.labels.tolist() == [0]


def test_score_equal_to_the_threshold_is_kept() -> None:
    rows = [[0.25], [0.125], [0.5]]
    assert run(rows, score_threshold=0.25).scores.tolist() == [0.5, 0.25]
    assert len(run(rows, score_threshold=0.6).scores) == 0


def test_offsets_move_the_boxes() -> None:
    target = boxes_of((0.1, 0.1, 0.4, 0.3))
    offsets = torch.zeros(3, 4)
    offsets[1] = encode_offsets(SIDE_BY_SIDE[1], target[0])
    found = run([[0.0], [0.9], [0.0]], offsets=offsets)
    torch.testing.assert_close(found.boxes, target)


def test_nms_inside_detect_is_per_class() -> None:
    anchors = boxes_of((0, 0, 1, 1), (0, 0, 1, 0.9))
    rows = [[0.9, 0.0], [0.8, 0.0]]
    assert run(rows, anchors).scores.tolist() == pytest.approx([0.9])
    assert len(run([[0.9, 0.0], [0.0, 0.8]], anchors).scores) == 2
    assert len(run(rows, anchors, iou_threshold=0.95).scores) == 2


def test_default_thresholds() -> None:
    half = boxes_of((0, 0, 1, 1), (0, 0, 1, 0.46), (0, 0, 0.44, 1))
    found = run([[0.9], [0.8], [0.7]], half)  # 与第一个的交并比 0.46、0.44
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    assert run([[0.051], [0.049], [0.9]]).scores.tolist() == pytest.approx([0.9, 0.051])


def test_candidate_limit_counts_before_nms_and_result_limit_after() -> None:
    anchors = boxes_of((0, 0, 1, 1), (0, 0, 1, 1), (0, 0, 0.1, 0.1), (0.5, 0, 0.6, 0.1))
    rows = [[0.9], [0.8], [0.7], [0.6]]
    assert run(rows, anchors, max_candidates=3).scores.tolist() == pytest.approx([0.9, 0.7])
    assert run(rows, anchors, max_detections=2).scores.tolist() == pytest.approx([0.9, 0.7])
    assert run(rows, anchors, max_candidates=1).scores.tolist() == pytest.approx([0.9])
    assert run(rows, anchors, max_candidates=4).scores.tolist() == pytest.approx([0.9, 0.7, 0.6])


def test_default_limits() -> None:
    anchors = generate_anchors((30, 30), [0.02], [1])  # 900 个互不相交
    probabilities = torch.full((1, 900, 2), 0.5)
    assert len(detect(probabilities, torch.zeros(1, 900, 4), anchors)[0].scores) == 100
    many = detect(probabilities, torch.zeros(1, 900, 4), anchors, max_detections=900)[0]
    assert len(many.scores) == 400


@pytest.mark.parametrize("limit", [2, 3, 100])
def test_ties_go_to_the_lower_anchor_then_the_lower_class(limit: int) -> None:
    found = run([[0.25, 0.25], [0.25, 0.25], [0.25, 0.5]], max_candidates=limit)
    anchor = (found.boxes[:, 0] * 4).long().tolist()
    expected = [(2, 1), (0, 0), (0, 1), (1, 0), (1, 1), (2, 0)][:limit]
    assert list(zip(anchor, found.labels.tolist(), strict=True)) == expected


def test_boxes_are_clipped_and_outside_boxes_dropped() -> None:
    anchors = boxes_of((-0.5, -0.5, 0.5, 0.25), (1.0, 0.2, 1.5, 0.6), (0.5, -0.5, 0.7, 0))
    rows = [[0.7], [0.8], [0.9]]
    found = run(rows, anchors)
    assert found.boxes.tolist() == [[0, 0, 0.5, 0.25]]
    assert found.scores.tolist() == pytest.approx([0.7])
    assert found.labels.tolist() == [0]
    torch.testing.assert_close(run(rows, anchors, clip=False).boxes, anchors.flip(0))


def test_images_are_independent() -> None:
    torch.manual_seed(0)
    anchors = generate_anchors((4, 4), [0.3, 0.6], [1, 2])
    probabilities = torch.randn(3, len(anchors), 4).mul(2).softmax(-1)
    probabilities[1] = torch.tensor([1.0, 0, 0, 0])  # 中间这张什么也没有
    offsets = torch.randn(3, len(anchors), 4)
    together = detect(probabilities, offsets, anchors)
    assert [len(found.scores) > 0 for found in together] == [True, False, True]
    assert together[1].boxes.shape == (0, 4)
    for i in range(3):
        (one,) = detect(probabilities[i : i + 1], offsets[i : i + 1], anchors)
        assert all(torch.equal(x, y) for x, y in zip(together[i], one, strict=True))


def test_nothing_in_nothing_out() -> None:
    assert detect(torch.zeros(0, 3, 2), torch.zeros(0, 3, 4), SIDE_BY_SIDE) == []
    (found,) = detect(torch.zeros(1, 0, 2), torch.zeros(1, 0, 4), torch.zeros(0, 4))
    assert (found.boxes.shape, found.scores.shape, found.labels.shape) == ((0, 4), (0,), (0,))


def test_detect_builds_no_graph() -> None:
    probabilities = torch.tensor([[[0.1, 0.9]]], requires_grad=True)
    (found,) = detect(probabilities, torch.zeros(1, 1, 4, requires_grad=True), SIDE_BY_SIDE[:1])
    assert not found.boxes.requires_grad
    assert not found.scores.requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_detect_dtypes(dtype: torch.dtype) -> None:
    probabilities = torch.tensor([[[0.5, 0.5], [0.75, 0.25], [1, 0]]], dtype=dtype)
    (found,) = detect(probabilities, torch.zeros(1, 3, 4, dtype=dtype), SIDE_BY_SIDE.to(dtype))
    assert found.scores.tolist() == [0.5, 0.25]
    assert found.scores.dtype == found.boxes.dtype == dtype


def slow_detect(probabilities: Tensor, boxes: Tensor, limits: tuple[int, int]) -> list[tuple]:
    """一张图像，逐个地做；返回 (锚框, 类别)。"""
    pairs = [
        (-float(p), anchor, label)
        for anchor, row in enumerate(probabilities[:, 1:].tolist())
        for label, p in enumerate(row)
        if p >= 0.125
    ]
    kept: list[tuple] = []
    for pair in sorted(pairs)[: limits[0]]:
        box = boxes[pair[1]]
        others = [boxes[other] for _, other, label in kept if label == pair[2]]
        if not others or float(box_iou(box[None], torch.stack(others)).max()) <= 0.5:
            kept.append(pair)
    return [pair[1:] for pair in kept[: limits[1]]]


@pytest.mark.parametrize("seed", range(20))
def test_detect_equals_a_slow_loop(seed: int) -> None:
    torch.manual_seed(seed)
    anchors = generate_anchors((4, 4), [0.5], [1])
    boxes = grid_boxes(2, 16)
    boxes[..., 2:] = (boxes[..., 2:] + 0.0625).clamp(max=1)  # 面积都大于 0
    boxes[..., :2] = boxes[..., :2].minimum(boxes[..., 2:] - 0.0625)
    probabilities = torch.randint(0, 9, (2, 16, 4)) / 32  # 并列很多
    found = detect(
        probabilities,
        encode_offsets(anchors, boxes),
        anchors,
        score_threshold=0.125,
        iou_threshold=0.50001,  # 解码有舍入误差：恰好相等的不拿来考
        max_candidates=20,
        max_detections=8,
    )
    for i in range(2):
        pairs = slow_detect(probabilities[i], boxes[i], (20, 8))
        assert found[i].labels.tolist() == [label for _, label in pairs]
        torch.testing.assert_close(found[i].boxes, boxes[i, [anchor for anchor, _ in pairs]])


def test_detect_errors_say_what_was_given() -> None:
    good, offsets = torch.full((2, 3, 2), 0.5), torch.zeros(2, 3, 4)
    for bad in (good[0], good[:, :2], good[..., :1], good[:1]):
        with pytest.raises(ValueError, match="probabilities、offsets、anchors 的形状是"):
            detect(bad, offsets, SIDE_BY_SIDE)
    with pytest.raises(ValueError, match=r"\(2, 3, 2\)、\(2, 3, 4\)、\(1, 3, 4\)"):
        detect(good, offsets, SIDE_BY_SIDE[None])
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)、\(2, 4\)"):
        detect(good, offsets, SIDE_BY_SIDE[:2])
    with pytest.raises(ValueError, match=r"\(2, 3, 3\)"):
        detect(good, offsets[..., :3], SIDE_BY_SIDE)
    for value in (-0.5, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"softmax\(dim=-1\)"):
            detect(torch.cat([good[:1], torch.full((1, 3, 2), value)]), offsets, SIDE_BY_SIDE)
    for value in ("nan", "inf"):
        wild = offsets.clone()
        wild[1, 2, 3] = float(value)
        with pytest.raises(ValueError, match="offsets 里有 NaN 或无穷"):
            detect(good, wild, SIDE_BY_SIDE)
    with pytest.raises(ValueError, match="max_candidates=0"):
        detect(good, offsets, SIDE_BY_SIDE, max_candidates=0)
    with pytest.raises(ValueError, match="max_detections=0"):
        detect(good, offsets, SIDE_BY_SIDE, max_detections=0)


# ---- 配对 --------------------------------------------------------------------------------


def found_of(boxes: Tensor, scores: list[float], labels: list[int] | None = None) -> Detections:
    return Detections(boxes, torch.tensor(scores), torch.tensor(labels or [0] * len(scores)))


TRUTH = boxes_of((0, 0, 4, 4), (4, 0, 8, 4))
KINDS = torch.tensor([0, 0])


def test_each_truth_is_found_once_by_the_highest_score() -> None:
    boxes = boxes_of((0, 0, 4, 3), (0, 0, 4, 4), (4, 0, 8, 3), (20, 0, 21, 1))
    assert match_detections(found_of(boxes, [0.5, 0.9, 0.1, 1.0]), TRUTH, KINDS).tolist() == [
        False,
        True,
        True,
        False,
    ]
    # 并列时前面的先认
    tied = match_detections(found_of(boxes[:2], [0.5, 0.5]), TRUTH, KINDS)
    assert tied.tolist() == [True, False]


def test_match_needs_the_same_class_and_enough_iou() -> None:
    boxes = boxes_of((0, 0, 4, 2), (0, 0, 4, 4))
    found = found_of(boxes, [0.9, 0.8])
    assert match_detections(found, TRUTH[:1], KINDS[:1], 0.5).tolist() == [True, False]
    assert match_detections(found, TRUTH[:1], KINDS[:1], 0.51).tolist() == [False, True]
    assert match_detections(found, TRUTH[:1], KINDS[:1]).tolist() == [True, False]
    assert match_detections(found, TRUTH[:1], KINDS[:1] + 1).tolist() == [False, False]
    mixed = found_of(boxes[[1, 1]], [0.9, 0.8], [1, 0])
    both = TRUTH[[0, 0]]
    assert match_detections(mixed, both, torch.tensor([0, 1])).tolist() == [True, True]


def test_a_duplicate_does_not_move_on_to_another_truth() -> None:
    truths = boxes_of((0, 0, 4, 4), (0, 0, 4, 3))
    found = found_of(boxes_of((0, 0, 4, 4), (0, 0, 4, 3.9)), [0.9, 0.8])
    assert match_detections(found, truths, KINDS, 0.5).tolist() == [True, False]  # VOC 的规则


def test_tied_truths_go_to_the_lower_index() -> None:
    truths = boxes_of((0, 0, 4, 4), (0, 0, 4, 4), (0, 0, 4, 3))
    found = found_of(boxes_of((0, 0, 4, 4), (0, 0, 4, 4)), [0.9, 0.8])
    kinds = torch.zeros(3, dtype=torch.long)
    assert match_detections(found, truths, kinds).tolist() == [True, False]


def test_match_of_nothing() -> None:
    none, kinds = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    assert match_detections(found_of(TRUTH, [0.9, 0.8]), none, kinds).tolist() == [False, False]
    assert match_detections(found_of(none, []), TRUTH, KINDS).tolist() == []


def test_match_errors_say_what_was_given() -> None:
    found = found_of(TRUTH, [0.9, 0.8])
    with pytest.raises(ValueError, match="iou_threshold=0 不对"):
        match_detections(found, TRUTH, KINDS, 0)
    with pytest.raises(ValueError, match=r"labels 的形状是 \(1,\)，应是 \(2,\)"):
        match_detections(found, TRUTH, KINDS[:1])
    with pytest.raises(ValueError, match="分数的形状是"):
        match_detections(found._replace(scores=torch.ones(3)), TRUTH, KINDS)


# ---- 平均精度 -----------------------------------------------------------------------------

SCORES = torch.tensor([0.3, 0.9, 0.6, 0.7, 0.8])
HITS = torch.tensor([True, True, True, False, False])  # 从大到小：中 误 误 中 中；真实目标 4 个


def test_precision_and_recall_by_hand() -> None:
    precision, recall = precision_recall(SCORES, HITS, truths=4)
    assert precision.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 2 / 4, 3 / 5])
    assert recall.tolist() == [0.25, 0.25, 0.25, 0.5, 0.75]
    assert precision.dtype == recall.dtype == torch.float64


def test_average_precision_by_hand() -> None:
    # 包络：查全率到 1/4 时 1，到 3/4 时 3/5，此后 0
    assert average_precision(SCORES, HITS, 4) == pytest.approx((1 + 0.6 + 0.6) / 4)
    assert average_precision(SCORES, HITS, 4, "11") == pytest.approx((3 * 1 + 5 * 0.6) / 11)
    assert average_precision(SCORES, HITS, 4, "101") == pytest.approx((26 * 1 + 50 * 0.6) / 101)


@pytest.mark.parametrize("method", ["area", "11", "101"])
def test_average_precision_limits(method) -> None:
    assert average_precision(SCORES, HITS | True, 5, method) == pytest.approx(1)
    assert average_precision(SCORES, HITS & False, 5, method) == 0
    assert average_precision(SCORES[:0], HITS[:0], 3, method) == 0


def test_equal_scores_keep_their_order() -> None:
    hits = torch.tensor([False, True])
    assert average_precision(torch.tensor([0.5, 0.5]), hits, 1) == 0.5
    assert average_precision(torch.tensor([0.5, 0.5]), ~hits, 1) == 1


def test_recall_is_compared_without_rounding() -> None:
    """3/10 的查全率恰好够到 0.3 这一处；浮点数的 0.1·3 略大于 3/10，会够不到。"""
    hits = torch.tensor([True] * 3)
    value = average_precision(torch.tensor([0.9, 0.8, 0.7]), hits, 10, "11")
    assert value == pytest.approx(4 / 11)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.booleans(), max_size=12), st.integers(1, 8), st.integers(0, 2))
def test_average_precision_equals_the_definition(hits: list[bool], extra: int, which: int) -> None:
    truths = sum(hits) + extra - 1 or 1
    points = [
        (Fraction(sum(hits[: k + 1]), truths), Fraction(sum(hits[: k + 1]), k + 1))
        for k in range(len(hits))
    ]

    def best(recall: Fraction) -> Fraction:
        return max((p for r, p in points if r >= recall), default=Fraction(0))

    if which == 0:  # 面积：每段查全率 ((i-1)/T, i/T] 上的高度
        expected = sum(best(Fraction(i, truths)) for i in range(1, truths + 1)) / truths
    else:
        steps = (0, 10, 100)[which]
        expected = sum(best(Fraction(i, steps)) for i in range(steps + 1)) / Fraction(steps + 1)
    scores = torch.arange(len(hits), 0, -1).float()
    method = ("area", "11", "101")[which]
    value = average_precision(scores, torch.tensor(hits, dtype=torch.bool), truths, method)  # type: ignore[arg-type]
    assert value == pytest.approx(float(expected), abs=1e-12)


def test_average_precision_errors_say_what_was_given() -> None:
    with pytest.raises(ValueError, match="method='12' 不对"):
        average_precision(SCORES, HITS, 4, "12")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"形状是 \(5,\)、\(4,\)"):
        average_precision(SCORES, HITS[:4], 4)
    with pytest.raises(ValueError, match=r"形状是 \(5, 1\)"):
        precision_recall(SCORES[:, None], HITS[:, None], 4)
    for truths in (0, 2):
        with pytest.raises(ValueError, match=f"truths={truths}"):
            average_precision(SCORES[:0] if truths == 0 else SCORES, HITS[: truths * 5], truths)
    with pytest.raises(ValueError, match=r"hits 是 torch.int64"):
        average_precision(SCORES, HITS.long(), 4)


# ---- mAP --------------------------------------------------------------------------------


def padded(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor([*rows, (-1, 9, 9, 0, 0)], dtype=torch.float32)


def test_map_of_a_worked_example() -> None:
    labels = torch.stack(
        [padded((0, 0, 0, 4, 4), (1, 4, 0, 8, 4)), padded((0, 0, 0, 4, 4), (0, 4, 0, 8, 4))]
    )
    detections = [
        found_of(boxes_of((0, 0, 4, 4), (4, 0, 8, 4), (0, 0, 1, 1)), [0.6, 0.9, 0.7], [0, 1, 0]),
        found_of(boxes_of((4, 0, 8, 3)), [0.5]),
    ]
    # 第 0 类，全部图像一起从大到小：误(0.7) 中(0.6) 中(0.5)，真实目标 3 个
    result = mean_average_precision(detections, labels, num_classes=3)
    assert result.per_class[:2].tolist() == pytest.approx([(2 / 3 + 2 / 3) / 3, 1])
    assert result.per_class[2].isnan()  # 没有真实目标：不计入平均
    assert result.mean == pytest.approx((4 / 9 + 1) / 2)
    # 阈值 0.8 时最后一个（交并比 3/4）不中：包络 1/2
    several = mean_average_precision(detections, labels, num_classes=3, iou_thresholds=(0.5, 0.8))
    assert several.per_class[0].item() == pytest.approx((4 / 9 + (1 / 2) / 3) / 2)
    points = mean_average_precision(detections, labels, num_classes=3, method="11")
    assert points.per_class[0].item() == pytest.approx(7 * (2 / 3) / 11)


def test_map_without_detections_is_zero() -> None:
    none = found_of(torch.zeros(0, 4), [])._replace(labels=torch.zeros(0, dtype=torch.long))
    result = mean_average_precision([none], padded((1, 0, 0, 4, 4))[None], num_classes=2)
    assert result.mean == 0
    assert result.per_class.isnan().tolist() == [True, False]


def test_map_sees_false_alarms_on_images_without_objects() -> None:
    labels = torch.stack([padded((0, 0, 0, 4, 4)), padded((-1, 0, 0, 0, 0))])
    hit, alarm = found_of(TRUTH[:1], [0.5]), found_of(TRUTH[:1], [0.9])
    assert mean_average_precision([hit, alarm], labels, num_classes=1).mean == 0.5
    tied = alarm._replace(scores=hit.scores)  # 并列时前面的图像在前
    assert mean_average_precision([hit, tied], labels, num_classes=1).mean == 1


def test_map_equals_a_slow_loop() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        labels = torch.cat([torch.randint(-1, 3, (4, 3, 1)), grid_boxes(4, 3, n=4)], dim=2)
        if (labels[..., 0] < 0).all():
            continue
        detections = [
            found_of(grid_boxes(6, n=4), torch.rand(6).tolist(), torch.randint(0, 3, (6,)).tolist())
            for _ in range(4)
        ]
        result = mean_average_precision(detections, labels, num_classes=3)
        for c in range(3):
            slow = slow_average_precision(detections, labels, c)
            assert result.per_class[c].item() == pytest.approx(slow, nan_ok=True)
        assert result.mean == pytest.approx(result.per_class[~result.per_class.isnan()].mean())


def slow_average_precision(detections: list[Detections], labels: Tensor, c: int) -> float:
    """一个类，逐个检测结果地做，再在每个真实目标处取最大查准率。"""
    truths = [[row[1:] for row in rows if row[0] == c] for rows in labels]
    total = sum(len(rows) for rows in truths)
    if total == 0:
        return float("nan")
    entries = [
        SimpleNamespace(score=float(s), image=i, box=box)
        for i, one in enumerate(detections)
        for box, s, label in zip(*one, strict=True)
        if label == c
    ]
    taken, hits = set(), []
    for entry in sorted(entries, key=lambda e: -e.score):
        overlaps = [float(box_iou(entry.box[None], t[None])) for t in truths[entry.image]]
        best = max(overlaps, default=0)
        mine = (entry.image, overlaps.index(best)) if overlaps else None
        hits.append(best >= 0.5 and mine not in taken)
        if hits[-1]:
            taken.add(mine)
    precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
    return sum(max(precision[k:]) for k in range(len(hits)) if hits[k]) / total


def test_map_errors_say_what_was_given() -> None:
    labels, found = padded((0, 0, 0, 4, 4))[None], found_of(TRUTH[:1], [0.5])
    with pytest.raises(ValueError, match=r"labels 的形状是 \(1, 2, 5\)，检测结果有 2 张图像的"):
        mean_average_precision([found, found], labels, num_classes=1)
    with pytest.raises(ValueError, match="检测结果有 0 张图像的"):
        mean_average_precision([], labels, num_classes=1)
    with pytest.raises(ValueError, match=r"labels 的形状是 \(1, 5\)"):
        mean_average_precision([found], labels[:, 0], num_classes=1)
    with pytest.raises(ValueError, match=r"labels 的形状是 \(1, 2, 4\)"):
        mean_average_precision([found], labels[..., 1:], num_classes=1)
    with pytest.raises(ValueError, match="一个真实目标也没有"):
        mean_average_precision([found], labels[:, 1:], num_classes=1)
    with pytest.raises(ValueError, match="类别在 0 到 1 之间，应在 0 到 0 之间"):
        mean_average_precision([found._replace(labels=found.labels + 1)], labels, num_classes=1)
    with pytest.raises(ValueError, match="类别在 -1 到 0 之间"):
        mean_average_precision([found._replace(labels=found.labels - 1)], labels, num_classes=1)
    with pytest.raises(ValueError, match=r"labels 里第 \[0\] 个框"):
        mean_average_precision([found], padded((0, 4, 4, 0, 0))[None], num_classes=1)
    with pytest.raises(ValueError, match="iou_thresholds 是空的"):
        mean_average_precision([found], labels, num_classes=1, iou_thresholds=())
    with pytest.raises(ValueError, match="method='12'"):
        mean_average_precision([found], labels, num_classes=1, method="12")  # type: ignore[arg-type]


# ---- 与 torchvision 对照 -------------------------------------------------------------------


def test_ten_thousand_random_cases_equal_torchvision() -> None:
    ops = pytest.importorskip("torchvision.ops")
    generator = torch.Generator().manual_seed(0)
    for case in range(10_000):
        n = int(torch.randint(0, 9, (), generator=generator))
        corners = torch.rand(n, 2, 2, generator=generator)
        scores = torch.rand(n, generator=generator)
        if case % 2:  # 交并比没有舍入误差，分数并列很多
            corners, scores = (corners * 4).round(), (scores * 4).round()
        boxes = corners.sort(dim=1).values.flatten(1)
        threshold = (
            (0.25, 0.5, 0.7, 0.45)[case % 4] if case % 2 == 0 else (0.25, 0.5)[case // 2 % 2]
        )
        labels = torch.randint(0, 3, (n,), generator=generator)
        expected = ops.nms(boxes, scores, threshold)
        assert torch.equal(nms(boxes, scores, threshold), expected)
        assert torch.equal(greedy_nms(boxes, scores, threshold), expected)
        expected = ops.batched_nms(boxes, scores, labels, threshold)
        assert torch.equal(nms(boxes, scores, threshold, labels), expected)


def test_a_large_case_equals_torchvision() -> None:
    ops = pytest.importorskip("torchvision.ops")
    torch.manual_seed(0)
    anchors = generate_anchors((16, 16), [0.2, 0.3, 0.4], [1, 2, 0.5])
    boxes = decode_offsets(anchors, torch.randn(len(anchors), 4)).clamp(min=0)
    scores, labels = torch.rand(len(anchors)), torch.randint(0, 5, (len(anchors),))
    assert torch.equal(nms(boxes, scores, 0.5), ops.nms(boxes, scores, 0.5))
    assert torch.equal(greedy_nms(boxes, scores, 0.5), ops.nms(boxes, scores, 0.5))
    expected = ops.batched_nms(boxes, scores, labels, 0.5)
    assert torch.equal(nms(boxes, scores, 0.5, labels), expected)
