"""锚框：手算例子、每条规则、与逐个循环的慢算法对照。"""

import math
from fractions import Fraction
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from d2lcore import anchors as module
from d2lcore.anchors import (
    anchor_targets,
    assign_anchors,
    decode_offsets,
    encode_offsets,
    generate_anchors,
)
from d2lcore.boxes import box_area, box_iou, corner_to_center

# 一条狗（0）、一只猫（1），五个锚框
PETS = torch.tensor([[0, 0.1, 0.08, 0.52, 0.92], [1, 0.55, 0.2, 0.9, 0.88]])
FIVE = torch.tensor(
    [
        [0.0, 0.1, 0.2, 0.3],
        [0.15, 0.2, 0.4, 0.4],
        [0.63, 0.05, 0.88, 0.98],
        [0.66, 0.45, 0.8, 0.8],
        [0.57, 0.3, 0.92, 0.9],
    ]
)


# ---- 生成 --------------------------------------------------------------------------------


def test_anchors_of_one_cell_by_hand() -> None:
    boxes = generate_anchors((1, 1), sizes=[0.5, 0.25], ratios=[1, 4])
    expected = [
        [0.25, 0.25, 0.75, 0.75],
        [0.375, 0.375, 0.625, 0.625],
        [0.0, 0.375, 1.0, 0.625],  # 宽 0.5·2，高 0.5/2
    ]
    assert boxes.tolist() == expected


def test_first_ratio_is_used_with_every_size() -> None:
    boxes = generate_anchors((1, 1), sizes=[0.4, 0.2], ratios=[4, 1])
    sizes = corner_to_center(boxes)[:, 2:]
    torch.testing.assert_close(sizes, torch.tensor([[0.8, 0.2], [0.4, 0.1], [0.4, 0.4]]))


def test_cells_go_row_by_row() -> None:
    boxes = generate_anchors((2, 3), sizes=[0.2, 0.1], ratios=[1])
    centers = corner_to_center(boxes)[:, :2].reshape(2, 3, 2, 2)
    for row, column in product(range(2), range(3)):
        expected = torch.tensor([[(column + 0.5) / 3, (row + 0.5) / 2]] * 2)
        torch.testing.assert_close(centers[row, column], expected)


@pytest.mark.parametrize(("size", "aspect"), [((4, 8), None), ((3, 3), 1.5), ((561, 728), 0.5)])
def test_ratio_and_area_hold_in_pixels(size: tuple[int, int], aspect: float | None) -> None:
    image = torch.tensor([aspect or size[1] / size[0], 1.0]) * 300  # 宽、高，像素
    for s, r in product([0.1, 0.7], [0.5, 1.0, 3.0]):
        box = generate_anchors(size, [s], [r], aspect=aspect)[:1]
        width, height = (corner_to_center(box)[0, 2:] * image).tolist()
        assert width / height == pytest.approx(r, rel=1e-4)
        assert width * height == pytest.approx((s * 300) ** 2, rel=1e-4)


def test_anchors_are_not_clipped() -> None:
    boxes = generate_anchors((2, 2), sizes=[1.0], ratios=[1])
    assert (boxes.min().item(), boxes.max().item()) == (-0.25, 1.25)


def test_anchor_count_and_dtype() -> None:
    boxes = generate_anchors((5, 7), [0.1, 0.2, 0.3], [1, 2, 0.5, 3])
    assert boxes.shape == (5 * 7 * (3 + 4 - 1), 4)
    assert boxes.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((0, 2), [0.1], [1]), r"feature_size=\(0, 2\)"),
        (((2, 2.0), [0.1], [1]), r"feature_size=\(2, 2.0\)"),
        (((1, 2, 3), [0.1], [1]), r"feature_size=\(1, 2, 3\)"),
        (((2, 2), [], [1]), r"sizes=\[\] 不对"),
        (((2, 2), [0.1, 0], [1]), r"sizes=\[0.1, 0\] 不对"),
        (((2, 2), [0.1], [-1]), r"ratios=\[-1\] 不对"),
        (((2, 2), [0.1], [math.inf]), r"ratios=\[inf\] 不对"),
        (((2, 2), [0.1], []), r"ratios=\[\] 不对"),
    ],
)
def test_bad_generation_arguments_are_named(arguments: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        generate_anchors(*arguments)


def test_bad_aspect_is_named() -> None:
    with pytest.raises(ValueError, match=r"aspect=\[0\] 不对"):
        generate_anchors((2, 2), [0.1], [1], aspect=0)


# ---- 分配：手算与规则 ----------------------------------------------------------------------


def boxes_of(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_five_anchors_example() -> None:
    assert assign_anchors(FIVE, PETS[:, 1:]).tolist() == [-1, 0, 1, -1, 1]
    targets = anchor_targets(FIVE, PETS[None])
    assert targets.classes.tolist() == [[0, 1, 2, 0, 2]]
    assert targets.mask.tolist() == [[False, True, True, False, True]]


def test_iou_equal_to_the_threshold_matches() -> None:
    anchors = boxes_of((0, 0, 2, 2), (0, 0, 2, 1))  # 第二个与目标的交并比恰为 1/2
    target = boxes_of((0, 0, 2, 2))
    assert assign_anchors(anchors, target, 0.5).tolist() == [0, 0]
    assert assign_anchors(anchors, target, 0.51).tolist() == [0, -1]
    assert assign_anchors(anchors, target, 1.0).tolist() == [0, -1]


def test_default_threshold_is_one_half() -> None:
    anchors = boxes_of((0, 0, 10, 10), (0, 0, 10, 5), (0, 0, 10, 4.9))
    assert assign_anchors(anchors, boxes_of((0, 0, 10, 10))).tolist() == [0, 0, -1]


def test_tied_objects_the_first_wins() -> None:
    twin = boxes_of((0, 0, 2, 2), (0, 0, 2, 2))
    anchors = boxes_of((0, 0, 2, 2), (0, 0, 2, 2), (0, 0, 2, 2))
    # 两个目标各要一个：锚框 0 归目标 0，锚框 1 归目标 1；锚框 2 并列，归序号小的
    assert assign_anchors(anchors, twin).tolist() == [0, 1, 0]


def test_every_object_gets_its_own_anchor_even_below_the_threshold() -> None:
    anchors = boxes_of((0, 0, 10, 10), (20, 20, 30, 30))
    targets = boxes_of((0, 0, 1, 1), (20, 20, 21, 22))
    assert assign_anchors(anchors, targets).tolist() == [0, 1]


def test_forced_match_overrides_the_threshold_match() -> None:
    anchors = boxes_of((0, 0, 4, 4), (0, 0, 4, 3))
    # 目标 0 与两个锚框都过阈值；目标 1 只与锚框 1 相交最多，锚框 1 被改派
    targets = boxes_of((0, 0, 4, 4), (0, 2, 4, 3))
    assert assign_anchors(anchors, targets).tolist() == [0, 1]


def test_greatest_iou_is_served_first() -> None:
    anchors = boxes_of((0, 0, 4, 4), (0, 0, 4, 1))
    # 两个目标都最想要锚框 0；目标 1 更像它，目标 0 只好要锚框 1
    targets = boxes_of((0, 0, 4, 3), (0, 0, 4, 4))
    assert assign_anchors(anchors, targets, 0.9).tolist() == [1, 0]


def test_loser_never_takes_an_anchor_used_earlier() -> None:
    # 三个目标的首选都是锚框 0，其次都是锚框 1：第三个要连着落选两次
    anchors = boxes_of((0, 0, 8, 8), (0, 0, 8, 7), (0, 0, 8, 1))
    targets = boxes_of((0, 0, 8, 7.9), (0, 0, 8, 7.8), (0, 0, 8, 8))
    assert assign_anchors(anchors, targets, 1.0).tolist() == [2, 1, 0]


def test_objects_that_touch_nothing_are_not_forced() -> None:
    anchors = boxes_of((0, 0, 1, 1), (2, 2, 3, 3))
    assert assign_anchors(anchors, boxes_of((5, 5, 6, 6), (1, 1, 2, 2))).tolist() == [-1, -1]


def test_zero_area_objects_are_never_matched() -> None:
    anchors = boxes_of((0, 0, 1, 1), (0.5, 0.5, 0.5, 0.5))
    objects = boxes_of((0.5, 0.5, 0.5, 0.5), (0.2, 0.2, 0.2, 0.8))
    assert assign_anchors(anchors, objects).tolist() == [-1, -1]


def test_more_objects_than_anchors_leave_some_unmatched() -> None:
    anchors = boxes_of((0, 0, 4, 4))
    objects = boxes_of((0, 0, 4, 2), (0, 0, 4, 3), (0, 0, 1, 1))
    assert assign_anchors(anchors, objects).tolist() == [1]


def test_only_valid_objects_count() -> None:
    objects = PETS[:, 1:].clone()
    objects[0] = math.nan
    valid = torch.tensor([False, True])
    assert assign_anchors(FIVE, objects, valid=valid).tolist() == [-1, -1, 1, -1, 1]


def test_leading_dimensions() -> None:
    torch.manual_seed(0)
    corners = torch.rand(2, 3, 4, 2, 2).sort(dim=-2).values.flatten(-2)
    anchors = generate_anchors((4, 4), [0.3, 0.5], [1, 2])
    valid = torch.rand(2, 3, 4) > 0.3
    together = assign_anchors(anchors, corners, valid=valid)
    assert together.shape == (2, 3, len(anchors))
    for i, j in product(range(2), range(3)):
        one = assign_anchors(anchors, corners[i, j], valid=valid[i, j])
        assert torch.equal(together[i, j], one)


@pytest.mark.parametrize("pairs", [1, 100, 10**9])
def test_block_size_does_not_change_the_result(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    corners = torch.rand(7, 3, 2, 2).sort(dim=-2).values.flatten(-2)
    anchors = generate_anchors((3, 3), [0.3, 0.6], [1])
    expected = assign_anchors(anchors, corners)
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", pairs)
    assert torch.equal(assign_anchors(anchors, corners), expected)


@pytest.mark.parametrize(
    ("anchors", "objects", "shape"),
    [((5, 4), (0, 4), (5,)), ((0, 4), (2, 4), (0,)), ((5, 4), (0, 2, 4), (0, 5))],
)
def test_nothing_to_assign(
    anchors: tuple[int, ...], objects: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    result = assign_anchors(torch.zeros(anchors), torch.zeros(objects))
    assert result.shape == shape
    assert result.dtype == torch.int64
    assert (result == -1).all()


def test_assignment_errors_say_what_was_given() -> None:
    for threshold in (0, 1.5, math.nan):
        with pytest.raises(ValueError, match=f"iou_threshold={threshold} 不对"):
            assign_anchors(FIVE, PETS[:, 1:], threshold)
    with pytest.raises(ValueError, match=r"boxes 里第 \[0\] 个框 .* 不合格"):
        assign_anchors(FIVE, boxes_of((1, 0, 0, 1)))
    with pytest.raises(ValueError, match=r"anchors 里第 \[0\] 个框 .* 不合格"):
        assign_anchors(boxes_of((0, 1, 1, 0)), boxes_of((0, 0, 1, 1)))
    with pytest.raises(ValueError, match=r"anchors 的形状是 \(1, 5, 4\)"):
        assign_anchors(FIVE[None], PETS[:, 1:])
    with pytest.raises(ValueError, match=r"boxes 的是 \(4,\)"):
        assign_anchors(FIVE, PETS[0, 1:])
    with pytest.raises(TypeError, match=r"valid 是 torch.int64"):
        assign_anchors(FIVE, PETS[:, 1:], valid=torch.tensor([1, 0]))
    with pytest.raises(ValueError, match=r"valid 的形状是 \(1,\)"):
        assign_anchors(FIVE, PETS[:, 1:], valid=torch.tensor([True]))


# ---- 分配：慢算法 --------------------------------------------------------------------------


def exact_iou(a: list[int], b: list[int]) -> Fraction:
    """分数没有舍入误差，并列就是真的并列。"""
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - width * height
    return Fraction(width * height, union) if union else Fraction(0)


def slow_assign(iou: list[list[float]], objects: int, threshold: float) -> list[int]:
    """照规则逐个地做；``iou`` 的第 i 行第 j 列是锚框 i 与目标 j 的交并比。"""
    result = [-1] * len(iou)
    for i, row in enumerate(iou):
        if row and max(row) >= threshold:
            result[i] = row.index(max(row))
    free_anchors, free_objects = set(range(len(iou))), set(range(objects))
    while free_anchors and free_objects:
        pairs = product(sorted(free_anchors), sorted(free_objects))
        i, j = max(pairs, key=lambda pair: (iou[pair[0]][pair[1]], -pair[0], -pair[1]))
        if iou[i][j] == 0:
            break
        result[i] = j
        free_anchors.discard(i)
        free_objects.discard(j)
    return result


grid = st.integers(0, 4)
grid_box = st.tuples(grid, grid, grid, grid).map(
    lambda t: [min(t[0], t[2]), min(t[1], t[3]), max(t[0], t[2]), max(t[1], t[3])]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(grid_box, max_size=7),
    st.lists(grid_box, max_size=6),
    st.sampled_from([0.25, 0.5, 0.75, 1.0]),
)
def test_assignment_equals_the_slow_rules(
    anchors: list[list[int]], objects: list[list[int]], threshold: float
) -> None:
    """整数格子上并列、重合、零面积随处可见。"""
    result = assign_anchors(boxes_of(*anchors), boxes_of(*objects), threshold)
    iou = [[exact_iou(a, b) for b in objects] for a in anchors]
    assert result.tolist() == slow_assign(iou, len(objects), threshold)


@pytest.mark.parametrize("seed", range(3))
def test_dense_anchors_equal_the_slow_rules(seed: int) -> None:
    """一批里每张图像目标个数不同，大小各异，争抢锚框的很多。"""
    torch.manual_seed(seed)
    anchors = generate_anchors((4, 4), [0.3, 0.6], [1, 2])
    objects = torch.rand(4, 6, 2, 2).mul(16).round().div(16).sort(dim=-2).values.flatten(-2)
    objects[:, 1::2] = objects[:, ::2]  # 成对重合
    valid = torch.rand(4, 6) > 0.2
    result = assign_anchors(anchors, objects, valid=valid)
    for i in range(4):
        where = valid[i].nonzero().flatten()
        iou = box_iou(anchors, objects[i, where])
        slow = slow_assign(iou.tolist(), len(where), 0.5)
        assert result[i].tolist() == [int(where[j]) if j >= 0 else -1 for j in slow]


# ---- 偏移 --------------------------------------------------------------------------------


def test_offsets_by_hand() -> None:
    # 中心从 (0.275, 0.3) 到 (0.31, 0.5)，宽高从 (0.25, 0.2) 到 (0.42, 0.84)
    offsets = encode_offsets(FIVE[1], PETS[0, 1:])
    expected = [1.4, 10.0, 5 * math.log(1.68), 5 * math.log(4.2)]
    assert offsets.tolist() == pytest.approx(expected, rel=1e-5)


def test_identical_boxes_have_offsets_exactly_zero() -> None:
    assert encode_offsets(FIVE, FIVE).tolist() == [[0, 0, 0, 0]] * 5
    torch.testing.assert_close(decode_offsets(FIVE, torch.zeros(5, 4)), FIVE)


def test_each_variance_divides_its_own_offset() -> None:
    plain = encode_offsets(FIVE[1], PETS[0, 1:], (1, 1, 1, 1))
    scaled = encode_offsets(FIVE[1], PETS[0, 1:], (0.5, 0.25, 2, 4))
    torch.testing.assert_close(scaled, plain * torch.tensor([2, 4, 0.5, 0.25]))
    back = decode_offsets(FIVE[1], scaled, (0.5, 0.25, 2, 4))
    torch.testing.assert_close(back, PETS[0, 1:])


def test_offsets_decode_by_hand() -> None:
    anchor = boxes_of((0.2, 0.2, 0.6, 0.4))
    # 中心 (0.4, 0.3) 移动 (0.1·0.4, 0.2·0.2)，宽加倍、高减半
    offsets = torch.tensor([[1.0, 2.0, 5 * math.log(2), -5 * math.log(2)]])
    expected = boxes_of((0.04, 0.29, 0.84, 0.39))
    torch.testing.assert_close(decode_offsets(anchor, offsets), expected)


def test_offsets_invert_each_other() -> None:
    torch.manual_seed(0)
    corners = torch.rand(2, 1000, 2, 2, dtype=torch.float64).sort(dim=-2).values
    anchors, boxes = corners.flatten(-2)
    offsets = encode_offsets(anchors, boxes)
    torch.testing.assert_close(decode_offsets(anchors, offsets), boxes, rtol=0, atol=1e-12)
    offsets = torch.randn(3, 1000, 4, dtype=torch.float64)
    again = encode_offsets(anchors, decode_offsets(anchors, offsets))
    torch.testing.assert_close(again, offsets, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bad", [(0, 0, 0, 1), (0, 0, 1, 0), (1, 0, 0, 1), (0, 0, math.nan, 1)])
def test_empty_boxes_cannot_be_encoded(bad: tuple[float, ...]) -> None:
    good = boxes_of((0, 0, 1, 1))
    with pytest.raises(ValueError, match="boxes 里有框的宽或高不大于 0"):
        encode_offsets(good, boxes_of(bad))
    with pytest.raises(ValueError, match="anchors 里有框的宽或高不大于 0"):
        encode_offsets(boxes_of(bad), good)


def test_offset_errors_say_what_was_given() -> None:
    for function in (encode_offsets, decode_offsets):
        with pytest.raises(ValueError, match=r"variances=\(0.1, 0.1, 0.2\) 有 3 个数"):
            function(FIVE, FIVE, (0.1, 0.1, 0.2))
        with pytest.raises(ValueError, match=r"variances=.* 不对"):
            function(FIVE, FIVE, (0.1, 0.1, 0.2, 0))
    with pytest.raises(ValueError, match=r"offsets 的形状是 \(5, 3\)"):
        decode_offsets(FIVE, torch.zeros(5, 3))


# ---- 一批的标签 ---------------------------------------------------------------------------


def test_targets_hold_the_offsets_of_the_assigned_boxes() -> None:
    targets = anchor_targets(FIVE, PETS[None])
    assert targets.offsets.shape == (1, 5, 4)
    mask = targets.mask[0]
    expected = encode_offsets(FIVE[mask], PETS[[0, 1, 1], 1:])
    assert torch.equal(targets.offsets[0, mask], expected)
    assert (targets.offsets[0, ~mask] == 0).all()
    decoded = decode_offsets(FIVE[mask], targets.offsets[0, mask])
    torch.testing.assert_close(decoded, PETS[[0, 1, 1], 1:])


def test_padding_rows_are_ignored_whatever_they_hold() -> None:
    for junk in (
        [0.0] * 4,
        [-1.0] * 4,
        [math.nan] * 4,
        [0.9, 0.9, 0.1, 0.1],
        [0.1, 0.08, 0.5, 0.9],
    ):
        padding = torch.tensor([[-1.0, *junk]])
        rows = torch.cat([padding, PETS[:1], padding, PETS[1:], padding])
        for got, expected in zip(
            anchor_targets(FIVE, rows[None]), anchor_targets(FIVE, PETS[None]), strict=True
        ):
            assert torch.equal(got, expected)


def test_images_without_objects_are_all_background() -> None:
    empty = torch.full((1, 2, 5), -1.0)
    for labels in (torch.zeros(3, 0, 5), empty, torch.zeros(0, 2, 5)):
        offsets, mask, classes = anchor_targets(FIVE, labels)
        assert offsets.shape == (len(labels), 5, 4)
        assert not mask.any()
        assert not offsets.any()
        assert classes.tolist() == [[0] * 5] * len(labels)
    both = anchor_targets(FIVE, torch.stack([PETS, empty[0]]))
    assert both.classes.tolist() == [[0, 1, 2, 0, 2], [0] * 5]


def test_each_image_gets_its_own_targets() -> None:
    swapped = torch.stack([PETS[0], PETS[1]])
    swapped[:, 0] = torch.tensor([7.0, 3.0])
    batch = torch.stack([PETS, swapped.flip(0)])
    assert anchor_targets(FIVE, batch).classes.tolist() == [[0, 1, 2, 0, 2], [0, 8, 4, 0, 4]]


def test_targets_threshold_is_passed_on() -> None:
    strict = anchor_targets(FIVE, PETS[None], iou_threshold=0.9)
    assert strict.classes.tolist() == [[0, 1, 0, 0, 2]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_targets_keep_the_dtype_of_the_anchors(dtype: torch.dtype) -> None:
    with torch.device("meta"):  # 没写 device 的张量会落错地方，一用就报错
        offsets, mask, classes = anchor_targets(FIVE.to(dtype), PETS[None])
    assert (offsets.dtype, mask.dtype, classes.dtype) == (dtype, torch.bool, torch.int64)
    assert classes.tolist() == [[0, 1, 2, 0, 2]]


def test_target_errors_say_what_was_given() -> None:
    with pytest.raises(TypeError, match=r"labels 是 torch.int64"):
        anchor_targets(FIVE, PETS[None].long())
    for shape in ((2, 5), (1, 2, 4)):
        with pytest.raises(ValueError, match=r"labels 的形状是 .*应是 \(B, G, 5\)"):
            anchor_targets(FIVE, torch.zeros(shape))
    centers = torch.tensor([[[0.0, 0.5, 0.5, 0.2, 0.2]]])  # 中心与宽高：次序用错了
    with pytest.raises(ValueError, match="center_to_corner"):
        anchor_targets(FIVE, centers)


def test_assigned_anchors_are_the_nearest_ones() -> None:
    """5,444 个锚框的真实规模：每个目标都有锚框，每个过阈值的锚框都有目标。"""
    torch.manual_seed(0)
    scales = [(32, 0.2), (16, 0.37), (8, 0.54), (4, 0.71), (1, 0.88)]
    anchors = torch.cat([generate_anchors((n, n), [s, s * 1.3], [1, 2, 0.5]) for n, s in scales])
    assert len(anchors) == 5444
    corners = torch.rand(4, 8, 2) * 0.7
    objects = torch.cat([corners, corners + 0.1 + 0.2 * torch.rand(4, 8, 2)], dim=-1)
    assigned = assign_anchors(anchors, objects)
    iou = box_iou(objects, anchors)
    assert (box_area(objects) > 0).all()
    for i in range(4):
        assert set(range(8)) <= set(assigned[i].tolist())
        positive = assigned[i] >= 0
        assert (positive >= (iou[i].amax(0) >= 0.5)).all()
        assert (positive & (iou[i].amax(0) < 0.5)).sum() <= 8
