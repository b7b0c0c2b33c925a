"""仿真服饰：形状、确定性、统计量，以及“卷积胜过线性”这一点在它上面也成立。"""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from d2lcore import stand_in
from d2lcore.stand_in import make_garments

TOPS, SHIRT = (0, 2, 3, 4, 6), 6
Split = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def train_set() -> Split:
    return make_garments(6_000, seed=0)


@pytest.fixture(scope="module")
def test_set() -> Split:
    return make_garments(2_000, seed=1)


# ── 形状与类型 ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [8, 14, 28, 56, 96])
def test_shapes_and_dtypes(size: int) -> None:
    images, labels = make_garments(30, size=size)
    assert images.shape == (30, 1, size, size)
    assert images.dtype == torch.uint8
    assert labels.shape == (30,)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("n", [1, 7, 10, 5_003])
def test_classes_are_balanced(n: int) -> None:
    # 5,003 张时每类多于一块（CHUNK 张），分块画不能漏
    counts = make_garments(n)[1].bincount(minlength=10)
    assert counts.tolist() == [n // 10 + (k < n % 10) for k in range(10)]


def test_every_image_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "CHUNK", 7)  # 逼它分成许多块，最后一块不满
    images, _ = make_garments(200)
    assert (images.flatten(1).amax(1) > 60).all()


def test_labels_are_shuffled(train_set: Split) -> None:
    _, labels = train_set
    assert labels[:200].bincount(minlength=10).min() >= 5
    # 没打乱时，相邻两张同类的比例是 0 或接近 1；打乱后约为 0.1
    assert 0.05 < (labels[1:] == labels[:-1]).float().mean() < 0.15


def test_order_of_classes_is_that_of_fashion_mnist() -> None:
    assert [draw.__name__ for draw, _ in stand_in.GARMENTS] == [
        *("t_shirt", "trousers", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle_boot"),
    ]


# ── 确定性 ────────────────────────────────────────────────────────────


def test_same_arguments_give_the_same_garments() -> None:
    (a, la), (b, lb) = make_garments(1_000, seed=3), make_garments(1_000, seed=3)
    assert torch.equal(a, b)
    assert torch.equal(la, lb)


def test_other_seeds_give_other_garments() -> None:
    (a, la), (b, lb) = make_garments(1_000, seed=3), make_garments(1_000, seed=4)
    assert not torch.equal(la, lb)
    assert (a != b).flatten(1).any(1).all()


def test_global_random_state_is_neither_read_nor_changed() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = make_garments(200, seed=3)[0]
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, make_garments(200, seed=3)[0])


def test_number_of_threads_does_not_matter() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = make_garments(2_000, seed=5)[0]
        torch.set_num_threads(2)
        two = make_garments(2_000, seed=5)[0]
        assert torch.get_num_threads() == 2  # 画的时候只用一个线程，画完恢复
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)


def test_no_image_is_in_two_sets(train_set: Split, test_set: Split) -> None:
    seen = {image.numpy().tobytes() for image in train_set[0]}
    assert len(seen) == len(train_set[0])
    assert not any(image.numpy().tobytes() in seen for image in test_set[0])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n": 0}, "n"),
        ({"n": -5}, "n"),
        ({"n": 2.5}, "n"),
        ({"n": True}, "n"),
        ({"n": 10, "seed": -1}, "seed"),
        ({"n": 10, "seed": None}, "seed"),
        ({"n": 10, "size": 7}, "size"),
        ({"n": 10, "size": (28, 28)}, "size"),
    ],
)
def test_bad_arguments(arguments: dict, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} 给的是 .*应是"):
        make_garments(**arguments)


# ── 统计量：与真数据集（均值 0.286，标准差 0.353，一半是 0）相近 ─────────────


@pytest.mark.parametrize("size", [28, 56])
def test_pixel_statistics_are_near_the_real_ones(size: int) -> None:
    images, _ = make_garments(2_000, size=size)
    pixels = images.float() / 255
    assert 0.25 < pixels.mean() < 0.31
    assert 0.31 < pixels.std() < 0.37
    assert 0.46 < (images == 0).float().mean() < 0.56


def test_background_is_black_and_cloth_is_not(train_set: Split) -> None:
    images, labels = train_set
    bags, trousers = images[labels == 8], images[labels == 1]
    assert (trousers[:, 0, :, 0] == 0).all()  # 裤子不会画到最左边
    assert (bags[:, 0, 18, 14] > 0).all()  # 包的中间没有洞


def test_brightness_says_little_about_the_class(train_set: Split) -> None:
    images, labels = train_set
    lit = images.flatten(1).float().sum(1) / (images.flatten(1) > 0).sum(1)
    means = torch.stack([lit[labels == k].mean() for k in TOPS])
    spread = torch.stack([lit[labels == k].std() for k in TOPS])
    assert means.max() - means.min() < 0.5 * spread.min()


def nearest_mean_guess(train_set: Split, test_set: Split) -> Tensor:
    """最近类均值分类器的预测：最简单的模板匹配。"""
    images, labels = (train_set[0].flatten(1).float(), train_set[1])
    means = torch.stack([images[labels == k].mean(0) for k in range(10)])
    return torch.cdist(test_set[0].flatten(1).float(), means).argmin(1)


def test_class_means_are_distinguishable_but_not_enough(train_set: Split, test_set: Split) -> None:
    guess = nearest_mean_guess(train_set, test_set)
    assert 0.55 < (guess == test_set[1]).float().mean() < 0.80


def test_same_class_has_the_same_template_at_every_size(train_set: Split) -> None:
    images, labels = make_garments(2_000, seed=2, size=56)
    small = nn.functional.avg_pool2d(images.float(), 2)
    guess = nearest_mean_guess(train_set, (small, labels))
    assert 0.55 < (guess == labels).float().mean() < 0.80


# ── 标定：小规模地看一眼次序；全规模的由 benchmarks/calibrate_stand_in.py 测 ──────


def fit(net: nn.Module, train_set: Split, epochs: int) -> nn.Module:
    """用 Adam 训练几轮：小数据上比普通 SGD 收敛得快，次序不变。"""
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    images, labels = train_set
    for _ in range(epochs):
        for index in torch.randperm(len(images)).split(100):
            loss = nn.functional.cross_entropy(net(images[index].float() / 255), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def tiny_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 10),
    )  # fmt: skip


def guess_of(build: Callable[[], nn.Module], train_set: Split, test_set: Split) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = fit(build(), train_set, epochs=5)
    with torch.no_grad():
        return net(test_set[0].float() / 255).argmax(1)


def test_convolution_beats_the_linear_model(train_set: Split, test_set: Split) -> None:
    labels = test_set[1]
    guesses = [guess_of(build, train_set, test_set) for build in (linear, tiny_cnn)]
    accuracies = [(guess == labels).float().mean().item() for guess in guesses]
    assert 0.72 < accuracies[0] < 0.86
    assert accuracies[1] > accuracies[0] + 0.02
    assert accuracies[1] < 0.95  # 总有一部分谁也分不对
    # 衬衫最难，裤子、包、短靴容易
    recalls = [(guesses[1][labels == k] == k).float().mean().item() for k in range(10)]
    assert min(range(10), key=recalls.__getitem__) == SHIRT
    assert min(recalls[1], recalls[8], recalls[9]) > recalls[SHIRT] + 0.2  # 实测相差 0.4 上下


def test_lookalikes_keep_their_own_label() -> None:
    labels = torch.arange(10).repeat_interleave(2_000)
    drawn = stand_in._drawn_as(labels, torch.Generator().manual_seed(0))
    for label in range(10):
        share, others = stand_in.LOOKALIKES.get(label, (0.0, ()))
        mine = drawn[labels == label]
        assert set(mine.tolist()) == {label, *others}
        assert abs((mine != label).float().mean() - share) < 0.03


def test_lookalikes_are_really_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "_drawn_as", lambda labels, _: torch.full_like(labels, 8))
    images, labels = make_garments(100)
    assert (images[:, 0, 18, 14] > 0).all()  # 全画成了包：中间没有洞
    assert labels.bincount().tolist() == [10] * 10


@pytest.mark.parametrize(
    "knob",
    ["SHIFT", "TURN", "STRETCH", "SHEAR", "BEND", "SHADE", "GRAIN", "DETAIL", "PATTERN"],
)
def test_every_knob_matters(knob: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = make_garments(200)
    monkeypatch.setattr(stand_in, knob, 0.0)  # 随机数的次序不变，只少了这一样变化
    after, _ = make_garments(200)
    changed = (before != after).flatten(1).any(1).float().mean()
    assert changed > (0.2 if knob == "PATTERN" else 0.7)  # 只有约三成的布有花纹


def test_fields_combine_as_regions() -> None:
    x = torch.linspace(-2, 2, 41)
    left, right = 0.5 - x, x + 0.5  # x < 0.5 与 x > -0.5
    assert torch.equal(stand_in.both(left, right) > 0, (x < 0.5) & (x > -0.5))
    assert (stand_in.either(left, right) > 0).all()
    assert torch.equal(stand_in.band(x, 0.5), stand_in.both(left, right))


def test_capsule_is_the_distance_to_a_segment() -> None:
    x, y = torch.tensor([0.0, 0.5, 2.0, 0.5]), torch.tensor([0.0, 0.3, 0.0, -1.0])
    field = stand_in.capsule(x, y, (0.0, 0.0), (1.0, 0.0), 0.25)
    torch.testing.assert_close(field, 0.25 - torch.tensor([0.0, 0.3, 1.0, 1.0]))


def test_edges_are_one_pixel_wide_at_every_size() -> None:
    for size in (14, 28, 96):
        q = stand_in.Canvas(1, size, torch.Generator().manual_seed(0))
        field = torch.linspace(-1, 1, size + 1)[1:] - 1 / size
        cover = q.fill(field)
        assert ((cover > 0) & (cover < 1)).sum() <= 1
        assert all(a <= b for a, b in pairwise(cover.tolist()))
