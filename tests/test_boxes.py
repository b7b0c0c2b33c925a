"""边界框：手算例子、边界情形，以及与 torchvision.ops 的一万次随机对照。"""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from d2lcore.boxes import (
    box_area,
    box_giou,
    box_iou,
    center_to_corner,
    check_boxes,
    clip_boxes,
    corner_to_center,
)

DOG, CAT = [60.0, 45.0, 378.0, 516.0], [400.0, 112.0, 655.0, 493.0]
UNARY: list[Callable[[Tensor], Tensor]] = [
    corner_to_center,
    center_to_corner,
    box_area,
    lambda boxes: clip_boxes(boxes, 2, 3),
]
PAIRWISE: list[Callable[[Tensor, Tensor], Tensor]] = [box_iou, box_giou]
NAMES = ["corner_to_center", "center_to_corner", "box_area", "clip_boxes"]


def random_boxes(*shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
    corners = torch.rand(*shape, 2, 2, dtype=dtype).sort(dim=-2).values
    return corners.flatten(-2) * scale


# ---- 手算例子 ----------------------------------------------------------------------------


def test_conversions_of_a_worked_example() -> None:
    centers = torch.tensor([[219.0, 280.5, 318.0, 471.0], [527.5, 302.5, 255.0, 381.0]])
    corners = torch.tensor([DOG, CAT])
    assert torch.equal(corner_to_center(corners), centers)
    assert torch.equal(center_to_corner(centers), corners)


def test_area_of_a_worked_example() -> None:
    assert box_area(torch.tensor([DOG, [1.0, 2.0, 1.0, 9.0]])).tolist() == [318 * 471, 0]


def test_iou_of_worked_examples() -> None:
    a = torch.tensor([[0.0, 0.0, 4.0, 3.0]])
    b = torch.tensor(
        [
            [0.0, 0.0, 4.0, 3.0],  # 相同
            [2.0, 1.0, 6.0, 4.0],  # 相交 2×2，相并 12+12-4
            [1.0, 1.0, 2.0, 2.0],  # 在里面：1/12
            [4.0, 0.0, 8.0, 3.0],  # 只有一条边相接
            [5.0, 5.0, 6.0, 6.0],  # 两个方向都不相交：负负不能得正
            [-9.0, 1.0, -8.0, 2.0],
            [1.0, -9.0, 2.0, -8.0],
        ]
    )
    expected = torch.tensor([[1, 4 / 20, 1 / 12, 0, 0, 0, 0]])
    assert torch.equal(box_iou(a, b), expected)
    assert torch.equal(box_iou(b, a), expected.T)


def test_giou_of_worked_examples() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 1.0]])
    b = torch.tensor(
        [[0, 0, 2, 1], [1, 0, 3, 1], [4, 2, 6, 3], [-3, -2, -1, -1]], dtype=torch.float32
    )
    # 外包框：2×1、3×1、6×3、5×3
    assert box_giou(a, b)[0].tolist() == pytest.approx([1, 1 / 3, -(18 - 4) / 18, -(15 - 4) / 15])


def test_tiny_boxes_have_the_same_iou() -> None:
    box = torch.tensor([[0.0, 0.0, 4.0, 3.0], [2.0, 1.0, 6.0, 4.0]])
    torch.testing.assert_close(box_iou(box * 1e-8, box * 1e-8), box_iou(box, box))


def test_clip_of_a_worked_example() -> None:
    boxes = torch.tensor([[-1.0, -2.0, 9.0, 8.0], [1.0, 2.0, 3.0, 4.0], [9.0, 8.0, 10.0, 11.0]])
    expected = [[0, 0, 5, 3], [1, 2, 3, 3], [5, 3, 5, 3]]
    assert clip_boxes(boxes, height=3, width=5).tolist() == expected
    assert boxes[0, 0] == -1  # 原来的不变


# ---- 每条规则 ----------------------------------------------------------------------------


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_zero_area_boxes_have_iou_zero_and_finite_gradient(
    pairwise: Callable[[Tensor, Tensor], Tensor],
) -> None:
    point = torch.tensor([[1.0, 1.0, 1.0, 1.0]], requires_grad=True)
    line = torch.tensor([[1.0, 1.0, 1.0, 3.0]])
    assert pairwise(point, torch.cat([point, line])).tolist() == [[0, 0]]
    box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    total = pairwise(point, torch.cat([point, line, box])).sum()
    total.backward()
    assert point.grad is not None
    assert point.grad.isfinite().all()


def test_giou_of_a_point_and_a_box_counts_the_hull() -> None:
    a, b = torch.tensor([[0.0, 0.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 2.0, 2.0]])
    assert box_giou(a, b).item() == pytest.approx(-3 / 4)
    assert box_giou(a, torch.tensor([[1.0, 1.0, 1.0, 1.0]])).item() == -1


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_leading_dimensions_broadcast(pairwise: Callable[[Tensor, Tensor], Tensor]) -> None:
    a, b = random_boxes(3, 1, 5), random_boxes(2, 4)
    result = pairwise(a, b)
    assert result.shape == (3, 2, 5, 4)
    for i in range(3):
        for j in range(2):
            assert torch.equal(result[i, j], pairwise(a[i, 0], b[j]))


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_no_boxes_give_an_empty_table(pairwise: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert pairwise(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
    assert pairwise(torch.zeros(2, 3, 4), torch.zeros(2, 0, 4)).shape == (2, 3, 0)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_gradients_equal_finite_differences(
    pairwise: Callable[[Tensor, Tensor], Tensor],
) -> None:
    torch.manual_seed(0)
    a = random_boxes(3, dtype=torch.float64).requires_grad_()
    b = random_boxes(2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(pairwise, (a, b))


def test_inputs_are_not_changed() -> None:
    a, b = random_boxes(4), random_boxes(4)
    before = a.clone(), b.clone()
    for pairwise in PAIRWISE:
        pairwise(a, b)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_areas_do_not_overflow(half: torch.dtype) -> None:
    boxes = torch.tensor([[0, 0, 512, 512], [0, 0, 256, 512]], dtype=half)
    assert box_area(boxes).tolist() == [512 * 512, 256 * 512]
    assert box_iou(boxes, boxes).tolist() == [[1, 0.5], [0.5, 1]]
    assert box_giou(boxes, boxes).dtype == torch.float32
    assert corner_to_center(boxes).dtype == clip_boxes(boxes, 9, 9).dtype == half


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_dtype_and_device_follow_the_input(dtype: torch.dtype, device: str) -> None:
    boxes = torch.zeros(3, 4, dtype=dtype, device=device)
    with torch.device("cpu" if device == "meta" else "meta"):  # 没写 device 的张量会落错地方
        results = [f(boxes) for f in UNARY] + [f(boxes, boxes) for f in PAIRWISE]
    for result in results:
        assert result.dtype == dtype
        assert result.device.type == device


# ---- 报错 --------------------------------------------------------------------------------


def test_check_boxes_accepts_good_boxes() -> None:
    check_boxes(torch.tensor([[[0.0, 0.0, 0.0, 0.0], [-1.0, -2.0, 3.0, 4.0]]]))
    check_boxes(torch.zeros(0, 4))
    check_boxes(torch.zeros(4))


@pytest.mark.parametrize(
    "bad",
    [
        [0.6, 0.1, 0.5, 0.9],
        [0.1, 0.95, 0.5, 0.9],
        [float("nan"), 0.0, 1.0, 1.0],
        [0.0, 0.0, float("inf"), 1.0],
    ],
)
def test_check_boxes_names_the_first_bad_box(bad: list[float]) -> None:
    boxes = torch.zeros(2, 3, 4)
    boxes[1, 0] = torch.tensor(bad)
    boxes[1, 2] = torch.tensor(bad)
    with pytest.raises(ValueError, match=r"labels 里第 \[1, 0\] 个框 \[.*\] 不合格") as error:
        check_boxes(boxes, "labels")
    assert str(bad) in str(error.value)
    with pytest.raises(ValueError, match=r"labels 的形状是 \(2, 3\)"):
        check_boxes(boxes[0, :2, :3], "labels")


@pytest.mark.parametrize("function", UNARY, ids=NAMES)
def test_wrong_shape_or_dtype_is_explained(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"boxes 的形状是 \(2, 5\)，应是 \(…, 4\)"):
        function(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"形状是 \(\)"):
        function(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"boxes 是 torch.int64，应是浮点张量"):
        function(torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(TypeError, match="boxes 是 list"):
        function([[0.0, 0.0, 1.0, 1.0]])  # type: ignore[arg-type]


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_pairwise_shapes_are_checked(pairwise: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"b 的形状是 \(4,\).*box\[None\]"):
        pairwise(torch.zeros(2, 4), torch.zeros(4))
    with pytest.raises(ValueError, match=r"a 的形状是 \(2, 3\)"):
        pairwise(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"a 的形状是 \(4,\).*box\[None\]"):
        pairwise(torch.zeros(4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"\(2, 5, 4\) 与 b 的形状 \(3, 5, 4\) 对不上"):
        pairwise(torch.zeros(2, 5, 4), torch.zeros(3, 5, 4))


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (float("nan"), 5)])
def test_clip_refuses_an_empty_image(size: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="都应大于 0"):
        clip_boxes(torch.zeros(1, 4), *size)


# ---- 性质 --------------------------------------------------------------------------------

integer_boxes = st.lists(
    st.tuples(*[st.integers(0, 6)] * 4).map(
        lambda t: (min(t[0], t[2]), min(t[1], t[3]), max(t[0], t[2]), max(t[1], t[3]))
    ),
    min_size=1,
    max_size=5,
)


def exact_iou(a: tuple[int, ...], b: tuple[int, ...]) -> Fraction:
    """数格子：整数坐标的框就是一些 1×1 的格子的集合。"""
    cells = [
        {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])} for box in (a, b)
    ]
    union = len(cells[0] | cells[1])
    return Fraction(len(cells[0] & cells[1]), union) if union else Fraction(0)


@settings(max_examples=150, deadline=None)
@given(integer_boxes, integer_boxes)
def test_iou_equals_counting_cells(a: list[tuple[int, ...]], b: list[tuple[int, ...]]) -> None:
    table = box_iou(torch.tensor(a).double(), torch.tensor(b).double())
    for i, box in enumerate(a):
        for j, other in enumerate(b):
            assert table[i, j] == float(exact_iou(box, other))


def test_conversions_are_inverse() -> None:
    boxes = random_boxes(5, 100, dtype=torch.float64)
    torch.testing.assert_close(center_to_corner(corner_to_center(boxes)), boxes)


# ---- 与 torchvision 对照 -----------------------------------------------------------------


def test_ten_thousand_random_cases_equal_torchvision() -> None:
    ops = pytest.importorskip("torchvision.ops")
    generator = torch.Generator().manual_seed(0)
    for case in range(10_000):
        n, m = torch.randint(0, 12, (2,), generator=generator).tolist()
        corners = torch.rand(n + m, 2, 2, generator=generator) * (1 if case % 2 else 640) - 0.1
        if case % 4 == 0:
            corners = corners.round()  # 相接、重合、零面积的情形多起来
        boxes = corners.sort(dim=1).values.flatten(1)
        a, b = boxes.split([n, m])
        assert torch.equal(box_area(boxes), ops.box_area(boxes))
        # 两个面积为零的框，torchvision 给 NaN，我们商定为 0
        assert torch.equal(box_iou(a, b), ops.box_iou(a, b).nan_to_num(nan=0))
        giou = ops.generalized_box_iou(a, b)
        ours = box_giou(a, b)
        assert torch.equal(ours[giou.isfinite()], giou[giou.isfinite()])
        assert ours.isfinite().all()
        centers = corner_to_center(boxes)
        assert torch.equal(centers, ops.box_convert(boxes, "xyxy", "cxcywh"))
        assert torch.equal(center_to_corner(centers), ops.box_convert(centers, "cxcywh", "xyxy"))
        clipped = ops.clip_boxes_to_image(boxes, (300, 400))
        assert torch.equal(clip_boxes(boxes, 300, 400), clipped)
