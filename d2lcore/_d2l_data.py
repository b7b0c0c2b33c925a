"""d2l-zh 的数据函数，供 :mod:`d2lcore.d2l` 使用：下载、Fashion-MNIST、香蕉、人造数据。"""

import csv
import hashlib
import os
import tarfile
import uuid
import zipfile
from collections.abc import Sequence
from multiprocessing import get_all_start_methods, get_start_method
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

from d2lcore._download import MirrorError, _open, _receive
from d2lcore.data import Batches, ImageData, load_fashion_mnist

FASHION_LABELS = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CACHE_DIR = os.path.join("..", "data")
# 数据集的名字 → (网址, SHA-1)；笔记会自己往里添。改：网址是 https
DATA_URL = "https://d2l-data.s3-accelerate.amazonaws.com/"
DATA_HUB: dict[str, tuple[str, str]] = {
    "banana-detection": (
        DATA_URL + "banana-detection.zip",
        "5de26c8fce5ccdea9f91267273464dc968d20d72",
    )
}


def synthetic_data(w: Tensor, b: float, num_examples: int) -> tuple[Tensor, Tensor]:
    """按 y = Xw + b + 噪声造数据：X (n, d) 是标准正态，噪声的标准差是 0.01，y (n, 1)。

    Examples:
        >>> X, y = synthetic_data(torch.tensor([2.0, -3.4]), 4.2, 1000)
        >>> X.shape, y.shape
        (torch.Size([1000, 2]), torch.Size([1000, 1]))
    """
    X = torch.normal(0, 1, (num_examples, len(w)))
    y = X @ w + b
    return X, (y + torch.normal(0, 0.01, y.shape)).reshape(-1, 1)


def load_array(data_arrays: Sequence[Tensor], batch_size: int, is_train: bool = True) -> DataLoader:
    """把几个张量变成小批量的迭代器；训练时打乱。

    Examples:
        >>> [len(y) for X, y in load_array((torch.zeros(5, 2), torch.zeros(5)), 2)]
        [2, 2, 1]
    """
    return DataLoader(TensorDataset(*data_arrays), batch_size, shuffle=is_train)


def get_fashion_mnist_labels(labels: Sequence[int] | Tensor) -> list[str]:
    """Fashion-MNIST 类别的英文名（d2l 的写法）；中文名在 :data:`d2lcore.data.CLASS_NAMES`。

    Examples:
        >>> get_fashion_mnist_labels(torch.tensor([0, 9]))
        ['t-shirt', 'ankle boot']
    """
    return [FASHION_LABELS[int(i)] for i in labels]


def get_dataloader_workers() -> int:
    """DataLoader 的工作进程数，至多 4。改：不 fork 的系统（如 Windows）上笔记里的类传不过去，给 0。

    Examples:
        >>> 0 <= get_dataloader_workers() <= 4
        True
    """
    method = get_start_method(allow_none=True) or get_all_start_methods()[0]
    return min(4, os.cpu_count() or 1) if method == "fork" else 0


class _FashionBatches(Batches):
    @property
    def dataset(self) -> ImageData:
        """DataLoader 的叫法。"""
        return self.data


def load_data_fashion_mnist(
    batch_size: int, resize: int | tuple[int, int] | None = None
) -> tuple[Batches, Batches]:
    """Fashion-MNIST 的训练批与测试批。改：整个在内存里，不逐张解码、缩放；找数据的次序见
    :func:`d2lcore.data.load_fashion_mnist`，下载会核对内容，没有数据时说明并用仿真服饰。

    Examples:
        >>> train_iter, test_iter = load_data_fashion_mnist(256, resize=32)
        >>> X, y = next(iter(train_iter))
        >>> X.shape, X.dtype, y.shape
        (torch.Size([256, 1, 32, 32]), torch.float32, torch.Size([256]))
    """
    train, test = load_fashion_mnist()
    return (
        _FashionBatches(train, batch_size, size=resize or None, shuffle=True),
        _FashionBatches(test, batch_size, size=resize or None),
    )


def load_data_bananas(batch_size: int) -> tuple[DataLoader, DataLoader]:
    """下载并读入香蕉检测数据集：图像 (B, 3, 256, 256)，标签 (B, 1, 5)。

    像素是 0–255 的浮点数，没有缩放：笔记里的其他单元按这个范围写。改：存成 uint8，省四分之三内存。

    Raises:
        RuntimeError: 下载不了；这时可改用本库的检测场景（不是香蕉），见
            :func:`d2lcore.scenes.make_scenes`。

    Examples:
        >>> train_iter, val_iter = load_data_bananas(32)  # doctest: +SKIP
    """
    try:
        folder = Path(download_extract("banana-detection"))
    except RuntimeError as error:
        raise RuntimeError(
            f"{error}\n没有香蕉数据集，也可以用 d2lcore.scenes.make_scenes 造检测场景："
            "标签的格式相同，但目标是十类服饰，图像只有一个通道，取值 0 到 1。"
        ) from error
    train, val = (_read_bananas(folder / f"bananas_{part}") for part in ("train", "val"))
    return (
        DataLoader(train, batch_size, shuffle=True, collate_fn=_float_images),
        DataLoader(val, batch_size, collate_fn=_float_images),
    )


def _read_bananas(folder: Path) -> TensorDataset:
    with open(folder / "label.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]  # 每行：文件名、类别、x1、y1、x2、y2；第一行是表头
    images = [np.asarray(Image.open(folder / "images" / row[0]).convert("RGB")) for row in rows]
    targets = torch.tensor([[[float(value) for value in row[1:]]] for row in rows])  # (N, 1, 5)
    targets[..., 1:] /= images[0].shape[0]  # 图像是正方形
    return TensorDataset(torch.from_numpy(np.stack(images)).movedim(-1, 1), targets)


def _float_images(samples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    X, y = default_collate(samples)
    return [X.float(), y]


def download(name: str, cache_dir: str | os.PathLike[str] = CACHE_DIR) -> str:
    """下载 ``DATA_HUB`` 里的一个文件，返回它的路径；已有而且校验和对，就不再下载。

    改：有时限，下载之后核对 SHA-1，全对了才改名到位，所以不会留下坏文件。

    Raises:
        KeyError: ``DATA_HUB`` 里没有这个名字。
        RuntimeError: 下载不了，或内容不对。

    Examples:
        >>> download("hotdog")
        Traceback (most recent call last):
            ...
        KeyError: "DATA_HUB 里没有 'hotdog'；请先写 DATA_HUB['hotdog'] = (网址, SHA-1)。"
    """
    if name not in DATA_HUB:
        raise KeyError(f"DATA_HUB 里没有 {name!r}；请先写 DATA_HUB[{name!r}] = (网址, SHA-1)。")
    url, sha1 = DATA_HUB[name]
    target = Path(cache_dir, url.split("/")[-1])
    if target.is_file() and hashlib.sha1(target.read_bytes()).hexdigest() == sha1:
        return str(target)
    print(f"正在从{url}下载{target}...")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    digest = hashlib.sha1()
    try:
        with _open(url) as response, part.open("xb") as file:
            for block in _receive(response, target.name):
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != sha1:
            raise MirrorError("内容的 SHA-1 与应有的不同（没有下完、坏了，或被换过）", again=False)
        os.replace(part, target)
    except MirrorError as error:
        raise RuntimeError(
            f"下载 {url} 失败：{error}。请检查网络后重试；或另行取得这个文件，放到 {target}。"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return str(target)


def download_extract(name: str, folder: str | None = None) -> str:
    """下载并解压，返回解压出的文件夹。改：写不到别处去；``x.tar.gz`` 给出 ``x``，不是 ``x.tar``。

    Raises:
        ValueError: 不是 zip 或 tar，或里面有要写到别处去的文件。

    Examples:
        >>> download_extract("hotdog")
        Traceback (most recent call last):
            ...
        KeyError: "DATA_HUB 里没有 'hotdog'；请先写 DATA_HUB['hotdog'] = (网址, SHA-1)。"
    """
    path = Path(download(name))
    stem = path.name.removesuffix(".gz").removesuffix(".tgz").removesuffix(".tar")
    if zipfile.is_zipfile(path):
        stem = path.stem
        with zipfile.ZipFile(path) as archive:
            archive.extractall(path.parent)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            _extract_tar(tar, path.parent)
    else:
        raise ValueError(f"{path} 不是 zip 或 tar 压缩包，不能解压；请改用 download。")
    return str(path.parent / (folder or stem))


def _extract_tar(tar: tarfile.TarFile, folder: Path) -> None:
    """解压，但只解普通文件与文件夹，而且都要在 ``folder`` 之内。

    Python 3.10.12、3.11.4 之前的 tarfile 没有 ``filter``，所以自己检查。
    """
    root = folder.resolve()
    for member in tar.getmembers():
        inside = (root / member.name).resolve().is_relative_to(root)
        if not inside or not (member.isfile() or member.isdir()):
            raise ValueError(
                f"压缩包里的 {member.name} 要写到 {folder} 之外，或不是普通文件，没有解压；"
                "请换一个来路可靠的压缩包。"
            )
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    tar.extractall(root, **options)  # type: ignore[arg-type]


def download_all() -> None:
    """下载 ``DATA_HUB`` 里的所有文件。

    Examples:
        >>> download_all()  # doctest: +SKIP
    """
    for name in DATA_HUB:
        download(name)
