"""读完一轮训练图像要多久：d2lcore 的张量批，对 d2l 的 DataLoader 原样。"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from d2lcore.data import FILES, ImageData

BATCH_SIZE = 256
SHIPPED = 4  # d2l 写死的工作进程数
TARGETS = {28: 30.0, 96: 5.0, 224: 1.6}  # 边长 → 至少快几倍


@dataclass(frozen=True)
class Item:
    """一项比赛：同样的活，我们做一遍 ``ours``，对手按不同的工作进程数做一遍 ``theirs``。"""

    name: str
    images: int  # 一遍处理多少张
    target: float  # 对"原样"的对手至少快几倍；``per_second`` 时是每秒至少几张
    ours: Callable[[], object]
    theirs: dict[int, Callable[[], object]]
    peer: str = "d2l"
    per_second: bool = False  # 没有对手，只看每秒做几张


def read_through(batches: Iterable[tuple[Tensor, Tensor]]) -> int:
    """把一轮数据取一遍，什么也不算；返回张数。"""
    return sum(len(y) for _, y in batches)


def items(train: ImageData, d2l: Any, workers: list[int]) -> list[Item]:
    """各种边长各一项；``d2l`` 是 ``d2l.torch`` 模块，``None`` 表示没装。"""
    return [_item(train, d2l, workers, size, target) for size, target in TARGETS.items()]


def _item(train: ImageData, d2l: Any, workers: list[int], size: int, target: float) -> Item:
    batches = train.batches(BATCH_SIZE, size=size, shuffle=True)
    theirs: dict[int, Callable[[], object]] = {}
    if d2l is not None:
        for n in workers:
            loader, _ = d2l_loaders(d2l, n, None if size == 28 else size)
            theirs[n] = partial(read_through, loader)
    name = f"读一轮 {size}×{size}"
    return Item(name, len(train), target, partial(read_through, batches), theirs)


def d2l_loaders(d2l: Any, workers: int, resize: int | None = None) -> tuple[Any, Any]:
    """d2l 自己的 (训练, 测试) DataLoader，只改工作进程数。当前文件夹要在 :func:`d2l_folder` 里。"""
    original = d2l.get_dataloader_workers
    d2l.get_dataloader_workers = lambda: workers
    try:
        return d2l.load_data_fashion_mnist(BATCH_SIZE, resize=resize)
    finally:
        d2l.get_dataloader_workers = original


@contextlib.contextmanager
def d2l_folder(train: ImageData, test: ImageData) -> Iterator[None]:
    """进入一个临时文件夹，d2l 能在它写死的 ``../data`` 找到与我们相同的数据，不用下载。"""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as top:
        raw = Path(top, "data", "FashionMNIST", "raw")
        raw.mkdir(parents=True)
        arrays = [train.images[:, 0], train.labels, test.images[:, 0], test.labels]
        for name, values in zip(FILES, arrays, strict=True):
            raw.joinpath(name).write_bytes(_idx(values))
        Path(top, "work").mkdir()
        os.chdir(Path(top, "work"))
        try:
            yield
        finally:
            os.chdir(before)


def _idx(values: Tensor) -> bytes:
    """IDX 文件的内容：维数、各维长度（大端）、逐个字节。"""
    shape = b"".join(n.to_bytes(4, "big") for n in values.shape)
    return bytes([0, 0, 8, values.ndim]) + shape + values.byte().numpy().tobytes()
