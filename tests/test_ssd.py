"""SSD：形状与参数个数对照手算，锚框的次序与输出的次序相同，坏输入的报错。"""

import pytest
import torch
from torch import Tensor, nn

from d2lcore.anchors import generate_anchors
from d2lcore.boxes import corner_to_center
from d2lcore.models.ssd import (
    RATIOS,
    SIZES,
    SSD,
    class_predictor,
    concat_predictions,
    down_block,
    offset_predictor,
)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# ---- 零件 ---------------------------------------------------------------------------------


def test_predictors_have_the_stated_channels_and_parameters() -> None:
    c, a, q = 64, 4, 10
    to_class, to_offset = class_predictor(c, a, q), offset_predictor(c, a)
    assert count(to_class) == a * (q + 1) * (9 * c + 1)
    assert count(to_offset) == 4 * a * (9 * c + 1)
    X = torch.zeros(2, c, 5, 7)
    assert to_class(X).shape == (2, a * (q + 1), 5, 7)
    assert to_offset(X).shape == (2, 4 * a, 5, 7)


@pytest.mark.parametrize(("size", "half"), [(12, 6), (7, 4), (1, 1)])
def test_down_block_halves_rounding_up(size: int, half: int) -> None:
    block = down_block(3, 8).eval()
    assert block(torch.zeros(1, 3, size, size)).shape == (1, 8, half, half)
    assert count(block) == 9 * (3 * 8 + 8 * 8) + 2 * 2 * 8  # 卷积没有偏置；规范化各两组
    assert block(torch.randn(4, 3, 9, 9)).min() == 0  # 以 ReLU 结尾


def test_concat_keeps_the_numbers_of_one_anchor_together() -> None:
    """写进 (图像, 行, 列, 第几个锚框, 第几个数)，按先行后列、锚框相邻的次序读出。"""
    a, width = 2, 3

    def coded(h: int, w: int, offset: float) -> Tensor:
        Y = torch.zeros(2, a * width, h, w)
        for b in range(2):
            for i in range(h):
                for j in range(w):
                    for k in range(a * width):
                        Y[b, k, i, j] = offset + 1000 * b + 100 * i + 10 * j + k
        return Y

    joined = concat_predictions([coded(2, 3, 0.0), coded(1, 1, 5000.0)], width)
    assert joined.shape == (2, 2 * 3 * a + a, width)
    row = 0
    for h, w, offset in ((2, 3, 0.0), (1, 1, 5000.0)):
        for i in range(h):
            for j in range(w):
                for anchor in range(a):
                    want = [offset + 100 * i + 10 * j + anchor * width + k for k in range(width)]
                    assert joined[0, row].tolist() == want
                    assert joined[1, row].tolist() == [1000 + value for value in want]
                    row += 1


def test_concat_rejects_bad_maps() -> None:
    with pytest.raises(ValueError, match="是空的"):
        concat_predictions([], 4)
    with pytest.raises(ValueError, match=r"\(2, 10, 3, 3\).*width=4"):
        concat_predictions([torch.zeros(2, 8, 3, 3), torch.zeros(2, 10, 3, 3)], 4)
    with pytest.raises(ValueError, match="应是"):
        concat_predictions([torch.zeros(8, 4, 3)], 4)


# ---- 整个网络 ------------------------------------------------------------------------------


def test_default_network_matches_the_hand_count() -> None:
    net = SSD(num_classes=10)
    assert len(net.anchors) == 4 * (12 * 12 + 6 * 6 + 3 * 3) == 756
    scores, offsets = net(torch.rand(2, 1, 96, 96))
    assert scores.shape == (2, 756, 11)
    assert offsets.shape == (2, 756, 4)
    pairs = [(1, 8), (8, 8), (8, 32), (32, 32), (32, 64), *[(64, 64)] * 5]
    convolutions = sum(9 * before * after for before, after in pairs)
    norms = sum(2 * after for _, after in pairs)
    heads = 3 * (4 * 11 + 4 * 4) * (9 * 64 + 1)
    assert count(net) == convolutions + norms + heads == 319_708


def test_anchors_are_the_three_scales_in_order() -> None:
    net = SSD()
    assert net.feature_sizes == [12, 6, 3]
    want = [generate_anchors((n, n), s, RATIOS) for n, s in zip((12, 6, 3), SIZES, strict=True)]
    assert torch.equal(net.anchors, torch.cat(want))
    assert "anchors" not in net.state_dict()
    assert net.to("meta").anchors.device.type == "meta"


@pytest.mark.parametrize("image_size", [96, 90, 61])
def test_feature_sizes_are_those_of_the_maps(image_size: int) -> None:
    net = SSD(image_size=image_size).eval()
    X, sides = torch.zeros(1, 1, image_size, image_size), []
    for stage in net.stages:
        X = stage(X)
        sides.append(X.shape[-1])
    assert net.feature_sizes == sides
    scores, _ = net(torch.zeros(1, 1, image_size, image_size))
    assert scores.shape[1] == len(net.anchors)


def test_other_configurations() -> None:
    mixed = SSD(channels=(4, 8), extra=(12, 16), image_size=32)  # 各尺度的通道数不同
    assert mixed(torch.rand(1, 1, 32, 32))[0].shape == (1, 4 * (64 + 16 + 4), 11)
    net = SSD(
        3, 2, image_size=64, channels=(4, 8), extra=(), sizes=[(0.3,)], ratios=(1.0, 2.0, 0.5)
    )
    scores, offsets = net(torch.rand(2, 2, 64, 64))
    assert scores.shape == (2, 16 * 16 * 3, 4)
    assert offsets.shape == (2, 16 * 16 * 3, 4)
    assert net.anchors.shape == (16 * 16 * 3, 4)


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_one_cell_of_a_map_reaches_only_the_anchors_around_it(scale: int) -> None:
    """动一个位置的特征：只有 3×3 邻域里的位置的输出变，正是中心在那里的锚框。"""
    torch.manual_seed(0)
    net, n = SSD().eval(), SSD().feature_sizes[scale]
    maps = [torch.rand(1, 64, side, side) for side in net.feature_sizes]

    def outputs() -> tuple[Tensor, Tensor]:
        scores = [head(X) for head, X in zip(net.class_heads, maps, strict=True)]
        offsets = [head(X) for head, X in zip(net.offset_heads, maps, strict=True)]
        return concat_predictions(scores, 11)[0], concat_predictions(offsets, 4)[0]

    before = outputs()
    row, column = 1, n - 1
    maps[scale][0, :, row, column] += 1
    center = torch.tensor([(column + 0.5) / n, (row + 0.5) / n])
    near = ((corner_to_center(net.anchors)[:, :2] - center).abs() < 1.1 / n).all(dim=1)
    first = sum(4 * side**2 for side in net.feature_sizes[:scale])
    own = torch.zeros(756, dtype=torch.bool)
    own[first : first + 4 * n * n] = True
    for old, new in zip(before, outputs(), strict=True):
        assert torch.equal((old != new).any(dim=1), near & own)
    assert int((near & own).sum()) == 4 * 6  # 靠右边，3×3 少一列


def test_the_centre_of_a_cell_is_where_its_features_look() -> None:
    """亮一个像素：12×12 的特征图上，反应最大的位置的锚框中心就在那个像素附近。"""
    torch.manual_seed(0)
    net = SSD().eval()
    x, y = 70, 26
    with torch.no_grad():
        X = torch.zeros(1, 1, 96, 96)
        base = net.stages[0](X)
        X[0, 0, y, x] = 1
        change = (net.stages[0](X) - base).square().sum(dim=1)[0]  # (12, 12)
    centers = corner_to_center(net.anchors[: 4 * 144 : 4])[:, :2].reshape(12, 12, 2) * 96
    mean = (centers * change[..., None]).sum((0, 1)) / change.sum()
    assert (mean - torch.tensor([x + 0.5, y + 0.5])).abs().max() < 8


def test_the_two_outputs_of_an_anchor_come_from_its_own_channels() -> None:
    """第 k 个锚框的第 c 个得分是通道 k·(C+1)+c：只改这个通道的偏置，只有它变。"""
    net, X = SSD().eval(), torch.rand(1, 1, 96, 96)
    with torch.no_grad():
        scores, offsets = net(X)
        net.class_heads[1].bias[2 * 11 + 5] += 1
        net.offset_heads[1].bias[3 * 4 + 1] += 1
        new_scores, new_offsets = net(X)
    which = (torch.arange(756) >= 576) & (torch.arange(756) < 720)
    want_scores, want_offsets = torch.zeros(756, 11), torch.zeros(756, 4)
    want_scores[which & (torch.arange(756) % 4 == 2), 5] = 1
    want_offsets[which & (torch.arange(756) % 4 == 3), 1] = 1
    assert torch.allclose((new_scores - scores)[0], want_scores, atol=1e-5)
    assert torch.allclose((new_offsets - offsets)[0], want_offsets, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"image_size": 0}, "image_size=0"),
        ({"channels": ()}, "channels 有 0 块"),
        ({"extra": (64,)}, "sizes 有 3 组"),
        ({"sizes": [(0.2,), (0.4,), ()]}, "sizes"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SSD(**options)


def test_wrong_image_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(1, 1, 64, 64\).*96×96"):
        SSD()(torch.zeros(1, 1, 64, 64))
