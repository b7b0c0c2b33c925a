"""数据：找、核对、成批地取。不需要真数据，也不需要网络。"""

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.transforms as transforms
from PIL import Image
from torch.utils.data import DataLoader

from d2lcore import data
from d2lcore.__main__ import main
from d2lcore.data import (
    CLASS_NAMES,
    Batches,
    ImageData,
    describe_source,
    fashion_mnist_batches,
    load_fashion_mnist,
)

REAL_PLACE = os.environ.get("D2LCORE_DATA", "")


def random_data(n: int = 23, height: int = 28, width: int = 28, channels: int = 1) -> ImageData:
    g = torch.Generator().manual_seed(n)
    images = torch.randint(256, (n, channels, height, width), generator=g).to(torch.uint8)
    return ImageData(images, torch.randint(10, (n,), generator=g), CLASS_NAMES, "随机")


def numbered(n: int) -> ImageData:
    """第 i 张全是 i：一眼看出取到了哪几张。"""
    images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, 2, 2)
    return ImageData(images, torch.arange(n) % 10, CLASS_NAMES, "编号")


def order(batches: Batches) -> list[int]:
    """这一遍依次取到了哪几张。"""
    return [round(float(x) * 255) for X, _ in batches for x in X[:, 0, 0, 0]]


# ── ImageData ────────────────────────────────────────────────────────────


def test_images_and_labels_must_fit_together() -> None:
    images, labels = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2, 9])
    ImageData(images, labels, CLASS_NAMES, "好")
    wrong: list[tuple[object, object, type[Exception], str]] = [
        (images.float(), labels, TypeError, r"images 是 torch.float32，应是 torch.uint8"),
        (images.numpy(), labels, TypeError, "images 是 ndarray"),
        (images, labels.int(), TypeError, "labels 是 torch.int32"),
        (images[:, 0], labels, ValueError, r"\(4, 2, 2\).*unsqueeze"),
        (images[:0], labels[:0], ValueError, "不为 0"),
        (images, labels[:3], ValueError, r"labels 的形状是 \(3,\)，应是 \(4,\)"),
        (images, labels + 1, ValueError, "1 到 10 之间"),
        (images, labels - 1, ValueError, "-1 到 8 之间"),
        (images.to("meta"), labels, ValueError, "同一个设备"),
    ]
    for X, y, error, message in wrong:
        with pytest.raises(error, match=message):
            ImageData(X, y, CLASS_NAMES, "坏")  # type: ignore[arg-type]


def test_one_example_equals_totensor_to_the_bit() -> None:
    d = random_data()
    X, y = d[5]
    expected = transforms.ToTensor()(Image.fromarray(d.images[5, 0].numpy()))
    assert X.dtype == torch.float32
    assert torch.equal(X, expected)
    assert y == int(d.labels[5])
    assert type(y) is int


def test_reading_one_by_one_stops_at_the_end() -> None:
    d = random_data(5)
    assert len(list(d)) == len(d) == 5  # type: ignore[call-overload]
    assert torch.equal(d[-1][0], d[4][0])
    with pytest.raises(IndexError):
        d[5]
    with pytest.raises(TypeError, match="take"):
        d[:2]  # type: ignore[index]


def test_take_and_split_share_memory_and_lose_nothing() -> None:
    d = random_data(10)
    first, rest = d.split(7)
    assert (len(first), len(rest)) == (7, 3)
    assert torch.equal(torch.cat([first.images, rest.images]), d.images)
    assert torch.equal(torch.cat([first.labels, rest.labels]), d.labels)
    assert first.name == rest.name == d.name
    assert first.images.data_ptr() == d.take(3).images.data_ptr() == d.images.data_ptr()
    assert len(d.take(10)) == 10


@pytest.mark.parametrize("n", [0, -1, 11, 2.0, True, None])
def test_take_outside_the_set_is_refused(n: object) -> None:
    with pytest.raises(ValueError, match="n="):
        random_data(10).take(n)  # type: ignore[arg-type]


def test_split_must_leave_two_parts() -> None:
    with pytest.raises(ValueError, match="1 到 9 之间"):
        random_data(10).split(10)


def test_repr_is_short_and_says_what_it_is() -> None:
    assert repr(random_data(12)) == "ImageData(随机，12 张 1×28×28，10 类)"


# ── Batches ──────────────────────────────────────────────────────────────


def test_conversion_equals_totensor_to_the_bit_for_every_value() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    d = ImageData(images, torch.zeros(1, dtype=torch.int64), CLASS_NAMES, "灰阶")
    [(X, _)] = d.batches(1)
    expected = transforms.ToTensor()(Image.fromarray(images[0, 0].numpy()))
    assert X.dtype == torch.float32
    assert torch.equal(X[0], expected)


@pytest.mark.parametrize("size", [14, 32, 96, 224, (20, 50), (50, 20), (28, 30), 1])
def test_resize_agrees_with_torchvision(size: int | tuple[int, int]) -> None:
    d = random_data(6)  # 逐像素的随机数：最难的一种图像
    [(X, _)] = d.batches(6, size=size)
    torchvisions = transforms.Compose([transforms.Resize(size), transforms.ToTensor()])
    for x, image in zip(X, d.images, strict=True):
        expected = torchvisions(Image.fromarray(image[0].numpy()))
        assert x.shape == expected.shape
        assert float((x - expected).abs().max()) <= 1 / 255 + 1e-6


@pytest.mark.parametrize("size", [14, 96])
def test_resize_of_colour_images_and_oblong_ones(size: int) -> None:
    d = random_data(3, height=20, width=30, channels=3)
    [(X, _)] = d.batches(3, size=(size, 2 * size))
    expected = torch.nn.functional.interpolate(
        d.images / 255, size=(size, 2 * size), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(X, expected, atol=2e-6, rtol=0)


def test_resize_keeps_flat_images_flat() -> None:
    d = ImageData(
        torch.full((2, 1, 28, 28), 255, dtype=torch.uint8), torch.tensor([0, 1]), CLASS_NAMES, "白"
    )
    for size in (14, 96):
        [(X, _)] = d.batches(2, size=size)
        torch.testing.assert_close(X, torch.ones(2, 1, size, size), atol=1e-6, rtol=0)


def test_own_size_is_not_resized() -> None:
    d = random_data(4)
    [(X, _)], [(plain, _)] = d.batches(4, size=28), d.batches(4)
    assert torch.equal(X, plain)


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 5), (10, 10), (10, 99), (1, 1)])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_image_comes_once(n: int, batch_size: int, drop_last: bool, shuffle: bool) -> None:
    if drop_last and batch_size > n:
        with pytest.raises(ValueError, match="drop_last"):
            numbered(n).batches(batch_size, drop_last=drop_last)
        return
    batches = numbered(n).batches(batch_size, shuffle=shuffle, drop_last=drop_last)
    sizes = [len(y) for _, y in batches]
    assert len(sizes) == len(batches)
    assert set(sizes[:-1]) <= {batch_size}
    seen = order(batches)
    assert len(set(seen)) == len(seen) == (n // batch_size * batch_size if drop_last else n)
    if not shuffle:
        assert seen == list(range(len(seen)))


@pytest.mark.parametrize("size", [None, 4])
def test_labels_stay_with_their_images(size: int | None) -> None:
    for X, y in numbered(100).batches(7, shuffle=True, size=size):
        assert y.dtype == torch.int64
        assert torch.equal((X[:, 0, 0, 0] * 255).round().long() % 10, y)


def test_each_pass_has_its_own_order() -> None:
    batches = numbered(100).batches(10, shuffle=True, seed=0)
    first, second = order(batches), order(batches)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert first != list(range(100))


def test_a_seed_fixes_the_orders_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a = numbered(50).batches(10, shuffle=True, seed=7)
    orders = [order(a), order(a)]
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    b = numbered(50).batches(10, shuffle=True, seed=7)
    assert [order(b), order(b)] == orders
    c = numbered(50).batches(10, shuffle=True, seed=8)
    assert order(c) != orders[0]


def test_without_a_seed_the_global_generator_decides() -> None:
    batches = numbered(50).batches(10, shuffle=True)
    torch.manual_seed(3)
    first = order(batches)
    torch.manual_seed(3)
    assert order(batches) == first
    assert order(batches) != first


def test_unshuffled_passes_draw_no_random_numbers() -> None:
    before = torch.get_rng_state()
    list(numbered(20).batches(5, seed=1))
    list(numbered(20).batches(5))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_the_readers_own() -> None:
    d = random_data(8)
    for size in (None, 14):
        (X, y), _ = d.batches(4, size=size)
        kept = X.clone()
        list(d.batches(4, size=size))  # 后来的批不会写进先前的批
        assert torch.equal(X, kept)
        X.zero_()
        y.zero_()  # 改一批，不会改到数据
    assert torch.equal(d.images, random_data(8).images)
    assert torch.equal(d.labels, random_data(8).labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 不合适"),
        ({"batch_size": -1}, "batch_size"),
        ({"batch_size": 2.0}, "应是整数"),
        ({"batch_size": True}, "应是整数"),
        ({"size": 0}, "size=0"),
        ({"size": (28, 0)}, "size=0"),
        ({"size": (1, 2, 3)}, "边长"),
        ({"size": "28"}, "边长"),
        ({"size": 28.5}, "边长"),
        ({"size": True}, "应是整数"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": "a"}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"device": "gpu"}, "不认识设备 'gpu'"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_data().batches(**{"batch_size": 4, **options})  # type: ignore[arg-type]


def test_a_missing_device_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match="只找到 0 块 CUDA 显卡"):
        random_data().batches(4, device="cuda")


def test_batches_say_what_they_hold() -> None:
    d = random_data()
    batches = Batches(d, 4, size=(14, 16))
    assert batches.data is d
    assert (batches.batch_size, batches.size, batches.device) == (4, (14, 16), torch.device("cpu"))
    assert d.batches(4).size == (28, 28)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="没有 CUDA 显卡")
def test_cuda_gives_the_same_batches() -> None:
    d = random_data(300)
    for size in (None, 14, 96):
        a = d.batches(64, size=size, shuffle=True, seed=0)
        b = d.batches(64, size=size, shuffle=True, seed=0, device="cuda")
        for (X, y), (X_gpu, y_gpu) in zip(a, b, strict=True):
            assert X_gpu.is_cuda
            assert torch.equal(y, y_gpu.cpu())
            if size is None:
                assert torch.equal(X, X_gpu.cpu())
            torch.testing.assert_close(X, X_gpu.cpu(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_dataloader_reads_it_too(workers: int) -> None:
    d = random_data(10)
    loader: Any = DataLoader(d, batch_size=4, num_workers=workers)  # type: ignore[arg-type]
    for (X, y), (X_ours, y_ours) in zip(loader, d.batches(4), strict=True):
        assert torch.equal(X, X_ours)
        assert torch.equal(y, y_ours)


# ── 找数据 ───────────────────────────────────────────────────────────────

Contents = dict[str, bytes]


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Contents:
    """四个小文件顶替真数据；缓存文件夹是空的，一个镜像也没有。"""
    made = {}
    for split, n in (("train", 20), ("t10k", 10)):
        d = random_data(n)
        for kind, values in (("images-idx3", d.images[:, 0]), ("labels-idx1", d.labels)):
            header = bytes([0, 0, 8, values.ndim])
            shape = b"".join(side.to_bytes(4, "big") for side in values.shape)
            body = values.to(torch.uint8).numpy().tobytes()
            made[f"{split}-{kind}-ubyte"] = header + shape + body
    sums = {name: (len(c), hashlib.sha256(c).hexdigest()) for name, c in made.items()}
    monkeypatch.setattr(data, "FILES", sums)
    monkeypatch.setattr(data, "MIRRORS", ())
    monkeypatch.setattr(data, "_download_failed", False)
    monkeypatch.setattr(data, "TRAIN_SIZE", 30)
    monkeypatch.setattr(data, "TEST_SIZE", 10)
    monkeypatch.delenv("D2LCORE_DATA", raising=False)
    monkeypatch.delenv("D2LCORE_MIRROR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data._draw_stand_in.cache_clear()
    return made


def put(contents: Contents, folder: Path, *, gz: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        packed = gzip.compress(content) if gz else content
        (folder / (f"{name}.gz" if gz else name)).write_bytes(packed)
    return folder


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("layout", [".", "FashionMNIST/raw"])
def test_both_layouts_and_both_forms_are_read(
    contents: Contents, tmp_path: Path, layout: str, gz: bool
) -> None:
    put(contents, tmp_path / layout, gz=gz)
    train, test = load_fashion_mnist(tmp_path, fallback=False)
    for split, n in ((train, 20), (test, 10)):
        assert torch.equal(split.images, random_data(n).images)
        assert torch.equal(split.labels, random_data(n).labels)
        assert split.class_names == CLASS_NAMES
        assert split.name == "Fashion-MNIST"


def test_search_order(contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "folder": tmp_path / "folder",
        "environment": tmp_path / "environment",
        "cache": tmp_path / "cache" / "d2lcore",
    }
    monkeypatch.setenv("D2LCORE_DATA", str(places["environment"]))
    assert data._find(places["folder"]) is None
    for name in ("cache", "environment", "folder"):  # 从后往前放，每次都应找到刚放的
        put(contents, places[name])
        assert data._find(places["folder"]) == str(places[name])
    monkeypatch.setenv("D2LCORE_DATA", "stand-in")
    assert data._find(None) == "stand-in"
    assert data._find(places["folder"]) == str(places["folder"])
    assert data._find("stand-in") == "stand-in"
    monkeypatch.setenv("D2LCORE_DATA", "")
    assert data._find(None) == str(places["cache"])


def test_an_incomplete_folder_is_passed_over(
    contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = put(contents, tmp_path / "half")
    (half / "t10k-labels-idx1-ubyte").unlink()
    full = put(contents, tmp_path / "full")
    monkeypatch.setenv("D2LCORE_DATA", str(full))
    assert data._find(half) == str(full)


def test_home_is_expanded(
    contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    put(contents, tmp_path / "mine")
    assert data._find("~/mine") == str(tmp_path / "mine")


def test_a_file_is_not_a_folder(contents: Contents, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(ValueError, match="不是文件夹"):
        load_fashion_mnist(tmp_path / "f")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "x"}, "x/d2lcore"),
        ("linux", {}, "home/.cache/d2lcore"),
        ("darwin", {}, "home/Library/Caches/d2lcore"),
        ("win32", {"LOCALAPPDATA": "l"}, "l/d2lcore"),
    ],
)
def test_cache_folder_of_each_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    monkeypatch.setattr(sys, "platform", platform)
    assert data._cache_folder() == Path(expected)


def test_users_without_a_home_have_a_cache_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert data._cache_folder().name == "d2lcore"


# ── 坏文件：报错，既不悄悄换掉，也不改用替身 ─────────────────────────────


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", [flip, lambda c: c[:-1], lambda c: c + b"x", lambda c: b""])
def test_a_damaged_file_is_an_error(
    contents: Contents, tmp_path: Path, name: str, damage: object
) -> None:
    path = put(contents, tmp_path) / name
    broken = damage(contents[name])  # type: ignore[operator]
    path.write_bytes(broken)
    with pytest.raises(ValueError) as caught:
        load_fashion_mnist(tmp_path)
    for needed in (
        str(path), "删除", f"{len(contents[name]):,}", f"{len(broken):,}",
        data.FILES[name][1], hashlib.sha256(broken).hexdigest(),
    ):  # fmt: skip
        assert needed in str(caught.value)
    assert path.read_bytes() == broken


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-20], lambda c: b"<html>", lambda c: c[:-8] + bytes(8), flip]
)
def test_a_damaged_archive_is_an_error(contents: Contents, tmp_path: Path, damage: object) -> None:
    name = "train-images-idx3-ubyte"
    path = put(contents, tmp_path, gz=True) / f"{name}.gz"
    path.write_bytes(damage(gzip.compress(contents[name])))  # type: ignore[operator]
    with pytest.raises(ValueError, match="坏了") as caught:
        load_fashion_mnist(tmp_path)
    assert str(path) in str(caught.value)
    assert "删除" in str(caught.value)


def test_an_unreadable_file_is_an_error(
    contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    put(contents, tmp_path)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ValueError, match="读不了数据文件"):
        load_fashion_mnist(tmp_path)


# ── 仿真服饰 ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["environment", "argument"])
def test_asking_for_the_stand_in_is_silent(
    contents: Contents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    how: str,
) -> None:
    put(contents, tmp_path / "cache" / "d2lcore")  # 有真数据也不用：这是明说的
    if how == "environment":
        monkeypatch.setenv("D2LCORE_DATA", "stand-in")
    train, test = load_fashion_mnist("stand-in" if how == "argument" else None, fallback=False)
    assert (train.name, test.name, len(train), len(test)) == ("仿真服饰", "仿真服饰", 30, 10)
    assert train.images.shape[1:] == (1, 28, 28)
    assert capfd.readouterr() == ("", "")


def test_stand_in_splits_are_drawn_apart(
    contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "TEST_SIZE", data.TRAIN_SIZE)
    train, test = load_fashion_mnist("stand-in")
    assert not torch.equal(train.labels, test.labels)
    assert not torch.equal(train.images, test.images)


def test_changing_the_stand_in_does_not_last(contents: Contents) -> None:
    first = load_fashion_mnist("stand-in")[0]
    kept = first.images.clone()
    first.images.zero_()
    first.labels.zero_()
    again = load_fashion_mnist("stand-in")[0]
    assert torch.equal(again.images, kept)
    assert int(again.labels.max()) == 9


# ── fashion_mnist_batches、describe_source、命令行 ──────────────────────────


def test_training_batches_are_shuffled_and_test_batches_are_not(
    contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D2LCORE_DATA", str(put(contents, tmp_path / "d")))
    train, test = fashion_mnist_batches(4, limit=15, size=14, seed=0, device="cpu")
    assert (len(train.data), train.batch_size, train.size) == (15, 4, (14, 14))
    assert torch.equal(train.data.images, random_data(20).images[:15])
    assert train.shuffle
    assert not test.shuffle
    assert len(test.data) == 10
    assert test.size == (14, 14)
    assert test.batch_size > 4
    again, _ = fashion_mnist_batches(4, limit=15, size=14, seed=0)
    for (X, y), (X2, y2) in zip(train, again, strict=True):
        assert torch.equal(X, X2)
        assert torch.equal(y, y2)
    assert fashion_mnist_batches(5000)[1].batch_size == 5000  # 测试批不会比训练批小


@pytest.mark.parametrize("limit", [0, 21, -5, 1.5])
def test_limit_outside_the_set_is_refused(
    contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setenv("D2LCORE_DATA", str(put(contents, tmp_path / "d")))
    with pytest.raises(ValueError, match="limit="):
        fashion_mnist_batches(4, limit=limit)


def test_command_line_tells_the_source(
    contents: Contents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cache = tmp_path / "cache" / "d2lcore"
    assert main(["data", "--offline"]) == 3
    out, err = capsys.readouterr()
    assert "仿真服饰" in out
    assert str(cache) in out
    assert err == ""
    assert main(["data"]) == 3  # 没有镜像，等于下载失败
    assert "注意" in capsys.readouterr().err
    put(contents, cache)
    assert main(["data"]) == main(["data", "--offline"]) == 0
    out = capsys.readouterr().out
    assert "Fashion-MNIST" in out
    assert str(cache) in out
    (cache / "t10k-labels-idx1-ubyte").write_bytes(b"")
    assert main(["data"]) == 1
    assert "坏了" in capsys.readouterr().err
    monkeypatch.setenv("D2LCORE_DATA", "stand-in")
    assert main(["data"]) == 3
    assert describe_source() is False


def test_module_runs_as_a_program(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "D2LCORE_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "d2lcore", "data", "--offline"],
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 3, done.stderr
    assert "仿真服饰" in done.stdout
    assert done.stderr == ""


# ── 真数据，找得到才测 ───────────────────────────────────────────────────


def test_the_real_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D2LCORE_DATA", REAL_PLACE)
    place = data._find(None)
    if place in (None, "stand-in"):
        pytest.skip("本机没有 Fashion-MNIST（设 D2LCORE_DATA=放数据的文件夹，就会测）")
    train, test = load_fashion_mnist(place, fallback=False)
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert torch.bincount(train.labels).tolist() == [6000] * 10
    assert torch.bincount(test.labels).tolist() == [1000] * 10
    assert train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    X, _ = next(iter(test.take(64).batches(64, size=96)))
    torchvisions = transforms.Compose([transforms.Resize(96), transforms.ToTensor()])
    for x, image in zip(X, test.images, strict=False):
        expected = torchvisions(Image.fromarray(image[0].numpy()))
        assert float((x - expected).abs().max()) <= 1 / 255 + 1e-6
