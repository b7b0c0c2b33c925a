"""经典网络：形状与参数个数对照论文与教科书，结构对照 torchvision，小尺寸能训练。"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lcore.models import (
    MODELS,
    DenseBlock,
    Inception,
    PreActResidual,
    Residual,
    alexnet,
    dense_layer,
    densenet,
    googlenet,
    init_he_,
    init_xavier_,
    lenet,
    nin,
    nin_block,
    resnet,
    resnet18,
    resnet34,
    transition,
    vgg11,
    vgg_block,
)
from d2lcore.stand_in import make_garments

Make = Callable[[], nn.Sequential]


def on_meta(make: Make) -> nn.Sequential:
    """在 meta 设备上造网络：只有形状，没有数据，一亿个参数也不占内存。"""
    with torch.device("meta"):
        return make()


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# ── 参数个数：从公布的层清单手算 ───────────────────────────────────────


def conv(c_in: int, c_out: int, k: int, bias: bool = True) -> int:
    return c_out * (c_in * k * k + bias)


def linear(n_in: int, n_out: int) -> int:
    return n_out * (n_in + 1)


def norm(channels: int) -> int:
    return 2 * channels


def vgg11_count(in_channels: int, num_classes: int) -> int:
    channels = [in_channels, 64, 128, 256, 256, 512, 512, 512, 512]
    convs = sum(conv(a, b, 3) for a, b in pairwise(channels))
    return convs + linear(512 * 7 * 7, 4096) + linear(4096, 4096) + linear(4096, num_classes)


def nin_block_count(c_in: int, c_out: int, k: int) -> int:
    return conv(c_in, c_out, k) + 2 * conv(c_out, c_out, 1)


def inception_count(c_in: int, a: int, b: int, c: int, d: int, e: int, f: int) -> int:
    # 论文表 1 的列：#1×1、#3×3 reduce、#3×3、#5×5 reduce、#5×5、pool proj
    narrow = conv(c_in, a, 1) + conv(c_in, b, 1) + conv(c_in, d, 1) + conv(c_in, f, 1)
    return narrow + conv(b, c, 3) + conv(d, e, 5)


INCEPTIONS = (
    (192, 64, 96, 128, 16, 32, 32),
    (256, 128, 128, 192, 32, 96, 64),
    (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128),
    (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
)


def resnet_count(blocks: tuple[int, ...], in_channels: int, num_classes: int) -> int:
    total, before = conv(in_channels, 64, 7, bias=False) + norm(64), 64
    for number, c in zip(blocks, (64, 128, 256, 512), strict=True):
        total += conv(before, c, 3, bias=False) + (2 * number - 1) * conv(c, c, 3, bias=False)
        total += 2 * number * norm(c)
        total += conv(before, c, 1, bias=False) + norm(c) if before != c else 0
        before = c
    return total + linear(512, num_classes)


def densenet_count() -> int:
    total, c = conv(1, 64, 7) + norm(64), 64
    for number in range(4):
        for _ in range(4):
            total += norm(c) + conv(c, 32, 3)
            c += 32
        if number < 3:
            total += norm(c) + conv(c, c // 2, 1)
            c //= 2
    return total + norm(c) + linear(c, 10)


PUBLISHED: dict[str, tuple[Make, int, int]] = {
    "lenet": (
        lenet,
        61_706,
        conv(1, 6, 5) + conv(6, 16, 5) + linear(400, 120) + linear(120, 84) + linear(84, 10),
    ),
    "alexnet": (
        alexnet,
        46_764_746,
        conv(1, 96, 11)
        + conv(96, 256, 5)
        + conv(256, 384, 3)
        + conv(384, 384, 3)
        + conv(384, 256, 3)
        + linear(256 * 5 * 5, 4096)
        + linear(4096, 4096)
        + linear(4096, 10),
    ),
    "vgg11": (vgg11, 128_806_154, vgg11_count(1, 10)),
    "vgg11-imagenet": (lambda: vgg11(1000, 3), 132_863_336, vgg11_count(3, 1000)),
    "nin": (
        nin,
        1_992_166,
        nin_block_count(1, 96, 11)
        + nin_block_count(96, 256, 5)
        + nin_block_count(256, 384, 3)
        + nin_block_count(384, 10, 3),
    ),
    "googlenet": (
        googlenet,
        5_977_530,
        conv(1, 64, 7)
        + conv(64, 64, 1)
        + conv(64, 192, 3)
        + sum(inception_count(*row) for row in INCEPTIONS)
        + linear(1024, 10),
    ),
    "resnet18": (resnet18, 11_175_370, resnet_count((2, 2, 2, 2), 1, 10)),
    "resnet18-imagenet": (
        lambda: resnet18(1000, 3),
        11_689_512,
        resnet_count((2, 2, 2, 2), 3, 1000),
    ),
    "resnet34": (resnet34, 21_283_530, resnet_count((3, 4, 6, 3), 1, 10)),
    "resnet34-imagenet": (
        lambda: resnet34(1000, 3),
        21_797_672,
        resnet_count((3, 4, 6, 3), 3, 1000),
    ),
    # 公布的 DenseNet 有 758,226 个参数，其中 904 个是紧跟着规范化、不起作用的卷积偏置
    "densenet": (densenet, 758_226 - 904, densenet_count() - 64 - 16 * 32 - (96 + 112 + 120)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_equal_the_published(name: str) -> None:
    make, published, by_hand = PUBLISHED[name]
    assert count(on_meta(make)) == by_hand == published


def test_counts_of_the_variants() -> None:
    norms = norm(6 + 16 + 120 + 84)
    for variant in ("classic", "modern"):
        assert count(lenet(variant=variant)) == 61_706
        # 规范化之前的偏置不起作用，已经省去
        assert count(lenet(variant=variant, batch_norm=True)) == 61_706 + norms // 2
    convs = 64 + 128 + 2 * 256 + 4 * 512
    assert count(on_meta(lambda: vgg11(batch_norm=True))) == vgg11_count(1, 10) + convs
    # 先激活：捷径上没有规范化，每块第一个规范化在输入上，末尾多一个
    moved = norm(64 - 128) + norm(128 - 256) + norm(256 - 512)
    shortcuts = norm(128 + 256 + 512)
    expected = resnet_count((2, 2, 2, 2), 1, 10) + moved - shortcuts + norm(512)
    assert count(on_meta(lambda: resnet18(preact=True))) == expected
    width = 1 / 3
    expected = conv(1, 32, 5) + conv(32, 85, 5) + conv(85, 128, 3) + conv(128, 128, 3)
    expected += conv(128, 85, 3) + linear(85 * 2 * 2, 256) + linear(256, 256) + linear(256, 10)
    assert count(alexnet(width=width, small=True, hidden=256)) == expected


# ── 逐层形状：公布的输入尺寸 ───────────────────────────────────────────

SHAPES: dict[str, tuple[Make, int, list[tuple[int, ...]]]] = {
    "lenet": (
        lenet,
        28,
        [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (400,), (120,), (84,), (10,)],
    ),
    "alexnet": (
        alexnet,
        224,
        [
            (96, 54, 54),
            (96, 26, 26),
            (256, 26, 26),
            (256, 12, 12),
            (384, 12, 12),
            (256, 12, 12),
            (256, 5, 5),
            (6400,),
            (4096,),
            (10,),
        ],
    ),
    "vgg11": (
        vgg11,
        224,
        [
            *[(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)],
            *[(25088,), (4096,), (10,)],
        ],
    ),
    "nin": (
        nin,
        224,
        [
            *[(96, 54, 54), (96, 26, 26), (256, 26, 26), (256, 12, 12), (384, 12, 12)],
            *[(384, 5, 5), (10, 5, 5), (10, 1, 1), (10,)],
        ],
    ),
    "googlenet": (
        googlenet,
        96,
        [
            *[(64, 24, 24), (192, 12, 12), (480, 6, 6), (832, 3, 3), (1024, 3, 3)],
            *[(1024, 1, 1), (1024,), (10,)],
        ],
    ),
    "resnet18": (
        resnet18,
        96,
        [
            *[(64, 24, 24), (128, 12, 12), (256, 6, 6), (512, 3, 3), (512, 1, 1)],
            *[(512,), (10,)],
        ],
    ),
    "resnet18-224": (
        resnet18,
        224,
        [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7), (512, 1, 1), (512,), (10,)],
    ),
    "densenet": (
        densenet,
        96,
        [
            *[(64, 24, 24), (192, 24, 24), (96, 12, 12), (224, 12, 12), (112, 6, 6)],
            *[(240, 6, 6), (120, 3, 3), (248, 3, 3), (248, 1, 1), (248,), (10,)],
        ],
    ),
}
SHAPES["resnet34"] = (resnet34, 96, SHAPES["resnet18"][2])
SHAPES["resnet18-preact"] = (lambda: resnet18(preact=True), 96, SHAPES["resnet18"][2])


@pytest.mark.parametrize("name", SHAPES)
def test_layer_by_layer_shapes_equal_the_published(name: str) -> None:
    make, size, expected = SHAPES[name]
    X = torch.empty(1, 1, size, size, device="meta")
    shapes: list[tuple[int, ...]] = []
    for layer in on_meta(make):
        X = layer(X)
        if not shapes or shapes[-1] != tuple(X.shape[1:]):  # 激活、暂退等不改变形状的层略去
            shapes.append(tuple(X.shape[1:]))
    assert shapes == expected


@pytest.mark.parametrize(
    ("make", "published"),
    [
        (alexnet, "11/4+1 3/2+0 5/1+2 3/2+0 3/1+1 3/1+1 3/1+1 3/2+0"),
        (
            nin,
            "11/4+0 1/1+0 1/1+0 3/2+0 5/1+2 1/1+0 1/1+0 3/2+0 "
            "3/1+1 1/1+0 1/1+0 3/2+0 3/1+1 1/1+0 1/1+0",
        ),
        (lambda: googlenet()[:2], "7/2+3 3/2+1 1/1+0 3/1+1 3/2+1"),
        (lambda: resnet18()[:1], "7/2+3 3/2+1"),
        (lambda: densenet()[:1], "7/2+3 3/2+1"),
    ],
)
def test_windows_equal_the_published(make: Make, published: str) -> None:
    # 核/步幅+填充：形状相同时，填充仍可能不同（224 像素上 NiN 填 0 或 1 都得到 54）
    def first(n: Any) -> int:
        return n[0] if isinstance(n, tuple) else n

    windows = [
        f"{first(m.kernel_size)}/{first(m.stride)}+{first(m.padding)}"
        for m in on_meta(make).modules()
        if isinstance(m, nn.Conv2d | nn.MaxPool2d)
    ]
    assert windows == published.split()


# ── 结构：与 torchvision 逐个输出比对 ─────────────────────────────────


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_resnet_computes_what_torchvision_computes(name: str) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    ours = MODELS[name](1000, 3).eval()
    theirs = getattr(torchvision.models, name)().eval()
    # 参数的次序相同，名字不同：按次序装进去
    state = dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True))
    theirs.load_state_dict(state)
    X = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(X), theirs(X))


def test_vgg_has_the_layers_of_torchvision() -> None:
    torchvision = pytest.importorskip("torchvision")
    theirs = on_meta(torchvision.models.vgg11)
    ours = on_meta(lambda: vgg11(1000, 3))
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]
    kinds = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Linear, nn.Dropout)

    def order(net: nn.Module) -> list[str]:
        return [type(m).__name__ for m in net.modules() if isinstance(m, kinds)]

    assert order(ours) == order(theirs)


def test_lenet_computes_what_the_lesson_shows() -> None:
    for variant, activation, pool in (
        ("classic", nn.Sigmoid, nn.AvgPool2d),
        ("modern", nn.ReLU, nn.MaxPool2d),
    ):
        lesson = nn.Sequential(
            *[nn.Conv2d(1, 6, 5, padding=2), activation(), pool(2, stride=2)],
            *[nn.Conv2d(6, 16, 5), activation(), pool(2, stride=2), nn.Flatten()],
            *[nn.Linear(400, 120), activation(), nn.Linear(120, 84), activation()],
            nn.Linear(84, 10),
        )
        net = lenet(variant=variant)
        lesson.load_state_dict(net.state_dict())
        X = torch.rand(3, 1, 28, 28)
        assert torch.equal(net(X), lesson(X))


# ── 块 ─────────────────────────────────────────────────────────────────


def functional_norm(X: Tensor, norm: Any) -> Tensor:
    return F.batch_norm(X, None, None, norm.weight, norm.bias, training=True)


@pytest.mark.parametrize(("out", "stride"), [(4, 1), (6, 1), (4, 2), (6, 2), (4, 3)])
def test_residual_blocks_by_their_formula(out: int, stride: int) -> None:
    torch.manual_seed(0)
    X = torch.randn(3, 4, 7, 7)
    plain, preact = Residual(4, out, stride), PreActResidual(4, out, stride)
    changes = out != 4 or stride != 1

    Y = F.conv2d(X, plain.conv1.weight, stride=stride, padding=1)
    Y = F.conv2d(functional_norm(Y, plain.bn1).relu(), plain.conv2.weight, padding=1)
    shortcut = X
    if changes:
        assert isinstance(plain.shortcut, nn.Sequential)
        projection = F.conv2d(X, plain.get_parameter("shortcut.0.weight"), stride=stride)
        shortcut = functional_norm(projection, plain.shortcut[1])
    torch.testing.assert_close(plain(X), (functional_norm(Y, plain.bn2) + shortcut).relu())

    Z = functional_norm(X, preact.bn1).relu()
    Y = F.conv2d(Z, preact.conv1.weight, stride=stride, padding=1)
    Y = F.conv2d(functional_norm(Y, preact.bn2).relu(), preact.conv2.weight, padding=1)
    shortcut = X
    if changes:
        assert preact.shortcut is not None
        shortcut = F.conv2d(Z, preact.shortcut.weight, stride=stride)
    torch.testing.assert_close(preact(X), Y + shortcut)


def test_residual_block_can_be_the_identity() -> None:
    X = torch.randn(2, 4, 5, 5)
    plain, preact = Residual(4, 4), PreActResidual(4, 4)
    nn.init.zeros_(plain.bn2.weight)
    nn.init.zeros_(preact.conv2.weight)
    assert torch.equal(plain(X), X.relu())
    assert torch.equal(preact(X), X)


def test_inception_joins_four_paths() -> None:
    torch.manual_seed(0)
    block, X = Inception(3, 2, (4, 5), (6, 7), 8), torch.randn(2, 3, 6, 6)
    (a,), (b1, b2), (c1, c2), (d,) = (
        [layer for layer in path if isinstance(layer, nn.Conv2d)]
        for path in (block.path1, block.path2, block.path3, block.path4)
    )
    paths = [
        a(X).relu(),
        F.conv2d(b1(X).relu(), b2.weight, b2.bias, padding=1).relu(),
        F.conv2d(c1(X).relu(), c2.weight, c2.bias, padding=2).relu(),
        d(F.max_pool2d(X, 3, stride=1, padding=1)).relu(),
    ]
    assert [path.shape[1] for path in paths] == [2, 5, 7, 8]
    torch.testing.assert_close(block(X), torch.cat(paths, dim=1))
    assert block.out_channels == 22


def test_dense_block_keeps_everything_before() -> None:
    torch.manual_seed(0)
    block, X = DenseBlock(3, 4, 5), torch.randn(2, 4, 6, 6)
    Y = block(X)
    assert Y.shape == (2, block.out_channels, 6, 6) == (2, 19, 6, 6)
    assert torch.equal(Y[:, :4], X)
    torch.testing.assert_close(Y[:, 4:9], block.layers[0](X))
    torch.testing.assert_close(Y[:, 14:], block.layers[2](Y[:, :14]))


def test_small_blocks_are_the_documented_layers() -> None:
    def kinds(block: nn.Sequential) -> list[str]:
        return [type(layer).__name__ for layer in block]

    assert kinds(dense_layer(3, 4)) == ["BatchNorm2d", "ReLU", "Conv2d"]
    assert kinds(transition(3, 4)) == ["BatchNorm2d", "ReLU", "Conv2d", "AvgPool2d"]
    assert kinds(vgg_block(2, 3, 4)) == ["Conv2d", "ReLU"] * 2 + ["MaxPool2d"]
    assert kinds(vgg_block(1, 3, 4, batch_norm=True, pool=False)) == [
        *["Conv2d", "BatchNorm2d", "ReLU"],
    ]
    assert kinds(nin_block(3, 4, 5)) == ["Conv2d", "ReLU"] * 3
    assert kinds(nin_block(3, 4, 5, batch_norm=True, last=True)) == [
        *["Conv2d", "BatchNorm2d", "ReLU"] * 2,
        "Conv2d",
    ]


def test_nin_can_recover_from_negative_scores() -> None:
    # 以 ReLU 结尾的 NiN 得分全负之后梯度恒为 0；我们的没有这个 ReLU
    torch.manual_seed(0)
    net, X = nin(width=1 / 8, small=True), torch.rand(4, 1, 28, 28)
    output_bias = [p for name, p in net.named_parameters() if name.endswith("bias")][-1]
    nn.init.constant_(output_bias, -10)
    scores = net(X)
    assert (scores < 0).all()
    F.cross_entropy(scores, torch.arange(4)).backward()
    assert output_bias.grad is not None
    assert output_bias.grad.abs().max() > 0.1


# ── 选项：width、small、图像尺寸 ───────────────────────────────────────

# 课文里用的小网络
SMALL: dict[str, tuple[Make, int]] = {
    "lenet": (lambda: lenet(variant="modern"), 28),
    "lenet-bn": (lambda: lenet(variant="modern", batch_norm=True), 28),
    "alexnet": (lambda: alexnet(width=1 / 3, small=True, hidden=256), 28),
    "vgg11-32": (lambda: vgg11(width=1 / 8, batch_norm=True, image_size=32), 32),
    "vgg11-28": (lambda: vgg11(width=1 / 8, batch_norm=True, small=True), 28),
    "nin": (lambda: nin(width=1 / 6, batch_norm=True, small=True), 28),
    "googlenet": (lambda: googlenet(width=1 / 8, batch_norm=True, small=True), 28),
    "resnet": (lambda: resnet(((2, 16), (2, 32), (2, 64)), small=True), 28),
    "resnet-preact": (lambda: resnet18(preact=True, width=1 / 4, small=True), 28),
    "densenet": (lambda: densenet(blocks=(4, 4, 4), width=1 / 4, small=True), 28),
}


@pytest.fixture(scope="module")
def garments() -> tuple[Tensor, Tensor]:
    images, labels = make_garments(256, seed=0)
    return images.float() / 255, labels


@pytest.mark.parametrize("name", SMALL)
def test_small_nets_learn(name: str, garments: tuple[Tensor, Tensor]) -> None:
    make, size = SMALL[name]
    X, y = F.interpolate(garments[0], size=(size, size)), garments[1]
    torch.manual_seed(0)
    net = make()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    losses = []
    for _ in range(3):
        for start in range(0, len(X), 32):
            loss = F.cross_entropy(net(X[start : start + 32]), y[start : start + 32])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    first, last = sum(losses[:4]) / 4, sum(losses[-4:]) / 4
    assert last < 0.9 * first
    assert last < 2.2  # 乱猜是 ln 10 ≈ 2.303


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [28, 64])
def test_every_net_takes_small_images(name: str, size: int) -> None:
    options = {"image_size": size} if name in ("lenet", "alexnet", "vgg11") else {}
    if name != "lenet":
        options["small"] = True
    net = on_meta(lambda: MODELS[name](7, 3, width=0.25, **options))
    assert net(torch.empty(2, 3, size, size, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"lenet"}))
def test_small_stems_do_not_shrink_early(name: str) -> None:
    net = on_meta(lambda: MODELS[name](width=0.25, small=True))
    X = torch.empty(2, 1, 28, 28, device="meta")
    assert min(net[0](X).shape[2:]) >= 14
    full = on_meta(lambda: MODELS[name](width=0.25))
    before = net[0](X).shape[2] * net[0](X).shape[3]
    assert before > full[0](X).shape[2] * full[0](X).shape[3]


@pytest.mark.parametrize("name", MODELS)
def test_width_multiplies_the_channels(name: str) -> None:
    def channels(net: nn.Module) -> list[int]:
        return [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]

    full = channels(on_meta(MODELS[name]))
    half = channels(on_meta(lambda: MODELS[name](width=0.5)))
    fixed = {10} if name == "nin" else set()  # 最后一块是类别数，不随 width 变
    assert half == [c if c in fixed else c // 2 for c in full]
    narrowest = on_meta(lambda: MODELS[name](width=1e-9))
    assert set(channels(narrowest)) - fixed <= set(range(1, 8))


@pytest.mark.parametrize("name", MODELS)
def test_any_dtype_and_memory_layout(name: str) -> None:
    options = {} if name == "lenet" else {"small": True}
    torch.manual_seed(0)
    net = MODELS[name](width=0.125, **options).double().eval()
    X = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    Y = net(X)
    assert Y.dtype == torch.float64
    assert Y.isfinite().all()
    net = net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(net(X.to(memory_format=torch.channels_last)), Y)


@pytest.mark.parametrize("make", [*MODELS.values(), lambda **k: lenet(variant="modern", **k)])
def test_same_seed_same_net(make: Callable[..., nn.Sequential]) -> None:
    nets = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        nets.append(torch.nn.utils.parameters_to_vector(make(width=0.05).parameters()))
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


def normalised_convs(net: nn.Module) -> Iterator[nn.Module]:
    """后面紧跟着批量规范化的卷积层与全连接层。"""
    leaves = [m for m in net.modules() if not list(m.children())]
    for layer, following in pairwise(leaves):
        if isinstance(layer, nn.Conv2d | nn.Linear) and isinstance(
            following, nn.BatchNorm1d | nn.BatchNorm2d
        ):
            yield layer


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda: lenet(batch_norm=True), 4),
        (lambda: vgg11(batch_norm=True), 8),
        (lambda: nin(batch_norm=True), 11),
        (lambda: googlenet(batch_norm=True), 57),
        (resnet18, 20),
        (resnet34, 36),
    ],
)
def test_no_bias_before_batch_norm(make: Make, number: int) -> None:
    layers = list(normalised_convs(on_meta(make)))
    assert len(layers) == number
    assert all(layer.bias is None for layer in layers)


@pytest.mark.parametrize("make", [densenet, lambda: resnet18(preact=True)])
def test_no_bias_at_all_where_norm_comes_first(make: Make) -> None:
    convs = [m for m in on_meta(make).modules() if isinstance(m, nn.Conv2d)]
    assert all(layer.bias is None for layer in convs)


# ── 初始化 ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"lenet", "vgg11", "alexnet"}))
def test_relu_nets_start_with_he(name: str) -> None:
    torch.manual_seed(0)
    net = MODELS[name](width=0.5)
    check_std(net, lambda n_in, n_out: (2 / n_in) ** 0.5)


def test_initialisers_and_their_users() -> None:
    torch.manual_seed(0)
    check_std(lenet(variant="modern", width=4), lambda n_in, n_out: (2 / n_in) ** 0.5)
    check_std(lenet(width=4), lambda n_in, n_out: (2 / (n_in + n_out)) ** 0.5)
    check_std(alexnet(width=0.3, small=True), lambda n_in, n_out: (2 / n_in) ** 0.5)
    check_std(vgg11(width=0.3, small=True), lambda n_in, n_out: (2 / n_in) ** 0.5)
    for init in (init_he_, init_xavier_):
        net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Conv2d(1, 2, 3))
        norm_before = net.get_parameter("1.weight").clone()
        assert init(net) is net
        assert torch.equal(net.get_parameter("1.weight"), norm_before)
        assert not net.get_parameter("2.bias").any()


def check_std(net: nn.Module, expected: Callable[[int, int], float]) -> None:
    """每个大的卷积层、全连接层：权重的标准差合乎公式，偏置为 0。"""
    checked = 0
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias is None or not module.bias.any()
            if module.weight.numel() < 2000:
                continue  # 太少，标准差估不准
            window = module.weight[0, 0].numel() if module.weight.ndim == 4 else 1
            n_in, n_out = (module.weight.shape[d] * window for d in (1, 0))
            std = module.weight.std().item()
            assert std == pytest.approx(expected(n_in, n_out), rel=0.1), module
            checked += 1
    assert checked >= 3


# ── 报错 ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MODELS)
def test_bad_arguments_are_named(name: str) -> None:
    for bad in ({"num_classes": 0}, {"in_channels": -1}, {"num_classes": 2.5}):
        ((key, value),) = bad.items()
        with pytest.raises(ValueError, match=f"{key}={value} 不合适：应是不小于 1 的整数"):
            MODELS[name](**bad)
    for width in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"width={width} 不合适"):
            MODELS[name](width=width)


def test_images_too_small_are_refused_when_the_net_is_built() -> None:
    with pytest.raises(ValueError, match=r"image_size=11 太小.*至少是 12"):
        lenet(image_size=11)
    with pytest.raises(ValueError, match=r"image_size=31 太小.*至少是 32（small=True 时 16）"):
        vgg11(image_size=31)
    with pytest.raises(ValueError, match="image_size=15 太小"):
        vgg11(image_size=15, small=True)
    with pytest.raises(ValueError, match=r"image_size=64 太小.*至少是 65（small=True 时 15）"):
        alexnet(image_size=64)
    with pytest.raises(ValueError, match="image_size=14 太小"):
        alexnet(image_size=14, small=True)
    with pytest.raises(ValueError, match="image_size=0 太小"):
        vgg11(image_size=0)
    # 恰好够大的能用
    for make, size in (
        (lambda: lenet(image_size=12), 12),
        (lambda: alexnet(image_size=65, width=0.1), 65),
        (lambda: alexnet(image_size=15, width=0.1, small=True), 15),
        (lambda: vgg11(image_size=32, width=0.1), 32),
        (lambda: vgg11(image_size=16, width=0.1, small=True), 16),
    ):
        assert make()(torch.zeros(2, 1, size, size)).shape == (2, 10)


def test_other_bad_options() -> None:
    with pytest.raises(ValueError, match=r"variant='moderne'.*'classic' 或 'modern'"):
        lenet(variant="moderne")
    with pytest.raises(ValueError, match="hidden=0"):
        alexnet(hidden=0)
    with pytest.raises(ValueError, match="hidden=0"):
        vgg11(hidden=0)
    with pytest.raises(ValueError, match="stages=0"):
        resnet(())
    with pytest.raises(ValueError, match="num_blocks=0"):
        resnet(((0, 16),))
    with pytest.raises(ValueError, match="blocks=0"):
        densenet(blocks=())
    with pytest.raises(ValueError, match="num_layers=0"):
        densenet(blocks=(0,))
    with pytest.raises(ValueError, match="growth=0"):
        densenet(growth=0)
