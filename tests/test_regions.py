"""RoI 汇聚与 RoI 对齐：手算例子、边界情形，以及与 torchvision.ops 的随机对照。"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision import ops

from d2lcore.regions import bilinear_sample, roi_align, roi_pool

RAMP = torch.arange(16.0).reshape(1, 1, 4, 4)  # 第 (i, j) 格是 4i + j
BOTH: list[Callable[..., Tensor]] = [roi_pool, roi_align]


def random_case(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """特征图、框与参数；框有大有小，有的面积为零、有的伸出或完全在图像之外。"""
    generator = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int, shape: tuple[int, ...] = ()) -> Tensor:
        return torch.randint(low, high + 1, shape, generator=generator)

    B, H, W, N, P, Q = (int(integers(1, most)) for most in (3, 12, 12, 5, 7, 7))
    scale = (1.0, 0.5, 1 / 16, 0.3)[seed % 4]
    corners = torch.rand(N, 2, 2, generator=generator, dtype=dtype) * 1.8 - 0.4
    corners = corners * torch.tensor([W, H], dtype=dtype) / scale
    if seed % 3 == 0:  # 很小的框
        corners[:, 1] = corners[:, 0] + (corners[:, 1] - corners[:, 0]) * 0.05
    if seed % 5 == 0:  # 面积为零
        corners[:, 1] = corners[:, 0]
    if seed % 7 == 0:  # 坐标是整数：乘 0.5 之后有恰好一半的
        corners = corners.round()
    boxes = corners.sort(dim=1).values.flatten(1)
    return {
        "features": torch.randn(B, 2, H, W, generator=generator, dtype=dtype),
        "boxes": torch.cat([integers(0, B - 1, (N, 1)).to(dtype), boxes], dim=1),
        "output_size": (P, Q),
        "spatial_scale": scale,
    }


# ---- 手算例子 ----------------------------------------------------------------------------


def test_pool_of_a_worked_example() -> None:
    # 取整后第 0 到 2 行、第 0 到 2 列，3×3 格分成 2×2 份：[0, 2) 与 [1, 3)，中间一格共有
    box = torch.tensor([[0.0, 0.3, -0.4, 1.6, 2.4]])
    assert roi_pool(RAMP, box, 2).tolist() == [[[[5, 6], [9, 10]]]]


def test_pool_rounds_halves_away_from_zero() -> None:
    box = torch.tensor([[0.0, 0.5, 0.5, 2.5, 2.5]])  # 1 到 3；取偶数则是 0 到 2
    assert roi_pool(RAMP, box, 1).item() == 15
    negative = torch.tensor([[0.0, -1.5, -1.5, -0.5, -0.5]])  # -2 到 -1，都在外面
    assert roi_pool(RAMP + 1, negative, 1).item() == 0


def test_align_of_a_worked_example() -> None:
    # 减半格后是 0 到 2，两份的中点在 0.5 与 1.5；值是 4y + x
    box = torch.tensor([[0.0, 0.5, 0.5, 2.5, 2.5]])
    expected = [[[[2.5, 3.5], [6.5, 7.5]]]]
    assert roi_align(RAMP, box, 2, sampling_ratio=1, aligned=True).tolist() == expected
    # 不减半格时各点的 x、y 都大 0.5
    shifted = [[[[5, 6], [9, 10]]]]
    assert roi_align(RAMP, box, 2, sampling_ratio=1).tolist() == shifted


def test_scale_brings_image_boxes_to_the_features() -> None:
    box = torch.tensor([[0.0, 8.0, 8.0, 40.0, 40.0]])
    small = box / torch.tensor([1.0, 16, 16, 16, 16])
    for function in BOTH:
        assert torch.equal(function(RAMP, box, 2, 1 / 16), function(RAMP, small, 2))


def test_bilinear_of_worked_examples() -> None:
    X = torch.tensor([[[0.0, 4.0], [8.0, 12.0]], [[1.0, 1.0], [1.0, 1.0]]])
    y = torch.tensor([0.25, 0.0, -0.5, -1.0, -1.1, 1.5, 2.0, 2.1, 0.0, 0.0, 0.0, 0.0])
    x = torch.tensor([0.75, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, -1.1, 2.0, 2.1])
    first = [0.25 * 8 + 0.75 * 4, 4, 0, 0, 0, 12, 12, 0, 0, 0, 4, 0]
    second = [1, 1, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0]
    assert bilinear_sample(X, y, x).tolist() == [first, second]


def test_bilinear_broadcasts() -> None:
    X = torch.randn(3, 5, 6)
    y, x = torch.rand(4, 1) * 4, torch.rand(7) * 5
    grid = bilinear_sample(X, y, x)
    assert grid.shape == (3, 4, 7)
    assert torch.equal(grid[:, 2, 3], bilinear_sample(X, y[2, 0], x[3]))


# ---- 与 torchvision 对照 -------------------------------------------------------------------


def their_pool(features: Tensor, boxes: Any, *rest: Any, **options: Any) -> Tensor:
    return ops.roi_pool(features, boxes, *rest, **options)


def their_align(features: Tensor, boxes: Any, *rest: Any, **options: Any) -> Tensor:
    return ops.roi_align(features, boxes, *rest, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pool_equals_torchvision(dtype: torch.dtype) -> None:
    for seed in range(400):
        case = random_case(seed, dtype)
        assert torch.equal(roi_pool(**case), their_pool(**case)), seed


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 0, 1, 2, 3])
def test_align_equals_torchvision(ratio: int, aligned: bool) -> None:
    for seed in range(200):
        case = random_case(seed)
        case.update(sampling_ratio=ratio, aligned=aligned)
        torch.testing.assert_close(roi_align(**case), their_align(**case), atol=1e-5, rtol=1e-5)


def test_gradient_of_features_equals_torchvision() -> None:
    for seed in range(60):
        case = random_case(seed, torch.float64)
        # 取整后有许多并列的最大值：梯度给哪一格也要相同
        case["features"] = case["features"].round().requires_grad_()
        for mine, theirs in ((roi_pool, their_pool), (roi_align, their_align)):
            weights = torch.randn(len(case["boxes"]), 2, *case["output_size"], dtype=torch.float64)
            a, b = (
                torch.autograd.grad((f(**case) * weights).sum(), case["features"])[0]
                for f in (mine, theirs)
            )
            torch.testing.assert_close(a, b)


def test_list_of_boxes_equals_torchvision() -> None:
    features = torch.randn(3, 2, 6, 5)
    boxes = [torch.rand(2, 4).sort(1).values * 5, torch.zeros(0, 4), torch.tensor([[0.0, 1, 3, 4]])]
    for mine, theirs in ((roi_pool, their_pool), (roi_align, their_align)):
        torch.testing.assert_close(mine(features, boxes, 3), theirs(features, boxes, 3))


def test_pool_splits_like_torchvision_where_float32_rounds_up() -> None:
    features = torch.arange(60.0)[None, None, :, None]
    box = torch.tensor([[0.0, 0.0, 0.0, 0.0, 56.0]])  # 57 格分 7 份：(57/7)·7 略大于 57
    assert torch.equal(roi_pool(features, box, (7, 1)), ops.roi_pool(features, box, (7, 1)))
    assert roi_pool(features, box, (7, 1))[0, 0, -1, 0] == 57
    assert roi_pool(features.double(), box.double(), (7, 1))[0, 0, -1, 0] == 56


# ---- 规律 ----------------------------------------------------------------------------------


@given(st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_both_equal_torchvision_on_any_case(seed: int) -> None:
    case = random_case(seed)
    assert torch.equal(roi_pool(**case), their_pool(**case))
    options: dict[str, Any] = {"sampling_ratio": seed % 4 - 1, "aligned": seed % 2 == 0}
    torch.testing.assert_close(
        roi_align(**case, **options), their_align(**case, **options), atol=1e-5, rtol=1e-5
    )


@given(st.integers(0, 10**6), st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=50, deadline=None)
def test_align_is_linear(seed: int, a: float, b: float) -> None:
    case = random_case(seed, torch.float64)
    other = torch.randn_like(case["features"])
    mixed = roi_align(**(case | {"features": a * case["features"] + b * other}))
    apart = a * roi_align(**case) + b * roi_align(**(case | {"features": other}))
    torch.testing.assert_close(mixed, apart)


@given(st.integers(1, 6), st.floats(0, 5), st.floats(0, 5), st.floats(0.2, 2), st.floats(0.2, 2))
@settings(max_examples=50, deadline=None)
def test_align_is_exact_on_a_slope(g: int, y1: float, x1: float, h: float, w: float) -> None:
    """特征是坐标的一次函数、框在图内时，每份的平均就是它中点的值，与取几个点无关。"""
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    features = (2 * y - 3 * x + 1).double()[None, None]
    box = torch.tensor([[0, x1 + 0.5, y1 + 0.5, x1 + w + 0.5, y1 + h + 0.5]], dtype=torch.float64)
    found = roi_align(features, box, (2, 3), sampling_ratio=g, aligned=True)[0, 0]
    p, q = torch.arange(2.0).double()[:, None], torch.arange(3.0).double()
    expected = 2 * (y1 + (p + 0.5) * h / 2) - 3 * (x1 + (q + 0.5) * w / 3) + 1
    torch.testing.assert_close(found, expected)


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_align_averages_bilinear_samples(seed: int) -> None:
    case = random_case(seed, torch.float64) | {"output_size": 1}
    found = roi_align(**case, sampling_ratio=2, aligned=True)
    for box, value in zip(case["boxes"], found, strict=True):
        x1, y1, x2, y2 = (box[1:] * case["spatial_scale"] - 0.5).tolist()
        part = torch.tensor([0.25, 0.75], dtype=torch.float64)
        y, x = y1 + part[:, None] * (y2 - y1), x1 + part * (x2 - x1)
        samples = bilinear_sample(case["features"][int(box[0])], y, x)
        torch.testing.assert_close(samples.mean(dim=(1, 2)), value[:, 0, 0])


# ---- 梯度 ----------------------------------------------------------------------------------


def test_gradcheck() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    # 采样点都不在格点与边界上，那里导数不存在
    boxes = torch.tensor(
        [[0, 0.63, 0.71, 3.11, 4.27], [1, -0.83, 1.17, 2.39, 2.93]], dtype=torch.float64
    )
    assert torch.autograd.gradcheck(lambda X: roi_pool(X, boxes, (2, 3)), features)
    corners = boxes[:, 1:].clone().requires_grad_()
    for ratio in (-1, 2):

        def align(X: Tensor, c: Tensor, ratio: int = ratio) -> Tensor:
            rois = torch.cat([boxes[:, :1], c], dim=1)
            return roi_align(X, rois, (2, 3), sampling_ratio=ratio, aligned=True)

        assert torch.autograd.gradcheck(align, (features, corners))
    points = torch.tensor([[0.3, 1.7], [3.4, 4.6]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda X, t: bilinear_sample(X, t[0], t[1]), (features[0].detach(), points)
    )


def test_boxes_get_gradient_only_from_align() -> None:
    box = torch.tensor([[0.0, 0.7, 0.6, 2.9, 2.8]], requires_grad=True)
    roi_align(RAMP, box, 2, aligned=True).sum().backward()
    assert box.grad is not None
    # 每份的均值是中点的 4y + x，四份之和是 8(y1+y2) + 2(x1+x2) 加常数
    torch.testing.assert_close(box.grad[0], torch.tensor([0.0, 2, 8, 2, 8]))
    assert not roi_pool(RAMP, box, 2).requires_grad


# ---- 边界情形 --------------------------------------------------------------------------------


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("boxes", [torch.zeros(0, 5), [torch.zeros(0, 4)]])
def test_no_boxes(function: Callable[..., Tensor], boxes: Tensor | list[Tensor]) -> None:
    assert function(RAMP, boxes, (2, 3)).shape == (0, 1, 2, 3)


def test_no_images() -> None:
    for function in BOTH:
        assert function(torch.zeros(0, 2, 4, 4), [], 3).shape == (0, 2, 3, 3)


def test_zero_area() -> None:
    box = torch.tensor([[0.0, 2.0, 1.0, 2.0, 1.0]])
    assert roi_pool(RAMP, box, 2).unique().tolist() == [6]  # 1×1 格
    assert roi_align(RAMP, box, 2, aligned=True).unique().tolist() == [0]  # 一个点也不取
    assert roi_align(RAMP, box, 1, aligned=True, sampling_ratio=2).item() == 4 * 0.5 + 1.5
    assert roi_align(RAMP, box, 1).item() == 4 * 1.5 + 2.5  # 至少算 1 格


def test_outside_is_zero() -> None:
    box = torch.tensor([[0.0, 50.0, 50.0, 60.0, 60.0]])
    for function in BOTH:
        assert function(RAMP + 1, box, 2).unique().tolist() == [0]


def test_half_precision_keeps_the_coordinates_exact() -> None:
    features = torch.randn(1, 2, 64, 64)
    box = torch.tensor([[0.0, 301.7, 402.3, 903.9, 1000.1]])
    for function in BOTH:
        half = function(features.half(), box, 3, 1 / 16)
        assert half.dtype == torch.float16
        torch.testing.assert_close(
            half.float(), function(features, box, 3, 1 / 16), atol=5e-3, rtol=0
        )
    assert roi_pool(features.half(), [box[:, 1:].half()], 3, 1 / 16).dtype == torch.float16


# ---- 坏输入 --------------------------------------------------------------------------------


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": RAMP[0]}, "features.*写成 features"),
        ({"features": torch.zeros(1, 1, 0, 4)}, "高宽至少 1"),
        ({"boxes": torch.zeros(2, 4)}, r"\(2, 4\)，应是 \(N, 5\)"),
        ({"boxes": torch.zeros(5)}, r"应是 \(N, 5\)"),
        ({"boxes": torch.tensor([[1.0, 0, 0, 1, 1]])}, "第一列里有 1，应是第几张图：0 到 0"),
        ({"boxes": torch.tensor([[-1.0, 0, 0, 1, 1]])}, "第一列里有 -1"),
        ({"boxes": torch.tensor([[0.5, 0, 0, 1, 1]])}, "第一列里有 0.5"),
        ({"boxes": torch.tensor([[float("nan"), 0, 0, 1, 1]])}, "第一列里有 nan"),
        ({"boxes": torch.tensor([[0.0, 2, 0, 1, 1]])}, "不合格"),
        ({"boxes": [torch.zeros(1, 4)] * 2}, "2 个张量的列表，features 却有 1 张图"),
        ({"boxes": [torch.zeros(1, 5)]}, r"boxes\[0\] 的形状是 \(1, 5\)"),
        ({"output_size": 0}, "output_size=0"),
        ({"output_size": (2, 3, 4)}, "output_size"),
        ({"output_size": (2, 1.5)}, "output_size"),
        ({"spatial_scale": 0.0}, "spatial_scale=0.0 不对.*1/16"),
        ({"spatial_scale": float("inf")}, "spatial_scale=inf"),
    ],
)
def test_bad_values_are_explained(
    function: Callable[..., Tensor], change: dict[str, Any], message: str
) -> None:
    good = {"features": RAMP, "boxes": torch.zeros(1, 5), "output_size": 2, "spatial_scale": 1.0}
    with pytest.raises(ValueError, match=message):
        function(**(good | change))


@pytest.mark.parametrize("function", BOTH)
def test_wrong_types_are_explained(function: Callable[..., Tensor]) -> None:
    with pytest.raises(TypeError, match=r"features 是 torch.int64.*features.float"):
        function(RAMP.long(), torch.zeros(1, 5), 2)
    with pytest.raises(TypeError, match=r"boxes 是 torch.int64"):
        function(RAMP, torch.zeros(1, 5).long(), 2)
    with pytest.raises(TypeError, match=r"boxes\[0\] 是 list"):
        function(RAMP, [[0.0, 0.0, 1.0, 1.0]], 2)


def test_other_bad_inputs_are_explained() -> None:
    with pytest.raises(ValueError, match=r"sampling_ratio=1.5"):
        roi_align(RAMP, torch.zeros(1, 5), 2, sampling_ratio=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"应是 \(C, H, W\)"):
        bilinear_sample(RAMP, torch.zeros(1), torch.zeros(1))
    with pytest.raises(ValueError, match="对不上"):
        bilinear_sample(RAMP[0], torch.zeros(2), torch.zeros(3))
    with pytest.raises(TypeError, match="y 是 float"):
        bilinear_sample(RAMP[0], 0.5, torch.zeros(3))  # type: ignore[arg-type]
