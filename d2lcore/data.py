"""Fashion-MNIST：找到它，校验它，整个放进一个张量，成批地取。

全书用一个数据集：7 万张 28×28 的灰度服饰图，十类，6 万张训练、1 万张测试
（Xiao、Rasul、Vollgraf，2017，arXiv:1708.07747）。整个训练集只有 47 MB，所以这里不逐张读文件、
不开工作进程：图像始终是一个 uint8 张量，取一批就是按下标取出、变成浮点数、除以 255，
需要放大时再乘两个矩阵。

``python -m d2lcore data`` 说出会用哪一份数据，需要时先下载。
"""

import gzip
import hashlib
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d2lcore._arguments import check_count, check_dtype, make_generator
from d2lcore._download import DownloadError, download
from d2lcore.devices import pick_device

CLASS_NAMES: tuple[str, ...] = (
    "T恤", "裤子", "套头衫", "连衣裙", "外套", "凉鞋", "衬衫", "运动鞋", "包", "短靴",
)  # fmt: skip

# 四个文件解压后的字节数与 SHA-256
FILES: dict[str, tuple[int, str]] = {
    "train-images-idx3-ubyte": (
        47_040_016,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train-labels-idx1-ubyte": (
        60_008,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "t10k-images-idx3-ubyte": (
        7_840_016,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "t10k-labels-idx1-ubyte": (
        10_008,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}

# 第一个在中国大陆，后两个在国外；内容都按上面的 SHA-256 核对
MIRRORS: tuple[str, ...] = (
    "https://oneflow-public.oss-cn-beijing.aliyuncs.com/datasets/mnist/Fashion-MNIST/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)

SUBFOLDER = Path("FashionMNIST", "raw")  # 与 torchvision 相同，下载一次两边都能用
STAND_IN = "stand-in"  # 代替文件夹写在 D2LCORE_DATA 里，表示就要仿真服饰
REAL_NAME, STAND_IN_NAME = "Fashion-MNIST", "仿真服饰"
TRAIN_SIZE, TEST_SIZE = 60_000, 10_000
EVALUATION_PIXELS = 1024 * 28 * 28  # 评估时一批放多少像素：不用求梯度，小批量只会更慢

_download_failed = False  # 这个进程里下载失败过一次，就不再让每次调用都等一遍


@dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    """一个图像分类数据集（训练集或测试集），整个放在一个 uint8 张量里。

    也可以直接交给 ``torch.utils.data.DataLoader``：``data[i]`` 给出
    (float32 图像 (C, H, W)，取值 0 到 1；int 类别)。

    Args:
        images: uint8 (N, C, H, W)，0 是黑，255 是白。
        labels: int64 (N,)，每个都在 0 到类别数减 1 之间。
        class_names: 各类的名字。
        name: 数据集的名字，例如 ``"Fashion-MNIST"``。

    Raises:
        TypeError: 张量的类型（dtype）不对。
        ValueError: 形状不对，两者个数不等，不在同一设备上，或标签越界。

    Examples:
        >>> images = torch.tensor([0, 51, 102, 255], dtype=torch.uint8).view(2, 1, 1, 2)
        >>> data = ImageData(images, torch.tensor([1, 0]), ("圆", "方"), "小例子")
        >>> data
        ImageData(小例子，2 张 1×1×2，2 类)
        >>> data[0]
        (tensor([[[0.0000, 0.2000]]]), 1)
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        check_dtype("images", self.images, torch.uint8)
        check_dtype("labels", self.labels, torch.int64)
        if self.images.ndim != 4 or 0 in self.images.shape:
            raise ValueError(
                f"images 的形状是 {tuple(self.images.shape)}，"
                "应是 (张数, 通道, 高, 宽)，且都不为 0；"
                "灰度图缺通道那一维时用 images.unsqueeze(1)。"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels 的形状是 {tuple(self.labels.shape)}，应是 ({len(self.images)},)："
                "每张图像一个标签。"
            )
        if self.labels.device != self.images.device:
            raise ValueError(
                f"images 在 {self.images.device} 上，labels 在 {self.labels.device} 上；"
                "请用 .to(device) 放到同一个设备上。"
            )
        low, high = int(self.labels.min()), int(self.labels.max())
        if not 0 <= low <= high < len(self.class_names):
            raise ValueError(
                f"标签在 {low} 到 {high} 之间，而 class_names 有 {len(self.class_names)} 类；"
                f"标签应在 0 到 {len(self.class_names) - 1} 之间。"
            )

    def __repr__(self) -> str:
        _, c, h, w = self.images.shape
        return f"ImageData({self.name}，{len(self)} 张 {c}×{h}×{w}，{len(self.class_names)} 类)"

    def __len__(self) -> int:
        """张数。"""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """第 ``index`` 张：float32 图像 (C, H, W)，取值 0 到 1；int 类别。"""
        if isinstance(index, slice):
            raise TypeError("不能用切片取；前 n 张用 data.take(n)，分成两份用 data.split(n)。")
        return to_float(self.images[index]), int(self.labels[index])

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        """``DataLoader`` 取一批时用：一次取出整批，比逐张快几倍。"""
        index = torch.as_tensor(indices, device=self.images.device)
        X = to_float(self.images.index_select(0, index))
        return list(zip(X, self.labels.index_select(0, index).tolist(), strict=True))

    def take(self, n: int) -> "ImageData":
        """前 ``n`` 张（1 ≤ n ≤ 张数）；与原来共用内存。"""
        check_count("n", n, 1, len(self))
        return ImageData(self.images[:n], self.labels[:n], self.class_names, self.name)

    def split(self, n: int) -> tuple["ImageData", "ImageData"]:
        """分成前 ``n`` 张与其余（两份都不空），例如留出验证集；与原来共用内存。"""
        check_count("n", n, 1, len(self) - 1)
        rest = ImageData(self.images[n:], self.labels[n:], self.class_names, self.name)
        return self.take(n), rest

    def batches(
        self,
        batch_size: int,
        *,
        size: int | tuple[int, int] | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        device: str | torch.device | None = None,
        drop_last: bool = False,
    ) -> "Batches":
        """成批地取，参数见 :class:`Batches`。"""
        return Batches(
            self,
            batch_size,
            size=size,
            shuffle=shuffle,
            seed=seed,
            device=device,
            drop_last=drop_last,
        )


class Batches:
    """一批一批地给出 ``(X, y)``；每次 ``for`` 都从头走一遍，``len()`` 是批数。

    ``X`` 是 float32 (批量大小, C, H, W)，取值 0 到 1，与 torchvision 的 ``ToTensor`` 逐位相等；
    ``y`` 是 int64 (批量大小,)。给了 ``size`` 时 ``X`` 缩放成 (批量大小, C, 高, 宽)，
    双线性、缩小时抗锯齿，与 torchvision 的 ``Resize`` 相差不超过 1/255
    （它把结果舍入成整数，这里不舍入；浮点误差可使取值越过 0 或 1 约百万分之一）。

    Args:
        data: 数据集。
        batch_size: 每批的样本数；最后一批可能不满。
        size: 边长，或 (高, 宽)；``None`` 表示原来的大小。
        shuffle: 每一遍是否换一个随机次序。
        seed: 次序用自己的随机数生成器，从这个种子开始；``None`` 表示用 PyTorch 的全局生成器。
        device: 批所在的设备，数据集只搬过去一次；``None`` 表示留在数据所在的设备（通常是 CPU）。
        drop_last: 丢掉不满的最后一批。

    Raises:
        ValueError: 某个参数不合适，或没有这个设备。

    Examples:
        >>> images = torch.zeros(5, 1, 28, 28, dtype=torch.uint8)
        >>> data = ImageData(images, torch.tensor([0, 1, 0, 1, 1]), ("圆", "方"), "小例子")
        >>> for X, y in Batches(data, batch_size=2, size=32):
        ...     print(tuple(X.shape), y.tolist())
        (2, 1, 32, 32) [0, 1]
        (2, 1, 32, 32) [0, 1]
        (1, 1, 32, 32) [1]
    """

    def __init__(
        self,
        data: ImageData,
        batch_size: int,
        *,
        size: int | tuple[int, int] | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        device: str | torch.device | None = None,
        drop_last: bool = False,
    ) -> None:
        check_count("batch_size", batch_size, 1)
        if drop_last and batch_size > len(data):
            raise ValueError(
                f"batch_size={batch_size} 比数据的 {len(data)} 张还多，又要丢掉不满的一批，"
                "就一批也没有了；请减小 batch_size 或去掉 drop_last。"
            )
        self.data = data
        self.batch_size = batch_size
        self.size = _check_size(size, data.images.shape)
        self.device = data.images.device if device is None else pick_device(device)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = None if seed is None else make_generator(seed)
        self._images = data.images.to(self.device)
        self._labels = data.labels.to(self.device)
        self._resize = None
        if self.size != tuple(data.images.shape[2:]):
            self._resize = Resize(data.images.shape[2:], self.size, self.device)

    def __len__(self) -> int:
        """批数。"""
        whole, rest = divmod(len(self.data), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """从头走一遍；``shuffle`` 时先抽一个新的次序。"""
        n = len(self.data)
        # 次序总在 CPU 上抽：同一种子在任何设备上给出同一次序
        order = torch.randperm(n, generator=self.generator) if self.shuffle else torch.arange(n)
        for index in order.to(self.device).split(self.batch_size)[: len(self)]:
            X = self._images.index_select(0, index)  # 比 images[index] 快三倍
            y = self._labels.index_select(0, index)
            yield to_float(X) if self._resize is None else self._resize(X), y


class Resize:
    """把 uint8 图像 (B, C, H, W) 缩放成 float32 (B, C, h, w)，取值 0 到 1。

    双线性缩放对像素是线性的，而且高、宽两个方向互不相干，所以一张图 X 的缩放就是 A·X·Bᵀ：
    A (h, H) 管高，B (w, W) 管宽。把单位矩阵交给 PyTorch 缩放，得到的就是这样的矩阵。

    Examples:
        >>> shrink = Resize((28, 28), (14, 14), torch.device("cpu"))
        >>> white = torch.full((2, 1, 28, 28), 255, dtype=torch.uint8)
        >>> X = shrink(white)
        >>> X.shape, bool((X - 1).abs().max() < 1e-6)
        (torch.Size([2, 1, 14, 14]), True)
    """

    def __init__(
        self, before: tuple[int, ...], after: tuple[int, int], device: torch.device
    ) -> None:
        self.rows = resize_matrix(before[0], after[0]).to(device)
        self.columns = (resize_matrix(before[1], after[1]) / 255).T.contiguous().to(device)

    def __call__(self, X: Tensor) -> Tensor:
        """缩放一批。"""
        B, C, H, W = X.shape
        h, w = len(self.rows), self.columns.shape[1]
        # 先缩放宽：整批是一个 (B·C·H, W) 的矩阵，一次乘法；再逐张缩放高，结果直接写进 out
        wide = (X.float().reshape(-1, W) @ self.columns).view(B * C, H, w)
        out = empty((B * C, h, w), X.device)
        torch.bmm(self.rows.expand(B * C, -1, -1), wide, out=out)
        return out.view(B, C, h, w)


def resize_matrix(before: int, after: int) -> Tensor:
    """一维双线性缩放（缩小时抗锯齿）的矩阵，float32 (after, before)，每行之和是 1。

    Examples:
        >>> resize_matrix(2, 4)  # 两个像素变四个：中间的两个各取两边的加权平均
        tensor([[1.0000, 0.0000],
                [0.7500, 0.2500],
                [0.2500, 0.7500],
                [0.0000, 1.0000]])
    """
    identity = torch.eye(before)[None, None]  # 每一列是一个只有一个像素亮着的"一维图像"
    return F.interpolate(identity, size=(after, before), mode="bilinear", antialias=True)[0, 0]


def to_float(X: Tensor) -> Tensor:
    """uint8 的 0～255 变成 float32 的 0～1，与 torchvision 的 ``ToTensor`` 逐位相等。

    Examples:
        >>> to_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """
    # 除数放在同一设备的张量里：除以 Python 的数时，CUDA 会改为乘以倒数，末位就不同了
    return X.float().div_(torch.full((), 255.0, device=X.device))


def empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """没有初值的 float32 张量。

    CPU 上经 NumPy 分配：它请操作系统给大张量用 2 MB 的内存页，而每批 50 MB 的新内存
    若按 4 KB 一页领取，领取本身比缩放还慢（224×224 时总速度差近一倍）。

    Examples:
        >>> X = empty((2, 3), torch.device("cpu"))
        >>> X.shape, X.dtype
        (torch.Size([2, 3]), torch.float32)
    """
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, dtype=np.float32))
    return torch.empty(shape, device=device)


def load_fashion_mnist(
    folder: str | os.PathLike[str] | None = None, *, fallback: bool = True
) -> tuple[ImageData, ImageData]:
    """读入 Fashion-MNIST 的训练集（60,000 张）与测试集（10,000 张）。

    依次在这些地方找：``folder``，环境变量 ``D2LCORE_DATA``，用户的缓存文件夹；
    文件可以是 torchvision 的布局（``FashionMNIST/raw/``），也可以直接放在文件夹里，
    压缩（.gz）与否都行。都没有就下载到其中第一个给出了的地方。每次读入都核对 SHA-256。
    ``folder`` 或 ``D2LCORE_DATA`` 写 ``stand-in`` 表示就要仿真服饰。

    Args:
        folder: 放数据的文件夹。
        fallback: 下载不了时，``True`` 改用仿真服饰并在标准错误上说一次，``False`` 报错。

    Returns:
        (训练集, 测试集)，图像都是 uint8 (N, 1, 28, 28)。用的是哪一份看 ``.name``。

    Raises:
        ValueError: 找到的文件坏了，或环境变量写得不对。
        RuntimeError: 写不进磁盘；或 ``fallback=False`` 而所有镜像都下载失败。

    Examples:
        >>> train, test = load_fashion_mnist()
        >>> len(train), len(test), tuple(train.images.shape)
        (60000, 10000, (60000, 1, 28, 28))
    """
    place = _find(folder)
    if place is None:
        place = _obtain(_candidates(folder)[0], fallback)
    return _stand_in() if place == STAND_IN else _read_all(Path(place))


def fashion_mnist_batches(
    batch_size: int,
    *,
    size: int | tuple[int, int] | None = None,
    limit: int | None = None,
    device: str | torch.device | None = None,
    seed: int | None = None,
) -> tuple[Batches, Batches]:
    """Fashion-MNIST 的训练批与测试批：训练批每轮重新打乱，测试批不打乱。

    测试批比训练批大：评估不更新参数，批的大小不影响结果，大一些更快。

    Args:
        batch_size: 训练批的大小。
        size: 缩放到的边长或 (高, 宽)，缺省 28×28。
        limit: 只用前多少张训练图像；``None`` 表示全部。
        device: 批所在的设备，见 :class:`Batches`。
        seed: 打乱次序的种子；``None`` 表示用 PyTorch 的全局生成器。

    Raises:
        ValueError: 某个参数不合适，或数据文件坏了。
        RuntimeError: 写不进磁盘。

    Examples:
        >>> train, test = fashion_mnist_batches(256, limit=1000)
        >>> len(train), [len(y) for X, y in train]
        (4, [256, 256, 256, 232])
    """
    train, test = load_fashion_mnist()
    if limit is not None:
        check_count("limit", limit, 1, len(train))
        train = train.take(limit)
    training = train.batches(batch_size, size=size, shuffle=True, seed=seed, device=device)
    h, w = training.size
    test_size = max(batch_size, EVALUATION_PIXELS // (h * w))
    return training, test.batches(test_size, size=size, device=device)


def describe_source(folder: str | os.PathLike[str] | None = None, *, offline: bool = False) -> bool:
    """打印会用哪一份数据、在哪里；没有就先下载（``offline=True`` 时不下载）。

    Returns:
        会用到真实数据吗。

    Raises:
        ValueError: 找到的文件坏了，或环境变量写得不对。
        RuntimeError: 写不进磁盘。

    Examples:
        >>> describe_source("stand-in")
        数据：仿真服饰（由程序画出，与 Fashion-MNIST 形状、类别相同）
        False
    """
    place = _find(folder)
    if place is None:
        target = _candidates(folder)[0]
        if offline:
            searched = "、".join(_candidates(folder))
            print(f"数据：{STAND_IN_NAME}（没有在 {searched} 找到 {REAL_NAME}，按要求不下载）")
            return False
        place = _obtain(target, fallback=True)
    if place == STAND_IN:
        print(f"数据：{STAND_IN_NAME}（由程序画出，与 {REAL_NAME} 形状、类别相同）")
        return False
    train, test = _read_all(Path(place))
    print(f"数据：{REAL_NAME}，在 {place}，训练 {len(train)} 张，测试 {len(test)} 张，校验无误")
    return True


def _candidates(folder: str | os.PathLike[str] | None) -> list[str]:
    """依次要找的地方；其中一项可以是 ``stand-in``，后面的就不用找了。"""
    given = [os.fspath(folder) if folder is not None else "", os.environ.get("D2LCORE_DATA", "")]
    places = [os.path.expanduser(place) for place in given if place]
    for place in places:
        if place != STAND_IN and os.path.lexists(place) and not os.path.isdir(place):
            raise ValueError(f"数据的位置 {place} 不是文件夹；请给出放数据文件的文件夹。")
    return [*places, str(_cache_folder())]


def _cache_folder() -> Path:
    """这个系统惯用的用户缓存文件夹里的 ``d2lcore``。"""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"], "d2lcore")
    if os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"], "d2lcore")
    try:
        home = Path.home()
    except RuntimeError:  # 没有主目录的用户（某些容器里）
        return Path(tempfile.gettempdir(), "d2lcore")
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "d2lcore"


def _find(folder: str | os.PathLike[str] | None) -> str | None:
    """第一个四个文件俱全的地方，或 ``stand-in``；都没有就是 ``None``。"""
    for place in _candidates(folder):
        if place == STAND_IN or all(_locate(Path(place), name) for name in FILES):
            return place
    return None


def _locate(folder: Path, name: str) -> Path | None:
    """数据文件在这个文件夹里的路径：两种布局，压缩与否都认。"""
    for parent in (folder / SUBFOLDER, folder):
        for path in (parent / name, parent / f"{name}.gz"):
            if os.path.isfile(path):  # 没有权限看的文件夹也当作没有，Path.is_file 会报错
                return path
    return None


def _obtain(place: str, fallback: bool) -> str:
    """下载到 ``place``，返回它；下载不了又允许替代时说明原因，返回 ``stand-in``。"""
    global _download_failed
    if fallback and _download_failed:
        return STAND_IN
    try:
        _download_missing(Path(place))
    except DownloadError as error:
        advice = _how_to_get(place)
        if not fallback:
            raise RuntimeError(f"{error}\n{advice}") from error
        _download_failed = True
        print(
            f"注意：没有拿到 {REAL_NAME}，本次运行改用{STAND_IN_NAME}（由程序画出，不是真实数据，"
            f"结果会与书中不同）。\n{error}\n{advice}",
            file=sys.stderr,
            flush=True,
        )
        return STAND_IN
    return place


def _download_missing(folder: Path) -> None:
    """把缺的文件下载到 ``folder``；上次成功的镜像下次先试，连不上的只等一遍。"""
    mirrors = _mirrors()
    for name, (size, sha256) in FILES.items():
        if _locate(folder, name) is None:
            target = folder / SUBFOLDER / name
            good = download(f"{name}.gz", mirrors, target, size=size, sha256=sha256, label=name)
            mirrors = [good, *(mirror for mirror in mirrors if mirror != good)]


def _mirrors() -> list[str]:
    """要试的镜像，``D2LCORE_MIRROR`` 给出的排在最前。"""
    extra = os.environ.get("D2LCORE_MIRROR", "")
    if not extra:
        return list(MIRRORS)
    parts = urlsplit(extra)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(
            f"环境变量 D2LCORE_MIRROR={extra!r} 不是网址；应是放着四个 .gz 文件的网址，"
            "例如 https://example.org/fashion/。"
        )
    return [extra.rstrip("/") + "/", *MIRRORS]


def _how_to_get(place: str) -> str:
    names = "、".join(f"{name}.gz" for name in FILES)
    return (
        f"要用真实数据：联网后重新运行；或从上面任一网址取得四个文件（{names}），"
        f"放进 {place}（或别的文件夹，再设环境变量 D2LCORE_DATA=那个文件夹）。\n"
        f"就想用{STAND_IN_NAME}：设环境变量 D2LCORE_DATA={STAND_IN}，就不再尝试下载，也不再提示。"
    )


def _read_all(folder: Path) -> tuple[ImageData, ImageData]:
    """读入并核对四个文件。"""
    arrays = []
    for name in FILES:
        path = _locate(folder, name)
        if path is None:
            raise ValueError(f"{folder} 里的 {name} 不见了，可能刚被删除；请重新运行。")
        arrays.append(_read(path, name))
    images, labels = arrays[0::2], arrays[1::2]
    train, test = (
        ImageData(X.unsqueeze(1), y.long(), CLASS_NAMES, REAL_NAME)
        for X, y in zip(images, labels, strict=True)
    )
    return train, test


def _read(path: Path, name: str) -> Tensor:
    """读一个 IDX 文件，返回 uint8 张量；内容与应有的有一个字节不同就报错。"""
    size, sha256 = FILES[name]
    try:
        content = _unzip(path, size + 1) if path.suffix == ".gz" else path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"读不了数据文件 {path}：{error.strerror or error}。"
            "请检查权限与磁盘，或删除它后重新运行。"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"数据文件 {path} 坏了：应有 {size:,} 字节、SHA-256 为 {sha256}，"
            f"实有 {len(content):,} 字节、SHA-256 为 {found}。请删除它后重新运行，会重新下载。"
        )
    # IDX 格式：第 4 个字节是维数，接着每一维的长度是 4 字节大端整数，然后是内容
    ndim = content[3]
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim)]
    start = 4 + 4 * ndim
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)


def _unzip(path: Path, limit: int) -> bytes:
    """解压，最多给出 ``limit`` 字节。"""
    try:
        with gzip.open(path) as file:
            return file.read(limit)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"数据文件 {path} 坏了，解压不了（{error}）。请删除它后重新运行，会重新下载。"
        ) from error


def _stand_in() -> tuple[ImageData, ImageData]:
    """仿真服饰的训练集与测试集。"""
    train, test = (
        ImageData(X.clone(), y.clone(), CLASS_NAMES, STAND_IN_NAME) for X, y in _draw_stand_in()
    )
    return train, test


@lru_cache(maxsize=1)
def _draw_stand_in() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """画一次要两三秒，所以记住；给出去的是副本，改了也不影响下一次。"""
    from d2lcore.stand_in import make_garments

    return make_garments(TRAIN_SIZE, seed=0), make_garments(TEST_SIZE, seed=1)


def _check_size(size: int | tuple[int, int] | None, shape: torch.Size) -> tuple[int, int]:
    """把 ``size`` 变成 (高, 宽)。"""
    if size is None:
        return shape[2], shape[3]
    pair = (size, size) if isinstance(size, int) else size
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError(f"size={size!r} 不合适：应是边长，或 (高, 宽) 两个整数。")
    for side in pair:
        check_count("size", side, 1)
    return pair[0], pair[1]
