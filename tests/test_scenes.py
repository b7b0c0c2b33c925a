"""检测场景：框恰好是画出的像素，个数、大小、重叠、类别都合规则，同一种子逐字节相同。"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from d2lcore import data, scenes
from d2lcore.data import CLASS_NAMES, ImageData
from d2lcore.scenes import SceneData, make_scenes, tight_boxes
from d2lcore.stand_in import make_garments


@pytest.fixture(scope="module")
def garments() -> ImageData:
    return ImageData(*make_garments(2000, seed=0), CLASS_NAMES, "仿真服饰")


def one(image: Tensor) -> ImageData:
    """只有一件服饰的数据集。"""
    labels = torch.zeros(1, dtype=torch.int64)
    return ImageData(image.to(torch.uint8)[None, None], labels, ("一件",), "一件")


SQUARE = one(torch.full((28, 28), 255))


def objects(labels: Tensor) -> list[list[float]]:
    """一张场景里真有的物体。"""
    return [row for row in labels.tolist() if row[0] >= 0]


def slow_box(mask: Tensor) -> tuple[int, int, int, int]:
    """逐个像素找紧框。"""
    spots = [(x, y) for y, row in enumerate(mask.tolist()) for x, v in enumerate(row) if v]
    if not spots:
        return 0, 0, 0, 0
    xs, ys = zip(*spots, strict=True)
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def slow_overlap(a: list[float], b: list[float]) -> tuple[float, float]:
    """两个框的 (交, 并)。"""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return both, total - both


class Layers:
    """记下每件服饰单独画出的样子：把它自己画到空画布上。"""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scenes: list[list[Tensor]] = []  # [场景][第几件] → uint8 (size, size)
        self.paint = scenes._paint
        monkeypatch.setattr(scenes, "_paint", self)

    def __call__(self, canvas: Tensor, patches: Tensor, shifts: Tensor, placed: Tensor) -> None:
        self.paint(canvas, patches, shifts, placed)
        alone = torch.zeros(placed.shape[1], *canvas.shape, dtype=torch.uint8)
        for k in range(placed.shape[1]):
            self.paint(alone[k], patches, shifts, placed & (torch.arange(placed.shape[1]) == k))
        for i, kept in enumerate(placed):
            self.scenes.append([alone[k, i] for k in kept.nonzero().flatten().tolist()])


# ── 框与像素 ─────────────────────────────────────────────────────────────


def check_pixels(layers: Layers, made: SceneData) -> None:
    """框是每件自己的紧框；大的在下；画面就是依次盖上去的结果。"""
    assert len(layers.scenes) == len(made)
    size = made.images.shape[-1]
    for image, labels, alone in zip(made.images[:, 0], made.labels, layers.scenes, strict=True):
        rows = objects(labels)
        assert len(rows) == len(alone) >= 1
        canvas = torch.zeros_like(image)
        areas = []
        for (_, *box), layer in zip(rows, alone, strict=True):
            x1, y1, x2, y2 = slow_box(layer)
            assert box == (torch.tensor([x1, y1, x2, y2]) / size).tolist()
            areas.append((x2 - x1) * (y2 - y1))
            canvas = torch.where(layer > 0, layer, canvas)
        assert torch.equal(canvas, image)
        assert areas == sorted(areas, reverse=True)


def test_boxes_are_exactly_the_drawn_pixels(
    garments: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "CHUNK", 16)  # 40 张要分几次画，最后一次不满
    crowded: dict[str, Any] = {"max_objects": 6, "max_overlap": 0.5, "scale": (0.2, 1.0)}
    for options in ({}, crowded):
        with monkeypatch.context() as patch:
            layers = Layers(patch)
            check_pixels(layers, make_scenes(garments, 40, seed=5, **options))


def test_boxes_of_real_garments(monkeypatch: pytest.MonkeyPatch) -> None:
    place = data._find(None)
    if place in (None, "stand-in"):
        pytest.skip("本机没有 Fashion-MNIST（设 D2LCORE_DATA=放数据的文件夹，就会测）")
    _, test = data.load_fashion_mnist(place, fallback=False)
    layers = Layers(monkeypatch)
    made = make_scenes(test, 60, seed=0)
    check_pixels(layers, made)
    # 真服饰按外接框裁过，长边几乎就是小图的边长
    sides = (made.labels[..., 3:] - made.labels[..., 1:3]).amax(2)[made.labels[..., 0] >= 0] * 96
    assert sides.min() >= 22
    assert sides.max() <= 58


def test_a_box_is_what_one_sees_when_nothing_overlaps(garments: ImageData) -> None:
    made = make_scenes(garments, 50, max_overlap=0.0, seed=1)
    for image, labels in zip(made.images[:, 0], made.labels, strict=True):
        seen = torch.zeros_like(image)
        for _, *box in objects(labels):
            x1, y1, x2, y2 = (round(v * 96) for v in box)
            assert slow_box(image[y1:y2, x1:x2]) == (0, 0, x2 - x1, y2 - y1)
            seen[y1:y2, x1:x2] = 1
        assert not image[seen == 0].any()


@given(
    st.integers(0, 2**32),
    st.sampled_from([(6, 8), (1, 1), (3, 1), (1, 5)]),
    st.sampled_from([torch.bool, torch.uint8, torch.float32]),
)
@settings(max_examples=40, deadline=None)
def test_tight_boxes_equal_looking_at_every_pixel(
    seed: int, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(2, 3, *shape, generator=generator) < 0.08).to(dtype) * 7
    boxes = tight_boxes(masks)
    assert boxes.shape == (2, 3, 4)
    assert boxes.dtype == torch.int64
    for mask, box in zip(masks.flatten(0, 1), boxes.flatten(0, 1), strict=True):
        assert tuple(box.tolist()) == slow_box(mask)


def test_tight_boxes_on_another_device() -> None:
    assert tight_boxes(torch.zeros(2, 5, 5, device="meta")).shape == (2, 4)


# ── 画得像不像 ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("side", [9, 20, 28, 57])
def test_a_garment_is_resized_like_torch_does(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    monkeypatch.setattr(scenes, "DIMMEST", 1.0)  # 亮度不变，才好比
    picture = torch.randint(60, 256, (28, 28), generator=torch.Generator().manual_seed(0))
    scale = (side / 96, side / 96)
    made = make_scenes(one(picture), 30, max_objects=1, scale=scale, seed=0)
    expected = F.interpolate(
        picture[None, None].float(), (side, side), mode="bilinear", antialias=True
    )[0, 0]
    flips = 0
    for image, labels in zip(made.images[:, 0], made.labels, strict=True):
        x1, y1, x2, y2 = (round(v * 96) for v in labels[0, 1:].tolist())
        assert x2 - x1 == y2 - y1 == side
        near = [
            bool(((image[y1:y2, x1:x2] - wanted).abs() < 3).all())
            for wanted in (expected, expected.flip(1))
        ]
        assert sum(near) == 1
        flips += near[1]
    assert 6 <= flips <= 24  # 约一半左右翻转


def test_arithmetic_of_resizing_is_exact() -> None:
    matrices = scenes._resize_matrices(28, 5, 60)
    assert matrices.shape == (56, 60, 28)
    X = torch.randint(0, 256, (56, 28, 28), generator=torch.Generator().manual_seed(0)).float()
    exact = matrices.double() @ X.double() @ matrices.double().mT
    assert torch.equal((matrices @ X @ matrices.mT).double(), exact)
    sums = matrices.sum(2)
    for number, after in enumerate(range(5, 61)):
        assert not sums[number, after:].any()
        assert (sums[number, :after] - 1).abs().max() <= 4 / 256


def test_brightness_varies() -> None:
    made = make_scenes(SQUARE, 400, size=32, max_objects=1, seed=0)
    whites = made.images.flatten(1).amax(1).int()
    assert 127 <= whites.min() < 135
    assert 250 < whites.max() <= 255
    assert whites.float().mean().sub(191).abs() < 6


def test_white_stays_white_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "DIMMEST", 1.0)
    made = make_scenes(SQUARE, 300, max_objects=1, scale=(0.05, 1.0), seed=0)
    for image, (x1, y1, x2, y2) in zip(
        made.images[:, 0], (made.labels[:, 0, 1:] * 96).round().int().tolist(), strict=True
    ):
        assert image[y1:y2, x1:x2].min() >= 245


def test_labels_belong_to_the_garments() -> None:
    images = torch.zeros(5, 1, 28, 28, dtype=torch.uint8)
    for k in range(5):
        images[k, :, :, : 8 + 4 * k] = 200  # 第 k 类宽 8 + 4k
    bars = ImageData(images, torch.arange(5), tuple("甲乙丙丁戊"), "条")
    made = make_scenes(bars, 100, size=96, scale=(28 / 96, 28 / 96), seed=0)
    rows = made.labels[made.labels[..., 0] >= 0]
    assert len(rows[:, 0].unique()) == 5
    widths, heights = (rows[:, 3:] - rows[:, 1:3]).mul(96).round().T
    assert torch.equal(widths, 8 + 4 * rows[:, 0])
    assert (heights == 28).all()


def test_faint_pixels_are_transparent() -> None:
    picture = torch.full((28, 28), scenes.FAINTEST - 1)
    picture[10:20, 5:25] = scenes.FAINTEST
    made = make_scenes(one(picture), 20, size=28, max_objects=1, scale=(1.0, 1.0), seed=0)
    for x1, y1, x2, y2 in (made.labels[:, 0, 1:] * 28).round().int().tolist():
        assert (x2 - x1, y2 - y1) == (20, 10)
    assert (made.images > 0).sum() == 20 * 200


def test_noise_fills_the_background_only(garments: ImageData) -> None:
    plain = make_scenes(garments, 20, seed=0)
    noisy = make_scenes(garments, 20, noise=0.4, seed=0)
    assert torch.equal(plain.labels, noisy.labels)
    drawn = plain.images > 0
    assert torch.equal(plain.images[drawn], noisy.images[drawn])
    grains = noisy.images[~drawn].float()
    assert grains.min() == 0
    assert grains.max() == 102
    assert 50 < grains.mean() < 52
    assert make_scenes(garments, 5, noise=1.0, seed=0).images.max() == 255


# ── 一批场景的统计 ───────────────────────────────────────────────────────


@given(
    size=st.integers(24, 64),
    most=st.integers(1, 6),
    low=st.floats(0.15, 0.9),
    spread=st.floats(0, 0.5),
    max_overlap=st.floats(0, 1),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=60, deadline=None)
def test_every_scene_obeys_the_settings(
    size: int, most: int, low: float, spread: float, max_overlap: float, seed: int
) -> None:
    high = min(1.0, low + spread)
    made = make_scenes(
        SQUARE, 12, size=size, max_objects=most, scale=(low, high),
        max_overlap=max_overlap, seed=seed,
    )  # fmt: skip
    assert made.images.shape == (12, 1, size, size)
    assert made.images.dtype == torch.uint8
    assert made.labels.shape == (12, most, 5)
    assert made.labels.dtype == torch.float32
    for labels in made.labels:
        rows = objects(labels)
        assert 1 <= len(rows) <= most
        assert (labels[len(rows) :] == -1).all()
        for i, (_, *box) in enumerate(rows):
            x1, y1, x2, y2 = (v * size for v in box)
            assert 0 <= x1 < x2 <= size
            assert 0 <= y1 < y2 <= size
            # 方块占满小图：边长就是抽到的边长
            side = round(x2 - x1)
            assert side == round(y2 - y1)
            assert round(low * size) <= side <= round(high * size)
            for _, *other in rows[:i]:
                both, union = slow_overlap(box, other)
                assert both / union <= max_overlap + 1e-5


def test_numbers_classes_sides_and_places_are_even(garments: ImageData) -> None:
    made = make_scenes(garments, 4000, size=32, seed=0)
    there = made.labels[..., 0] >= 0
    counts = there.sum(1).bincount()
    assert counts[0] == 0
    assert ((counts[1:] - 1000).abs() < 120).all()
    classes = made.labels[..., 0][there].long().bincount(minlength=10) / there.sum()
    expected = garments.labels.bincount() / len(garments)
    assert (classes - expected).abs().max() < 0.015
    # 单独一个方块：每种边长、每个位置都取到，而且一样常见
    squares = make_scenes(SQUARE, 4000, size=20, max_objects=1, scale=(0.5, 0.6), seed=0)
    x1, y1, x2, _ = (squares.labels[:, 0, 1:] * 20).round().long().T
    sides = (x2 - x1).bincount()
    assert not sides[:10].any()
    assert len(sides) == 13
    assert ((sides[10:] - 4000 / 3).abs() < 120).all()
    for start in (x1, y1):
        places = start[x2 - x1 == 10].bincount()
        assert len(places) == 11
        assert places.min() > 80
        assert places.max() < 170


def test_a_small_box_hides_at_most_a_third_of_a_larger(garments: ImageData) -> None:
    made = make_scenes(garments, 300, seed=2)
    hidden = [
        slow_overlap(large, small)[0] / ((large[2] - large[0]) * (large[3] - large[1]))
        for labels in made.labels
        for i, (_, *small) in enumerate(objects(labels))
        for _, *large in objects(labels)[:i]
    ]
    assert 0.25 < max(hidden) <= 1 / 3


def test_no_room_no_object_but_never_an_empty_scene() -> None:
    full = make_scenes(SQUARE, 30, size=24, scale=(1.0, 1.0), max_overlap=0.9, seed=0)
    assert (full.labels[:, 0, 1:] == torch.tensor([0.0, 0, 1, 1])).all()
    assert (full.labels[:, 1:] == -1).all()
    stacked = make_scenes(SQUARE, 30, size=24, scale=(1.0, 1.0), max_overlap=1.0, seed=0)
    assert (stacked.labels[..., 0] == 0).any(0).all()  # 等于上限也算合格


def test_a_smaller_one_is_tried_after_a_larger_did_not_fit() -> None:
    extents = torch.tensor([[[10, 10], [9, 9], [0, 0], [1, 9]]])
    boxes = scenes._place(extents, 11, 0.0, torch.Generator().manual_seed(0))[0]
    assert boxes[0].any()
    assert boxes[3].any()
    assert not boxes[1:3].any()


# ── 同一种子 ─────────────────────────────────────────────────────────────


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_same_seed_same_bytes_with_any_number_of_threads(
    garments: ImageData, threads: None
) -> None:
    made = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        made.append(make_scenes(garments, 200, noise=0.1, seed=9))
    for other in made[1:]:
        assert torch.equal(made[0].images, other.images)
        assert torch.equal(made[0].labels, other.labels)


def test_seeds_differ_and_global_random_numbers_are_left_alone(garments: ImageData) -> None:
    before = torch.get_rng_state()
    first, second = make_scenes(garments, 4, seed=0), make_scenes(garments, 4, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first.images, second.images)


# ── 数据集 ───────────────────────────────────────────────────────────────


def test_the_dataset_interface(garments: ImageData) -> None:
    made = make_scenes(garments, 10, size=32, max_objects=3, seed=0)
    assert len(made) == 10
    assert made.class_names == CLASS_NAMES
    kept = int((made.labels[..., 0] >= 0).sum())
    assert repr(made) == f"SceneData(10 张 1×32×32，共 {kept} 件，每张至多 3 件，10 类)"
    X, labels = made[3]
    assert torch.equal(X, made.images[3].float() / 255)
    assert torch.equal(labels, made.labels[3])
    head, tail = made.split(4)
    assert torch.equal(head.labels, made.labels[:4])
    assert torch.equal(tail.images, made.images[4:])
    assert torch.equal(tail.labels, made.labels[4:])
    assert tail.class_names == CLASS_NAMES
    assert made.take(10).images.data_ptr() == made.images.data_ptr()
    for bad in (lambda: made.take(0), lambda: made.take(11), lambda: made.split(10)):
        with pytest.raises(ValueError, match="n="):
            bad()


def test_batches(garments: ImageData) -> None:
    made = make_scenes(garments, 10, size=32, seed=0)
    parts = list(made.batches(4))
    assert [len(X) for X, _ in parts] == [4, 4, 2]
    assert len(made.batches(4, drop_last=True)) == 2
    assert torch.equal(torch.cat([X for X, _ in parts]), made.images.float() / 255)
    assert torch.equal(torch.cat([y for _, y in parts]), made.labels)
    mixed = [torch.cat([y for _, y in made.batches(4, shuffle=True, seed=0)]) for _ in range(2)]
    assert torch.equal(*mixed)
    assert not torch.equal(mixed[0], made.labels)
    assert sorted(mixed[0].flatten(1).tolist()) == sorted(made.labels.flatten(1).tolist())
    X, y = next(iter(made.batches(3, device="cpu")))
    assert X.shape == (3, 1, 32, 32)
    assert y.shape == (3, 4, 5)
    assert X.dtype == torch.float32
    X, y = next(iter(DataLoader(made, batch_size=3)))  # type: ignore[arg-type]
    assert torch.equal(X, parts[0][0][:3])
    assert torch.equal(y, made.labels[:3])


IMAGES, LABELS = torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.full((2, 3, 5), -1.0)


@pytest.mark.parametrize(
    ("images", "labels", "error", "says"),
    [
        (IMAGES.float(), LABELS, TypeError, "images 是 torch.float32"),
        (IMAGES, LABELS.double(), TypeError, "labels 是 torch.float64"),
        (IMAGES[:, 0], LABELS, ValueError, r"\(2, 8, 8\)"),
        (IMAGES, LABELS[:1], ValueError, r"\(1, 3, 5\)"),
        (IMAGES, LABELS[0], ValueError, r"\(3, 5\)"),
        (IMAGES, LABELS[..., :4], ValueError, r"\(2, 3, 4\)"),
        (IMAGES, LABELS + 2, ValueError, "类别 1，而 class_names 只有 1 类"),
    ],
)
def test_scene_data_refuses(
    images: Tensor, labels: Tensor, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        SceneData(images, labels, ("包",))


def test_scenes_without_any_object_are_data_too() -> None:
    assert "共 0 件" in repr(SceneData(IMAGES, LABELS[:, :0], ("包",)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n": 0}, "n=0"),
        ({"n": 2.0}, "n=2.0"),
        ({"size": 0}, "size=0"),
        ({"max_objects": 0}, "max_objects=0"),
        ({"scale": 0.5}, "scale=0.5"),
        ({"scale": (0.5,)}, "scale="),
        ({"scale": (0.0, 0.5)}, "0 < 最小"),
        ({"scale": (0.6, 0.5)}, r"scale=\(0.6, 0.5\)"),
        ({"scale": (0.6, 1.1)}, "最大 ≤ 1"),
        ({"scale": (float("nan"), 0.5)}, "scale="),
        ({"max_overlap": -0.1}, "max_overlap=-0.1"),
        ({"max_overlap": float("nan")}, "max_overlap=nan"),
        ({"noise": 1.5}, "noise=1.5"),
        ({"noise": "0.1"}, "noise='0.1'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_settings_are_explained(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_scenes(SQUARE, **{"n": 2, "seed": 0, **options})


def test_garments_that_cannot_be_used_are_explained() -> None:
    with pytest.raises(TypeError, match="garments 是 tuple，应是 ImageData"):
        make_scenes((SQUARE, SQUARE), 2, seed=0)  # type: ignore[arg-type]
    wide = ImageData(SQUARE.images[..., :20], SQUARE.labels, ("一件",), "一件")
    with pytest.raises(ValueError, match="1×28×20"):
        make_scenes(wide, 2, seed=0)
    coloured = ImageData(SQUARE.images.repeat(1, 3, 1, 1), SQUARE.labels, ("一件",), "一件")
    with pytest.raises(ValueError, match="3×28×28"):
        make_scenes(coloured, 2, seed=0)
    with pytest.raises(ValueError, match="没有一个像素达到 16"):
        make_scenes(one(torch.full((28, 28), 15)), 2, seed=0)
