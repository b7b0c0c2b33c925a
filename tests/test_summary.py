"""一览表：手算、FlopCounterMode、梯度的支撑集三种对照；网络本身不变；各行之和等于合计。"""

import unicodedata
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from d2lcore import layers
from d2lcore.models import MODELS, densenet, googlenet, lenet, resnet, resnet18
from d2lcore.summary import Summary, summarize


def column(summary: Summary, name: str) -> list[Any]:
    return [getattr(row, name) for row in summary.rows]


def test_lenet_by_hand() -> None:
    summary = summarize(lenet(), (1, 28, 28))
    rows = {row.name: row for row in summary.rows}
    assert len(rows) == 12
    expected = {
        # 名字: (类型, 形状, 参数, 乘加, 感受野)
        "0": ("Conv2d", (1, 6, 28, 28), 156, 28 * 28 * 6 * 25, (5, 5)),
        "1": ("Sigmoid", (1, 6, 28, 28), 0, 0, (5, 5)),
        "2": ("AvgPool2d", (1, 6, 14, 14), 0, 0, (6, 6)),
        "3": ("Conv2d", (1, 16, 10, 10), 2416, 10 * 10 * 16 * 6 * 25, (14, 14)),
        "5": ("AvgPool2d", (1, 16, 5, 5), 0, 0, (16, 16)),
        "6": ("Flatten", (1, 400), 0, 0, None),
        "7": ("Linear", (1, 120), 48_120, 48_000, None),
        "11": ("Linear", (1, 10), 850, 840, None),
    }
    for name, row in expected.items():
        assert rows[name] == (name, *row)
    assert (summary.parameters, summary.macs) == (61_706, 416_520)


@pytest.mark.parametrize("depth", [None, 1, 2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_rows_add_up_to_the_total(name: str, depth: int | None) -> None:
    size = {"lenet": 28, "alexnet": 224, "vgg11": 224, "nin": 224}.get(name, 96)
    with torch.device("meta"):
        net = MODELS[name]()
    summary = summarize(net, (1, size, size), depth=depth)
    assert sum(column(summary, "parameters")) == summary.parameters
    assert sum(column(summary, "macs")) == summary.macs > 0
    assert summary.parameters == sum(p.numel() for p in net.parameters())
    assert summary.rows[-1].shape == (1, 10)


def test_published_totals_and_fields() -> None:
    # 3 通道、1000 类、224 像素的 ResNet-18：torchvision 公布 1.814 GMACs；感受野 435 是熟知的数
    with torch.device("meta"):
        net = resnet18(1000, 3)
    summary = summarize(net, (3, 224, 224), depth=1)
    assert column(summary, "kind") == [
        *["Sequential"] * 5,
        *["AdaptiveAvgPool2d", "Flatten", "Linear"],
    ]
    assert summary.macs == 1_814_073_344
    sizes = [field and field[0] for field in column(summary, "receptive_field")]
    assert sizes == [11, 43, 99, 211, 435, None, None, None]


# ── 乘加 ───────────────────────────────────────────────────────────────


@given(
    groups=st.integers(1, 3),
    c_in=st.integers(1, 3),
    c_out=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    bias=st.booleans(),
    transposed=st.booleans(),
    batch=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_macs_of_convolutions(
    groups: int,
    c_in: int,
    c_out: int,
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    bias: bool,
    transposed: bool,
    batch: int,
) -> None:
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = make(c_in * groups, c_out * groups, kernel, stride, padding, groups=groups, bias=bias)  # type: ignore[call-arg]
    size = (batch, c_in * groups, 8, 9)
    try:
        Y = layer(torch.zeros(size))
    except RuntimeError:  # 转置卷积的填充比核大时没有输出
        with pytest.raises(ValueError, match="走不通"):
            summarize(layer, size)
        return
    (row,) = summarize(layer, size).rows
    window = kernel[0] * kernel[1]
    by_hand = (batch * 8 * 9 * c_in * groups * c_out if transposed else Y.numel() * c_in) * window
    assert (row.macs, row.shape) == (by_hand, tuple(Y.shape))
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(size))
    assert 2 * row.macs == counter.get_total_flops()


def test_macs_follow_the_batch() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    assert summarize(net, (3, 2, 2)).macs == 60
    assert summarize(net, (1, 3, 2, 2)).macs == 60
    assert summarize(net, (7, 3, 2, 2)).macs == 420
    assert summarize(net[1], (12,)).rows[0].shape == (1, 5)
    assert summarize(net[1], (4, 12)).macs == 240


def test_our_own_layers_count_like_those_of_torch() -> None:
    ours = nn.Sequential(layers.Conv2d(3, 8, 3, 2, 1), layers.BatchNorm(8), layers.Dropout(0.5))
    theirs = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Dropout(0.5))
    a, b = (summarize(net, (3, 9, 9)) for net in (ours, theirs))
    for name in ("shape", "parameters", "macs"):
        assert column(a, name) == column(b, name)


# ── 感受野 ─────────────────────────────────────────────────────────────


def gradient_support(net: nn.Module, side: int, channels: int = 1) -> tuple[int, int]:
    """输出正中的一个元素对输入的梯度在多大一块上不为 0。权重取正，免得互相抵消。"""
    net = net.double().eval()
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.5, 1.0)
    X = torch.rand(1, channels, side, side, dtype=torch.float64, requires_grad=True)
    Y = net(X)
    Y[0, :, Y.shape[2] // 2, Y.shape[3] // 2].sum().backward()
    assert X.grad is not None
    rows, columns = (X.grad[0].abs().sum(dim=(0, axis)) > 0 for axis in (2, 1))
    return tuple(int(m.nonzero().max() - m.nonzero().min()) + 1 for m in (rows, columns))  # type: ignore[return-value]


PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
STRIDES = st.tuples(st.integers(1, 2), st.integers(1, 2))


@given(
    st.lists(
        st.tuples(st.sampled_from(["conv", "avg", "relu", "norm"]), PAIRS, STRIDES, PAIRS),
        max_size=4,
    )
)
@settings(max_examples=40, deadline=None)
def test_receptive_field_of_a_chain_is_the_support_of_the_gradient(
    chain: list[tuple[str, tuple[int, int], tuple[int, int], tuple[int, int]]],
) -> None:
    modules: list[nn.Module] = [nn.Identity()]
    for kind, kernel, stride, dilation in chain:
        modules.append(
            {
                "conv": nn.Conv2d(1, 1, kernel, stride, dilation=dilation),
                "avg": nn.AvgPool2d(kernel, stride),
                "relu": nn.ReLU(),
                "norm": nn.BatchNorm2d(1),
            }[kind]
        )
    net = nn.Sequential(*modules)
    assert summarize(net, (1, 150, 150)).rows[-1].receptive_field == gradient_support(net, 150)


def test_receptive_field_of_max_pooling_equals_average_pooling() -> None:
    for options in ({"kernel_size": 3}, {"kernel_size": (2, 3), "stride": (1, 2), "padding": 1}):
        fields = []
        for pool in (nn.MaxPool2d, nn.AvgPool2d):
            net = nn.Sequential(pool(**options), nn.Conv2d(1, 1, 3))  # type: ignore[operator]
            fields.append(column(summarize(net, (1, 20, 20)), "receptive_field"))
        assert fields[0] == fields[1]
    dilated = nn.Sequential(nn.MaxPool2d(3, 2, dilation=2), nn.Conv2d(1, 1, 3))
    assert column(summarize(dilated, (1, 20, 20)), "receptive_field") == [(5, 5), (9, 9)]


class AveragePooled(nn.Sequential):
    """把最大汇聚换成平均汇聚：最大的梯度只给一个元素，看不出整个窗口。"""

    def __init__(self, net: nn.Sequential) -> None:
        for module in net.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.MaxPool2d):
                    pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)
                    setattr(module, name, pool)
        super().__init__(*net)


@pytest.mark.parametrize(
    ("net", "side"),
    [
        (resnet(((1, 2), (2, 3)))[:3], 200),
        (resnet(((1, 2), (2, 3)), preact=True, small=True)[:3], 160),
        (densenet(blocks=(2, 2), width=0.05, small=True)[:4], 160),
        (googlenet(width=0.02, small=True)[:3], 160),
    ],
)
def test_receptive_field_across_branches(net: nn.Sequential, side: int) -> None:
    net = AveragePooled(net)
    field = summarize(net, (1, side, side), depth=1).rows[-1].receptive_field
    assert field == gradient_support(net, side)
    assert field[0] < side / 2


def test_receptive_field_is_given_only_where_defined() -> None:
    class Gated(nn.Module):
        """用全局平均缩放每个通道：输出看到整张图，不是卷积那一小块。"""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3)

        def forward(self, X: Tensor) -> Tensor:
            Y = self.conv(X)
            return Y * Y.mean(dim=(2, 3), keepdim=True).sigmoid()

    class SideBySide(nn.Module):
        """左右拼接：右半边的元素看的不是它正下方的输入。"""

        def forward(self, X: Tensor) -> Tensor:
            return torch.cat([X, X], dim=3)

    class Mirrored(nn.Module):
        """与自己的镜像相加：形状没变，看到的却不只是近旁。"""

        def forward(self, X: Tensor) -> Tensor:
            return X + X.flip(3)

    for net in (
        Gated(),
        Mirrored(),
        SideBySide(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.ConvTranspose2d(2, 2, 2, 2),
        nn.Upsample(scale_factor=2),
        nn.InstanceNorm2d(2),
        layers.Conv2d(2, 2, 3),
    ):
        (row,) = summarize(nn.Sequential(net), (2, 8, 8), depth=1).rows
        assert row.receptive_field is None
    assert summarize(nn.Linear(3, 2), (3,)).rows[0].receptive_field is None
    padded = nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(2, 2, 3))  # 填充不改变感受野
    assert summarize(padded, (2, 8, 8)).rows[-1].receptive_field == (3, 3)


# ── 参数 ───────────────────────────────────────────────────────────────


def test_shared_parameters_count_once() -> None:
    shared = nn.Linear(4, 4)
    twice = nn.Sequential(shared, nn.ReLU(), shared)
    summary = summarize(twice, (4,))
    assert column(summary, "parameters") == [20, 0, 0]
    assert column(summary, "macs") == [16, 0, 16]
    assert summary.parameters == 20
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    summary = summarize(tied, (4,))
    assert column(summary, "parameters") == [20, 4]
    assert summary.parameters == 24


class Odd(nn.Module):
    """自己带参数、自己做矩阵乘法、还有一层没用上的模块。"""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.used = nn.Linear(3, 3)
        self.unused = nn.Linear(5, 5)

    def forward(self, X: Tensor) -> tuple[dict[str, Tensor], None]:
        Y = self.used(X) * self.scale + torch.zeros(3)
        return {"y": Y @ Y.T}, None


def test_what_belongs_to_no_layer_is_listed_with_the_outer_one() -> None:
    summary = summarize(Odd(), (2, 3))
    assert [tuple(row)[:5] for row in summary.rows] == [
        ("used", "Linear", (2, 3), 12, 18),
        ("整个网络", "Odd", (2, 2), 3 + 30, 2 * 2 * 3),
    ]
    assert (summary.parameters, summary.macs) == (45, 30)


def test_depth_merges_the_inner_layers() -> None:
    net = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), nn.Linear(2, 2)))
    assert column(summarize(net, (3,)), "name") == ["0.0.0", "0.0.1", "0.1"]
    assert column(summarize(net, (3,), depth=2), "name") == ["0.0", "0.1"]
    (row,) = summarize(net, (3,), depth=1).rows
    assert row == ("0", "Sequential", (1, 2), 14, 10, None)


# ── 网络不变 ───────────────────────────────────────────────────────────


class Noisy(nn.Module):
    """前向计算要掷随机数：不应动到外面的随机数状态。"""

    def forward(self, X: Tensor) -> Tensor:
        return X + torch.rand(1, device="cpu").item()


@pytest.mark.parametrize("fails", [False, True])
def test_the_net_is_left_as_it_was(fails: bool) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), Noisy())
    if fails:
        net.append(nn.Linear(3, 3))
    net[1].eval()
    weight = net.get_parameter("0.weight")
    weight.grad = torch.ones_like(weight)
    before = {name: (id(t), t.clone()) for name, t in net.state_dict(keep_vars=True).items()}
    modes = [module.training for module in net.modules()]
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(ValueError, match=r"形状 \(1, 1, 8, 8\) 的输入在「3」之后走不通"):
            summarize(net, (1, 8, 8))
    else:
        summarize(net, (1, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert (
        [module.training for module in net.modules()]
        == modes
        == [True, True, False, True, True][: len(modes)] + [True] * (len(modes) - 5)
    )
    for name, tensor in net.state_dict(keep_vars=True).items():
        assert (id(tensor), tensor.device.type) == (before[name][0], "cpu")
        assert torch.equal(tensor, before[name][1])
    assert weight.requires_grad
    assert weight.grad.eq(1).all()
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert torch.ones(1).device.type == "cpu"
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_any_dtype_and_the_meta_device(dtype: torch.dtype) -> None:
    net = lenet(variant="modern", batch_norm=True)
    expected = summarize(net, (1, 28, 28))
    assert summarize(net.to(dtype), (1, 28, 28)) == expected
    assert summarize(net.to("meta"), (1, 28, 28)) == expected


# ── 表 ─────────────────────────────────────────────────────────────────


def width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def test_the_table_is_aligned() -> None:
    net = nn.Sequential()
    net.add_module("卷积", nn.Conv2d(1, 6, (5, 3)))
    net.add_module("展平", nn.Flatten())
    net.add_module("fc", nn.Linear(6 * 24 * 26, 1000))
    text = str(summarize(net, (1, 28, 28)))
    lines = text.splitlines()
    heading, rule, *body, rule_again, total = lines
    assert rule == rule_again == "─" * width(heading)
    assert all(width(line) == width(heading) for line in body)
    assert heading.split() == ["名称", "类型", "输出形状", "参数", "乘加", "感受野"]
    assert body[0].split() == ["卷积", "Conv2d", "(1,", "6,", "24,", "26)", "96", "56,160", "5×3"]
    assert total.split() == ["合计", "3,745,096", "3,800,160"]
    # 数靠右：合计的末位与上面的末位对齐
    for number, above in (("3,745,096", "3,745,000"), ("3,800,160", "3,744,000")):
        assert width(total[: total.index(number)]) == width(body[2][: body[2].index(above)])
    assert body[1].endswith("–")
    assert repr(summarize(net, (1, 28, 28))) == text


def test_layers_without_a_tensor_have_no_shape() -> None:
    class Nothing(nn.Module):
        def forward(self, X: Tensor) -> None:
            return None

    summary = summarize(Nothing(), (3,))
    assert summary.rows[0].shape == ()
    assert "整个网络  Nothing  –" in str(summary)


# ── 报错 ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(), (0, 3), (1, 2.5), [1, 28, 28], 28, (True,)])
def test_strange_sizes_are_refused(size: Any) -> None:
    with pytest.raises(ValueError, match=r"size=.*不合适：应是正整数的元组"):
        summarize(lenet(), size)


def test_other_mistakes_are_explained() -> None:
    for depth in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"depth={depth} 不合适"):
            summarize(lenet(), (1, 28, 28), depth=depth)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="net 是 function"):
        summarize(lenet, (1, 28, 28))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"形状 \(1, 3, 28, 28\) 的输入在第一层走不通"):
        summarize(lenet(), (3, 28, 28))
    with pytest.raises(ValueError, match=r"在「6」之后走不通：.*400"):
        summarize(lenet(), (1, 32, 32))


def test_lazy_layers_are_refused_until_they_have_a_shape() -> None:
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"「1」（LazyLinear）的参数还没有定形.*net\(X\)"):
        summarize(net, (2, 2, 2))
    net(torch.zeros(1, 2, 2, 2))
    assert summarize(net, (2, 2, 2)).parameters == 27
