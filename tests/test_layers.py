"""从零写的层：课文里的手算例子，以及在随机形状上与 torch.nn 的输出、梯度比对。"""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from d2lcore.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    batch_norm,
    conv_output_size,
    corr2d,
    corr2d_multi_in,
    corr2d_multi_in_out,
    corr2d_multi_in_out_1x1,
    dropout,
    pool2d,
    sliding_windows,
)

X33 = torch.arange(9.0).reshape(3, 3)
K22 = torch.arange(4.0).reshape(2, 2)
DTYPES = st.sampled_from([torch.float32, torch.float64])
SIZES = st.integers(1, 3)


def assert_same(
    ours: Callable[..., Tensor], theirs: Callable[..., Tensor], *inputs: Tensor
) -> None:
    """两个函数在同样的输入上输出相同，同样的上游梯度之下各个输入的梯度也相同。"""
    tolerance = 1e-6 if inputs[0].dtype == torch.float32 else 1e-10
    results: list[Sequence[Tensor]] = []
    for function in (ours, theirs):
        leaves = [X.clone().requires_grad_() for X in inputs]
        Y = function(*leaves)
        upstream = torch.linspace(-1, 2, Y.numel(), dtype=Y.dtype).reshape(Y.shape) / Y.numel()
        results.append([Y.detach(), *torch.autograd.grad(Y, leaves, upstream)])
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype == inputs[0].dtype
        # 求和时各项会抵消，误差要与最大的一项比，不能与每个结果比
        scale = max(1.0, b.abs().max().item())
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * scale)


def randn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# ── 窗口 ───────────────────────────────────────────────────────────────


def test_windows_are_a_view_of_every_position() -> None:
    X = torch.arange(2 * 5 * 6).reshape(2, 5, 6)
    W = sliding_windows(X, (2, 3), stride=(2, 1))
    assert W.shape == (2, 2, 4, 2, 3)
    for i in range(2):
        for j in range(4):
            assert torch.equal(W[:, i, j], X[:, 2 * i : 2 * i + 2, j : j + 3])
    assert W.data_ptr() == X.data_ptr()


@given(n=st.integers(1, 40), k=st.integers(1, 11), s=st.integers(1, 4), p=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_output_size_counts_the_positions(n: int, k: int, s: int, p: int) -> None:
    positions = len(range(0, n + 2 * p - k + 1, s))
    if positions:
        assert conv_output_size(n, k, s, p) == positions
    else:
        with pytest.raises(ValueError, match=f"窗口的边长 {k} 比输入的 {n}"):
            conv_output_size(n, k, s, p)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, (2, 0), (2, 2, 2)])
def test_windows_refuse_strange_sizes(size: int) -> None:
    with pytest.raises(ValueError, match="size="):
        sliding_windows(torch.zeros(4, 4), size)
    with pytest.raises(ValueError, match="stride="):
        sliding_windows(torch.zeros(4, 4), 2, stride=size)


def test_windows_refuse_inputs_too_small() -> None:
    with pytest.raises(ValueError, match="窗口的边长 3 比输入的 2"):
        sliding_windows(torch.zeros(5, 2), 3)
    with pytest.raises(ValueError, match="窗口的边长 3 比输入的 2"):
        sliding_windows(torch.zeros(2, 5), 3)
    with pytest.raises(ValueError, match=r"\(4,\)"):
        sliding_windows(torch.zeros(4), 2)


# ── 互相关 ─────────────────────────────────────────────────────────────


def test_correlation_of_the_worked_examples() -> None:
    assert corr2d(X33, K22).tolist() == [[19, 25], [37, 43]]
    X, K = torch.stack([X33, X33 + 1]), torch.stack([K22, K22 + 1])
    assert corr2d_multi_in(X, K).tolist() == [[56, 72], [104, 120]]
    expected = [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]]
    assert corr2d_multi_in_out(X, torch.stack([K, K + 1, K + 2])).tolist() == expected


def test_edge_detection_by_a_small_kernel() -> None:
    X = torch.ones(6, 8)
    X[:, 2:6] = 0
    edges = torch.tensor([0.0, 1, 0, 0, 0, -1, 0]).expand(6, 7)
    assert torch.equal(corr2d(X, torch.tensor([[1.0, -1.0]])), edges)
    # 核是竖着的边缘检测器，转置的图里没有竖边
    assert not corr2d(X.T, torch.tensor([[1.0, -1.0]])).any()


def test_correlation_keeps_integers() -> None:
    assert corr2d(X33.long(), K22.long()).tolist() == [[19, 25], [37, 43]]
    assert corr2d(X33.long(), K22.long()).dtype == torch.int64


@given(
    DTYPES, SIZES, SIZES, st.integers(1, 4), st.integers(1, 4), st.integers(0, 4), st.integers(0, 4)
)
@settings(max_examples=60, deadline=None)
def test_correlation_equals_torch(
    dtype: torch.dtype, c_in: int, c_out: int, h: int, w: int, extra_h: int, extra_w: int
) -> None:
    X = randn(c_in, h + extra_h, w + extra_w, dtype=dtype)
    K = randn(c_out, c_in, h, w, dtype=dtype, seed=1)
    assert_same(corr2d_multi_in_out, lambda X, K: F.conv2d(X[None], K)[0], X, K)
    assert_same(corr2d_multi_in, lambda X, K: F.conv2d(X[None], K[None])[0, 0], X, K[0])
    assert_same(corr2d, lambda X, K: F.conv2d(X[None, None], K[None, None])[0, 0], X[0], K[0, 0])
    K = K[:, :, :1, :1].contiguous()
    assert_same(corr2d_multi_in_out_1x1, lambda X, K: F.conv2d(X[None], K)[0], X, K)


def test_correlation_refuses_wrong_shapes() -> None:
    X, K = torch.zeros(2, 5, 5), torch.zeros(3, 2, 2, 2)
    for call in (
        lambda: corr2d(X, K[0, 0]),
        lambda: corr2d(X[0], K[0]),
        lambda: corr2d_multi_in(X[0], K[0]),
        lambda: corr2d_multi_in(X, K),
        lambda: corr2d_multi_in_out(X[0], K),
        lambda: corr2d_multi_in_out(X, K[0]),
        lambda: corr2d_multi_in_out_1x1(X[0], K),
        lambda: corr2d_multi_in_out_1x1(X, K[0]),
    ):
        with pytest.raises(ValueError, match=r"的形状是 \(.*\)，应是 \("):
            call()
    with pytest.raises(ValueError, match=r"\(3, 2, 2, 2\).*应是 \(c_out, c_in, 1, 1\)"):
        corr2d_multi_in_out_1x1(X, K)
    for multi in (corr2d_multi_in_out, corr2d_multi_in_out_1x1):
        with pytest.raises(ValueError, match="输入有 1 个通道，核的输入通道数是 2"):
            multi(X[:1], K[..., :1, :1])


# ── 汇聚 ───────────────────────────────────────────────────────────────


def test_pooling_of_the_worked_examples() -> None:
    assert pool2d(X33, 2, stride=1).tolist() == [[4, 5], [7, 8]]
    assert pool2d(X33, (2, 2), "avg", stride=1).tolist() == [[2, 3], [5, 6]]
    X = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert pool2d(X, 3).tolist() == [[[[10]]]]  # 步幅缺省与窗口同大
    padded = F.pad(X, (1, 1, 0, 0), value=-math.inf)
    assert pool2d(padded, (2, 3), stride=(2, 3)).tolist() == [[[[5, 7], [13, 15]]]]


@given(
    DTYPES,
    st.sampled_from([(), (2,), (2, 3)]),
    st.tuples(SIZES, SIZES),
    st.none() | SIZES | st.tuples(SIZES, SIZES),
    st.integers(3, 7),
    st.integers(3, 7),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_pooling_equals_torch(
    dtype: torch.dtype,
    batch: tuple[int, ...],
    size: tuple[int, int],
    stride: int | tuple[int, int] | None,
    H: int,
    W: int,
    ties: bool,
) -> None:
    X = randn(*batch, H, W, dtype=dtype)
    if ties:  # ReLU 之后一片 0 很常见，梯度给谁也要一样
        X = X.relu()
    for mode, theirs in (("max", F.max_pool2d), ("avg", F.avg_pool2d)):

        def reference(X: Tensor, theirs: Callable[..., Tensor] = theirs) -> Tensor:
            return theirs(X.reshape(1, -1, H, W), size, stride)[0].reshape(*batch, *_spatial(X))

        def _spatial(X: Tensor) -> tuple[int, int]:
            return tuple(pool2d(X, size, "max", stride).shape[-2:])  # type: ignore[return-value]

        assert_same(lambda X, mode=mode: pool2d(X, size, mode, stride), reference, X)


def test_pooling_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="mode='mean'"):
        pool2d(X33, 2, "mean")
    with pytest.raises(TypeError, match=r"torch.int64.*取平均.*float\(\)"):
        pool2d(X33.long(), 2, "avg")
    assert pool2d(X33.long(), 2, "max").tolist() == [[4]]


# ── 暂退法 ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_dropout_keeps_the_expectation(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    X = torch.full((100, 200), 3.0, dtype=dtype)
    Y = dropout(X, p)
    assert (Y.dtype, Y.shape) == (dtype, X.shape)
    kept = Y != 0
    assert (
        abs(kept.double().mean().item() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / X.numel()) + 1e-9
    )
    torch.testing.assert_close(Y[kept], X[kept] / (1 - p) if p < 1 else X[kept])


def test_dropout_draws_like_torch_and_passes_the_same_gradient() -> None:
    X = randn(50, 40, dtype=torch.float64)

    def seeded(function: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor], Tensor]:
        def call(X: Tensor) -> Tensor:
            torch.manual_seed(7)
            return function(X, 0.3)

        return call

    assert_same(seeded(dropout), seeded(F.dropout), X)


def test_dropout_masks_are_fresh_and_independent() -> None:
    torch.manual_seed(0)
    X = torch.ones(64, 64)
    first, second = dropout(X, 0.5), dropout(X, 0.5)
    assert not torch.equal(first, second)
    # 每个元素各抽各的，不是整行整列一起
    assert first.any(dim=0).all()
    assert first.any(dim=1).all()


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_dropout_refuses_impossible_probabilities(p: float) -> None:
    for call in (lambda: dropout(X33, p), lambda: Dropout(p)):
        with pytest.raises(ValueError, match=f"p={p}"):
            call()
    with pytest.raises(TypeError, match=r"torch.int64.*暂退"):
        dropout(X33.long(), 0.5)


def test_dropout_layer_follows_the_mode_not_the_gradient() -> None:
    torch.manual_seed(0)
    layer, X = Dropout(0.5), torch.ones(100)
    with torch.no_grad():
        assert (layer(X) == 0).any()
    assert torch.equal(layer.eval()(X.requires_grad_()), X)


# ── 批量规范化 ─────────────────────────────────────────────────────────


def running(C: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return randn(C, dtype=dtype, seed=5), randn(C, dtype=dtype, seed=6).exp()


@given(DTYPES, SIZES, st.integers(2, 5), st.none() | st.tuples(SIZES, SIZES), st.booleans())
@settings(max_examples=60, deadline=None)
def test_batch_norm_equals_torch(
    dtype: torch.dtype, C: int, B: int, spatial: tuple[int, int] | None, training: bool
) -> None:
    X = 2 * randn(B, C, *(spatial or ()), dtype=dtype) + 3
    gamma, beta = randn(C, dtype=dtype, seed=1), randn(C, dtype=dtype, seed=2)
    ours, theirs = running(C, dtype), running(C, dtype)

    def call(
        function: Callable[..., Tensor], stats: tuple[Tensor, Tensor]
    ) -> Callable[..., Tensor]:
        if function is F.batch_norm:
            return lambda X, g, b: F.batch_norm(X, *stats, g, b, training, momentum=0.3, eps=1e-3)
        return lambda X, g, b: batch_norm(
            X, g, b, *stats, training=training, momentum=0.3, eps=1e-3
        )

    assert_same(call(batch_norm, ours), call(F.batch_norm, theirs), X, gamma, beta)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_batch_norm_by_hand() -> None:
    mean, var = torch.zeros(1), torch.ones(1)
    X = torch.tensor([[1.0], [2.0], [6.0]])  # 均值 3，方差 14/3（有偏）或 7（无偏）
    one, zero = torch.ones(1), torch.zeros(1)
    Y = batch_norm(X, one, zero, mean, var, training=True, eps=0.0)
    torch.testing.assert_close(Y, (X - 3) / math.sqrt(14 / 3))
    assert mean.item() == pytest.approx(0.3)
    assert var.item() == pytest.approx(0.9 + 0.7)
    Y = batch_norm(X, 2 * one, one, mean, var, training=False, eps=0.0)
    torch.testing.assert_close(Y, 2 * (X - 0.3) / math.sqrt(1.6) + 1)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 5)])
def test_batch_norm_layer_trains_and_evaluates_like_torch(shape: tuple[int, ...]) -> None:
    theirs = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)
    ours = BatchNorm(3)
    for seed in range(3):
        X = randn(*shape, seed=seed) * 4 + 1
        torch.testing.assert_close(ours(X), theirs(X))
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(X), theirs(X))
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 3  # 评估时不再数
    assert list(ours.state_dict()) == list(theirs.state_dict())
    # 两边的 state_dict 可以互相装载
    fresh = BatchNorm(3).eval()
    fresh.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(fresh(X), theirs(X))
    theirs.load_state_dict(ours.state_dict())


def test_batch_norm_follows_the_mode_not_the_gradient() -> None:
    layer, X = BatchNorm(2), randn(8, 2) + 5
    before = layer.running_mean.clone()
    layer.eval()(X.clone().requires_grad_())
    assert torch.equal(layer.running_mean, before)  # 评估时什么也不改，哪怕正在求梯度
    with torch.no_grad():
        Y = layer.train()(X)
    assert Y.mean().abs() < 1e-6  # 训练时用这一批的均值，哪怕不求梯度
    assert not torch.equal(layer.running_mean, before)
    layer(X.requires_grad_())
    assert not layer.running_mean.requires_grad  # 统计量不连着计算图，否则图会一批批越攒越大
    assert not layer.running_var.requires_grad


def test_batch_norm_refuses_one_value_per_channel_only_in_training() -> None:
    layer = BatchNorm(2)
    for shape in ((1, 2), (1, 2, 1, 1), (0, 2)):
        with pytest.raises(ValueError, match=r"每个通道只有 [01] 个数.*drop_last.*eval\(\)"):
            layer(torch.zeros(shape))
    assert layer.num_batches_tracked == 0
    assert torch.equal(layer.running_var, torch.ones(2))
    assert layer(torch.zeros(1, 2, 1, 2)).shape == (1, 2, 1, 2)  # 一张图、两个像素就够了
    assert layer.eval()(torch.zeros(1, 2)).shape == (1, 2)


@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 4, 5), (1, 2, 3, 4, 5)])
def test_batch_norm_refuses_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"应是 \(B, 4\) 或 \(B, 4, H, W\)"):
        BatchNorm(4)(torch.zeros(shape))


def test_batch_norm_refuses_wrong_types() -> None:
    with pytest.raises(TypeError, match=r"torch.int64.*规范化"):
        BatchNorm(2)(torch.ones(4, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="num_features=0 不合适：应是不小于 1 的整数。"):
        BatchNorm(0)


# ── 卷积层 ─────────────────────────────────────────────────────────────


@given(
    DTYPES,
    st.tuples(SIZES, SIZES, SIZES),
    st.tuples(SIZES, SIZES),
    SIZES | st.tuples(SIZES, SIZES),
    st.integers(0, 2) | st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(3, 7), st.integers(3, 7)),
)
@settings(max_examples=60, deadline=None)
def test_conv_layer_equals_torch(
    dtype: torch.dtype,
    sizes: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
    spatial: tuple[int, int],
) -> None:
    B, c_in, c_out = sizes
    torch.manual_seed(0)
    ours = Conv2d(c_in, c_out, kernel, stride, padding).to(dtype)
    torch.manual_seed(0)
    theirs = nn.Conv2d(c_in, c_out, kernel, stride, padding).to(dtype)
    # 同一个种子，抽到的参数也相同
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    theirs.load_state_dict(ours.state_dict())

    def function(layer: nn.Module) -> Callable[..., Tensor]:
        def call(X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (X,))

        return call

    X = randn(B, c_in, *spatial, dtype=dtype)
    assert_same(function(ours), function(theirs), X, ours.weight.detach(), ours.bias.detach())


def test_conv_layer_learns_the_edge_detector() -> None:
    # 课文的小实验：从输入与输出学出核 [1, -1]
    torch.manual_seed(0)
    X = torch.ones(1, 1, 6, 8)
    X[..., 2:6] = 0
    Y = corr2d(X[0, 0], torch.tensor([[1.0, -1.0]]))[None, None]
    layer = Conv2d(1, 1, (1, 2))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
    for _ in range(200):
        loss = ((layer(X) - Y) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(
        layer.weight.detach().flatten(), torch.tensor([1.0, -1.0]), atol=1e-2, rtol=0
    )


def test_conv_layer_refuses_bad_arguments_and_inputs() -> None:
    for keywords, name in (
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": 3, "stride": 0}, "stride=0"),
        ({"kernel_size": 3, "padding": -1}, "padding=-1"),
    ):
        with pytest.raises(ValueError, match=name):
            Conv2d(1, 2, **keywords)
    with pytest.raises(ValueError, match="in_channels=0 不合适"):
        Conv2d(0, 2, 3)
    layer = Conv2d(2, 4, 3)
    with pytest.raises(ValueError, match=r"\(2, 5, 5\)，应是 \(B, in_channels, H, W\)"):
        layer(torch.zeros(2, 5, 5))
    with pytest.raises(ValueError, match="输入有 3 个通道，核的输入通道数是 2"):
        layer(torch.zeros(1, 3, 5, 5))
    with pytest.raises(ValueError, match="窗口的边长 3 比输入的 2"):
        layer(torch.zeros(1, 2, 2, 5))


# ── 任何设备与类型 ─────────────────────────────────────────────────────


@pytest.mark.parametrize(("device", "dtype"), [("meta", torch.float32), ("cpu", torch.bfloat16)])
def test_layers_work_on_any_device_and_dtype(device: str, dtype: torch.dtype) -> None:
    # meta 设备上的张量与别的设备混用就报错，正好代替显卡查“新张量建在哪里”
    net = nn.Sequential(Conv2d(1, 2, 3, 2, 1), BatchNorm(2), nn.ReLU(), Dropout(0.5))
    net = net.to(device, dtype)
    X = torch.ones(4, 1, 8, 8, device=device, dtype=dtype)
    Y = net(X)
    assert (Y.device.type, Y.dtype, Y.shape) == (device, dtype, (4, 2, 4, 4))
    for mode in ("max", "avg"):
        assert pool2d(Y, 2, mode).device.type == device
    assert corr2d_multi_in_out(X[0], X[:2]).dtype == dtype
    Y.sum().backward()
    if device == "cpu":
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_batch_norm_under_autocast() -> None:
    # 混合精度：输入是 bfloat16，参数与统计量仍是 float32
    layer = BatchNorm(2)
    layer(randn(8, 2, 4, 4).bfloat16())
    assert layer.running_mean.dtype == torch.float32
    assert layer.running_mean.isfinite().all()
