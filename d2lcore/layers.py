"""从零写的层：互相关、汇聚、暂退、批量规范化，以及由它们组成的模块。

卷积与汇聚只差一步：都先用 :func:`sliding_windows` 取出每个位置的窗口，
前者把窗口与核相乘再求和，后者在窗口里取最大或平均。

这里的每一层都与 ``torch.nn`` 的同名层算出同样的输出与梯度（测试按此比对），
用来讲解原理；真正训练网络时用 ``torch.nn``，它快得多。新张量都建在输入所在的设备上。
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lcore._arguments import check_counts

Size = int | tuple[int, int]


def conv_output_size(n: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """卷积或汇聚之后的边长：⌊(n + 2·padding - kernel) / stride⌋ + 1。

    Args:
        n: 输入的高（或宽）。
        kernel: 窗口的高（或宽）。
        stride: 步幅。
        padding: **每边**填充多少行（或列）。

    Raises:
        ValueError: 窗口比填充后的输入还大。

    Examples:
        >>> conv_output_size(28, kernel=5, padding=2), conv_output_size(28, kernel=2, stride=2)
        (28, 14)
    """
    if n + 2 * padding < kernel:
        raise ValueError(
            f"窗口的边长 {kernel} 比输入的 {n} 加两边填充 {padding} 还大，一个位置也放不下；"
            "请放大输入、加填充或缩小窗口。"
        )
    return (n + 2 * padding - kernel) // stride + 1


def sliding_windows(X: Tensor, size: Size, stride: Size = 1) -> Tensor:
    """在最后两维上滑动一个窗口，取出每个位置的内容；是 ``X`` 的视图，不复制数据。

    Args:
        X: 形状 (…, H, W)。
        size: 窗口的边长，或 (高 h, 宽 w)。
        stride: 步幅，或 (高方向, 宽方向)。

    Returns:
        形状 (…, H', W', h, w)，``[..., i, j, :, :]`` 是第 i 行第 j 列的窗口；
        H'、W' 见 :func:`conv_output_size`，放不满的边缘舍去。

    Raises:
        ValueError: ``X`` 不足两维，窗口放不下，或 ``size``、``stride`` 不是正整数。

    Examples:
        >>> sliding_windows(torch.arange(9).reshape(3, 3), 2)[1, 0]
        tensor([[3, 4],
                [6, 7]])
    """
    if X.ndim < 2:
        raise ValueError(f"X 的形状是 {tuple(X.shape)}，应至少有高、宽两维。")
    (h, w), (stride_h, stride_w) = _pair("size", size), _pair("stride", stride)
    conv_output_size(X.shape[-2], h)  # 窗口放不下时在这里报错
    conv_output_size(X.shape[-1], w)
    return X.unfold(-2, h, stride_h).unfold(-2, w, stride_w)


def corr2d(X: Tensor, K: Tensor) -> Tensor:
    """二维互相关：Y[i, j] = Σₐ Σ_b X[i + a, j + b] · K[a, b]。核不翻转。

    Args:
        X: 输入 (H, W)。
        K: 核 (h, w)。

    Returns:
        形状 (H - h + 1, W - w + 1)。

    Raises:
        ValueError: 不是二维，或核比输入大。

    Examples:
        >>> X = torch.arange(9.0).reshape(3, 3)
        >>> corr2d(X, torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
        tensor([[19., 25.],
                [37., 43.]])
    """
    _check_shape("X", X, "(H, W)")
    _check_shape("K", K, "(h, w)")
    return (sliding_windows(X, (K.shape[0], K.shape[1])) * K).sum(dim=(-2, -1))


def corr2d_multi_in(X: Tensor, K: Tensor) -> Tensor:
    """多输入通道的互相关：每个通道各算各的，再相加。

    Args:
        X: 输入 (c, H, W)。
        K: 核 (c, h, w)。

    Returns:
        形状 (H - h + 1, W - w + 1)：通道已经加到一起。

    Raises:
        ValueError: 形状不合，或通道数不等。

    Examples:
        >>> X = torch.stack([torch.arange(9.0), torch.arange(1.0, 10)]).reshape(2, 3, 3)
        >>> K = torch.stack([torch.arange(4.0), torch.arange(1.0, 5)]).reshape(2, 2, 2)
        >>> corr2d_multi_in(X, K)
        tensor([[ 56.,  72.],
                [104., 120.]])
    """
    _check_shape("X", X, "(c, H, W)")
    _check_shape("K", K, "(c, h, w)")
    _check_channels(len(X), len(K))
    return torch.stack([corr2d(x, k) for x, k in zip(X, K, strict=True)]).sum(dim=0)


def corr2d_multi_in_out(X: Tensor, K: Tensor) -> Tensor:
    """多输入、多输出通道的互相关：每个输出通道有自己的一组核。

    Args:
        X: 输入 (c_in, H, W)。
        K: 核 (c_out, c_in, h, w)。

    Returns:
        形状 (c_out, H - h + 1, W - w + 1)。

    Raises:
        ValueError: 形状不合，或输入通道数不等。

    Examples:
        >>> X, K = torch.ones(3, 5, 5), torch.ones(2, 3, 2, 2)
        >>> Y = corr2d_multi_in_out(X, K)
        >>> tuple(Y.shape), Y[0, 0, 0].item()
        ((2, 4, 4), 12.0)
    """
    _check_shape("K", K, "(c_out, c_in, h, w)")
    return torch.stack([corr2d_multi_in(X, k) for k in K])


def corr2d_multi_in_out_1x1(X: Tensor, K: Tensor) -> Tensor:
    """1×1 互相关就是一次矩阵乘法：把每个像素的 c_in 个数换成 c_out 个数。

    Args:
        X: 输入 (c_in, H, W)。
        K: 核 (c_out, c_in, 1, 1)。

    Returns:
        形状 (c_out, H, W)，与 :func:`corr2d_multi_in_out` 相同。

    Raises:
        ValueError: 形状不合，核不是 1×1，或输入通道数不等。

    Examples:
        >>> X, K = torch.rand(3, 4, 4), torch.rand(2, 3, 1, 1)
        >>> torch.allclose(corr2d_multi_in_out_1x1(X, K), corr2d_multi_in_out(X, K))
        True
    """
    _check_shape("X", X, "(c_in, H, W)")
    _check_shape("K", K, "(c_out, c_in, 1, 1)")
    _check_channels(len(X), K.shape[1])
    if K.shape[2:] != (1, 1):
        raise ValueError(
            f"核的形状是 {tuple(K.shape)}，应是 (c_out, c_in, 1, 1)；"
            "更大的核请用 corr2d_multi_in_out。"
        )
    Y = K.flatten(1) @ X.flatten(1)  # (c_out, c_in) @ (c_in, H·W)
    return Y.reshape(-1, *X.shape[1:])


def pool2d(X: Tensor, size: Size, mode: str = "max", stride: Size | None = None) -> Tensor:
    """二维汇聚：在每个窗口里取最大或平均，各通道互不相干。

    Args:
        X: 输入 (…, H, W)。
        size: 窗口的边长，或 (高, 宽)。
        mode: ``"max"`` 取最大，``"avg"`` 取平均。
        stride: 步幅；``None`` 表示与窗口同大，即窗口互不重叠（与 ``torch.nn`` 一致）。

    Returns:
        形状 (…, H', W')，见 :func:`conv_output_size`。

    Raises:
        ValueError: ``mode`` 不认识，或窗口放不下。
        TypeError: 对整数取平均。

    Examples:
        >>> pool2d(torch.arange(9.0).reshape(3, 3), 2, stride=1)
        tensor([[4., 5.],
                [7., 8.]])
        >>> pool2d(torch.arange(9.0).reshape(3, 3), 2, "avg", stride=1)
        tensor([[2., 3.],
                [5., 6.]])
    """
    windows = sliding_windows(X, size, size if stride is None else stride).flatten(-2)
    if mode == "max":
        return windows.max(dim=-1).values  # 有并列时梯度给第一个，与 torch.nn 一致
    if mode == "avg":
        _check_floating(X, "取平均")
        return windows.mean(dim=-1)
    raise ValueError(f"汇聚的方式 mode={mode!r} 不认识：应是 'max' 或 'avg'。")


def dropout(X: Tensor, p: float) -> Tensor:
    """暂退法：每个元素以概率 p 置 0，其余除以 1 - p，于是期望不变。

    只在训练时用；评估时原样通过（:class:`Dropout` 按模式决定）。
    来源：Srivastava 等，2014，JMLR 15。

    Args:
        X: 任意形状的浮点张量。
        p: 置 0 的概率，在 0 到 1 之间；1 表示全部置 0。

    Raises:
        ValueError: ``p`` 不在 [0, 1] 内。
        TypeError: ``X`` 不是浮点张量。

    Examples:
        >>> Y = dropout(torch.ones(10_000), p=0.2)
        >>> Y.unique()
        tensor([0.0000, 1.2500])
    """
    _check_probability(p)
    _check_floating(X, "暂退")
    keep = torch.empty_like(X).bernoulli_(1 - p)  # 以概率 1 - p 取 1，否则取 0
    return X * keep * (1 / (1 - p) if p < 1 else 0.0)


def batch_norm(
    X: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    *,
    training: bool,
    eps: float = 1e-5,
    momentum: float = 0.1,
) -> Tensor:
    """批量规范化：按通道减均值、除标准差，再乘 gamma、加 beta。

    训练时用这一批的均值与（除以 n 的）方差，并**原地**更新 ``running_mean`` 与 ``running_var``：
    新 = (1 - momentum)·旧 + momentum·这一批。存下来的方差除以 n - 1，是总体方差的无偏估计。
    评估时用存下来的两个量，什么也不改。
    来源：Ioffe、Szegedy，2015，arXiv:1502.03167。

    Args:
        X: (B, C) 或 (B, C, H, W)；每个通道的 n = B 或 B·H·W 个数一起统计。
        gamma: 缩放 (C,)。
        beta: 平移 (C,)。
        running_mean: 均值的滑动平均 (C,)。
        running_var: 方差的滑动平均 (C,)。
        training: 用这一批的统计量（``True``）还是存下来的（``False``）。
        eps: 加在方差上，防止除以 0。
        momentum: 这一批所占的比重（与 PyTorch 一致）。

    Returns:
        形状与 ``X`` 相同。

    Raises:
        ValueError: 形状不合，或训练时每个通道只有一个数（减去均值之后总是 0，学不到东西）。
        TypeError: ``X`` 不是浮点张量。

    Examples:
        >>> X = torch.tensor([[1.0], [3.0]])
        >>> mean, var = torch.zeros(1), torch.ones(1)
        >>> batch_norm(X, torch.ones(1), torch.zeros(1), mean, var, training=True).flatten()
        tensor([-1.0000,  1.0000])
        >>> mean, var  # 0.9·0 + 0.1·2；0.9·1 + 0.1·2
        (tensor([0.2000]), tensor([1.1000]))
    """
    _check_floating(X, "规范化")
    if X.ndim not in (2, 4) or X.shape[1] != len(gamma):
        C = len(gamma)
        raise ValueError(
            f"X 的形状是 {tuple(X.shape)}，应是 (B, {C}) 或 (B, {C}, H, W)：通道数须是 {C}。"
        )
    per_channel = (1, -1) + (1,) * (X.ndim - 2)  # (C,) 变成 (1, C) 或 (1, C, 1, 1)
    if training:
        n = X.numel() // X.shape[1]
        if n < 2:
            raise ValueError(
                f"X 的形状是 {tuple(X.shape)}，每个通道只有 {n} 个数，训练时无法规范化；"
                "请增大批量（例如 drop_last=True 丢掉只剩一个样本的批），或先调用 eval()。"
            )
        axes = [axis for axis in range(X.ndim) if axis != 1]
        mean, var = X.mean(axes), X.var(axes, unbiased=False)
        with torch.no_grad():
            running_mean.mul_(1 - momentum).add_(momentum * mean)
            running_var.mul_(1 - momentum).add_(momentum * var * n / (n - 1))
    else:
        mean, var = running_mean, running_var
    X_hat = (X - mean.view(per_channel)) / torch.sqrt(var.view(per_channel) + eps)
    return gamma.view(per_channel) * X_hat + beta.view(per_channel)


class Conv2d(nn.Module):
    """从零写的二维卷积层，与 ``torch.nn.Conv2d`` 的参数名、形状、缺省初始化相同。

    权重与偏置都从 U(-1/√n, 1/√n) 里抽，n = in_channels·h·w 是每个输出所看到的输入个数。

    Args:
        in_channels: 输入通道数。
        out_channels: 输出通道数。
        kernel_size: 核的边长，或 (高, 宽)。
        stride: 步幅，或 (高方向, 宽方向)。
        padding: 每边补多少圈 0，或 (上下, 左右)。

    Raises:
        ValueError: 某个参数不合适；或前向计算时输入的形状不合。

    Examples:
        >>> Conv2d(1, 6, kernel_size=5, padding=2)(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 6, 28, 28])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, out_channels=out_channels)
        h, w = _pair("kernel_size", kernel_size)
        self.stride = _pair("stride", stride)
        self.padding = _pair("padding", padding, least=0)
        bound = 1 / math.sqrt(in_channels * h * w)
        weight = torch.empty(out_channels, in_channels, h, w).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))

    def forward(self, X: Tensor) -> Tensor:
        """输入 (B, in_channels, H, W)，输出 (B, out_channels, H', W')。"""
        _check_shape("X", X, "(B, in_channels, H, W)")
        _check_channels(X.shape[1], self.weight.shape[1])
        pad_h, pad_w = self.padding
        X = F.pad(X, (pad_w, pad_w, pad_h, pad_h))
        h, w = self.weight.shape[2:]
        windows = sliding_windows(X, (h, w), self.stride)  # (B, c_in, H', W', h, w)
        # c：输入通道，o：输出通道；对 c、i、j 求和，就是 corr2d_multi_in_out，一次算完整批
        Y = torch.einsum("bcyxij,ocij->boyx", windows, self.weight)
        return Y + self.bias[:, None, None]


class Dropout(nn.Module):
    """暂退层：``train()`` 时随机置 0，``eval()`` 时原样通过。见 :func:`dropout`。

    Args:
        p: 置 0 的概率。

    Raises:
        ValueError: ``p`` 不在 [0, 1] 内。

    Examples:
        >>> Dropout(0.5).eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        _check_probability(p)
        self.p = p

    def forward(self, X: Tensor) -> Tensor:
        """形状不变。"""
        return dropout(X, self.p) if self.training else X


class BatchNorm(nn.Module):
    """批量规范化层，全连接层与卷积层之后都能用。见 :func:`batch_norm`。

    用哪一套统计量由 ``train()``、``eval()`` 决定，与是否求梯度无关。均值与方差登记为缓冲区：
    跟着 ``to(device)`` 走，存进 ``state_dict()``；键与 ``nn.BatchNorm2d`` 相同，可以互相装载。

    Args:
        num_features: 通道数 C。
        eps: 加在方差上，防止除以 0。
        momentum: 更新滑动平均时这一批所占的比重。

    Raises:
        ValueError: 通道数不是正整数；或前向计算时输入的形状不合。

    Examples:
        >>> Y = BatchNorm(3)(torch.rand(8, 3, 4, 4))
        >>> bool(Y.mean(dim=(0, 2, 3)).abs().max() < 1e-6)
        True
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        check_counts(num_features=num_features)
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, X: Tensor) -> Tensor:
        """形状不变。"""
        Y = batch_norm(
            X,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training=self.training,
            eps=self.eps,
            momentum=self.momentum,
        )
        if self.training:
            self.num_batches_tracked.add_(1)
        return Y


def _pair(name: str, value: Size, least: int = 1) -> tuple[int, int]:
    """一个整数 n 变成 (n, n)；两个整数原样返回。"""
    pair = value if isinstance(value, tuple) else (value, value)
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= least for n in pair)
    if len(pair) != 2 or not whole:
        raise ValueError(f"{name}={value!r} 不合适：应是不小于 {least} 的整数，或两个这样的整数。")
    return pair


def _check_shape(name: str, tensor: Tensor, expected: str) -> None:
    if tensor.ndim != expected.count(",") + 1:
        raise ValueError(f"{name} 的形状是 {tuple(tensor.shape)}，应是 {expected}。")


def _check_channels(given: int, expected: int) -> None:
    if given != expected:
        raise ValueError(f"输入有 {given} 个通道，核的输入通道数是 {expected}；两者应相等。")


def _check_floating(X: Tensor, action: str) -> None:
    if not X.is_floating_point():
        raise TypeError(f"X 的类型是 {X.dtype}，不能{action}；请先用 X.float() 换成浮点数。")


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"置 0 的概率 p={p!r} 不合适：应在 0 到 1 之间，例如 0.5。")
