"""检测场景：把几件服饰摆进一张画布，每件的类别与边框都准确地知道。

一张场景是这样画成的：

1. 抽几件服饰，各缩放成边长随机的小图，其中一半左右翻转。亮度不到 :data:`FAINTEST` 的像素透明，
   其余的完全盖住下面；整件的亮度再乘一个 :data:`DIMMEST` 到 1 的数。
2. 框大的先摆，小的后摆、压在上面。位置均匀地抽，与先摆的每一件交并比都不超过 ``max_overlap``
   才算数；抽 :data:`TRIES` 次都不成，这一件就不摆，所以摆得越挤，件数越偏少。
3. 边框是这件服饰画出的像素的紧框，后来被别的服饰盖住的像素也算在内：
   x1 是最左一列，x2 是最右一列加 1，都除以画布的边长；y 也一样。

小的压在大的上面，所以 ``max_overlap=0.2`` 时，一个框最多被另一个框盖住三分之一：设面积是
A ≥ a，交是 I，则 I ≤ 0.2 (A + a - I)，于是 I ≤ (A + a) / 6 ≤ A / 3。
"""

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from d2lcore._arguments import check_count, check_dtype, make_generator
from d2lcore.boxes import box_iou
from d2lcore.data import Batches, ImageData, resize_matrix, to_float

FAINTEST = 16  # 真数据集里比这更暗的多是看不见的碎点；算进来，框就比看到的服饰大
DIMMEST = 0.5  # 亮度至少乘这个数
TRIES = 64  # 每件服饰抽几个位置
CHUNK = 256  # 一次画多少张：中间结果留在缓存里，内存占用与 n 无关。改了会换一批场景


@dataclass(frozen=True, eq=False, repr=False)
class SceneData:
    """一个目标检测数据集，整个放在两个张量里。

    也可以直接交给 ``torch.utils.data.DataLoader``。

    Args:
        images: uint8 (N, C, H, W)。
        labels: float32 (N, G, 5)，每行是类别与边框 x1, y1, x2, y2（相对于画布的宽、高，0 到 1）；
            不足 G 件时，后面的行全是 -1。
        class_names: 各类的名字。

    Raises:
        TypeError: 张量的类型（dtype）不对。
        ValueError: 形状不对，两者个数不等，或类别越界。

    Examples:
        >>> images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
        >>> labels = torch.full((2, 3, 5), -1.0)
        >>> labels[0, 0] = torch.tensor([1, 0.25, 0.25, 0.75, 1])
        >>> scenes = SceneData(images, labels, ("包", "短靴"))
        >>> scenes
        SceneData(2 张 1×8×8，共 1 件，每张至多 3 件，2 类)
        >>> X, objects = scenes[0]
        >>> X.shape, objects[0].tolist()
        (torch.Size([1, 8, 8]), [1.0, 0.25, 0.25, 0.75, 1.0])
        >>> for X, objects in scenes.batches(2):
        ...     X.shape, objects.shape
        (torch.Size([2, 1, 8, 8]), torch.Size([2, 3, 5]))
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        check_dtype("images", self.images, torch.uint8)
        check_dtype("labels", self.labels, torch.float32)
        given, n = tuple(self.labels.shape), len(self.images)
        if self.images.ndim != 4 or len(given) != 3 or given[0] != n or given[2] != 5:
            raise ValueError(
                f"images 的形状是 {tuple(self.images.shape)}，labels 的形状是 {given}；"
                "应是 (张数, 通道, 高, 宽) 与 (张数, 每张至多几件, 5)。"
            )
        highest = self.labels[..., 0].max() if self.labels.numel() else -1
        if highest >= len(self.class_names):
            raise ValueError(
                f"labels 里有类别 {highest:g}，而 class_names 只有 {len(self.class_names)} 类。"
            )

    def __repr__(self) -> str:
        n, c, h, w = self.images.shape
        objects, most = int((self.labels[..., 0] >= 0).sum()), self.labels.shape[1]
        kinds = len(self.class_names)
        return f"SceneData({n} 张 {c}×{h}×{w}，共 {objects} 件，每张至多 {most} 件，{kinds} 类)"

    def __len__(self) -> int:
        """张数。"""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """第 ``index`` 张：float32 图像 (C, H, W)，取值 0 到 1；float32 标签 (G, 5)。"""
        return to_float(self.images[index]), self.labels[index]

    def take(self, n: int) -> "SceneData":
        """前 ``n`` 张（1 ≤ n ≤ 张数）；与原来共用内存。"""
        check_count("n", n, 1, len(self))
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def split(self, n: int) -> tuple["SceneData", "SceneData"]:
        """分成前 ``n`` 张与其余（两份都不空）；与原来共用内存。"""
        check_count("n", n, 1, len(self) - 1)
        return self.take(n), replace(self, images=self.images[n:], labels=self.labels[n:])

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        device: str | torch.device | None = None,
        drop_last: bool = False,
    ) -> Batches:
        """成批地取：float32 图像 (B, C, H, W)，取值 0 到 1；float32 标签 (B, G, 5)。

        参数见 :class:`~d2lcore.data.Batches`。
        """
        return Batches(
            cast(ImageData, self),  # Batches 只用到 images、labels 与张数
            batch_size,
            shuffle=shuffle,
            seed=seed,
            device=device,
            drop_last=drop_last,
        )


def make_scenes(
    garments: ImageData,
    n: int,
    *,
    size: int = 96,
    max_objects: int = 4,
    scale: tuple[float, float] = (0.25, 0.6),
    max_overlap: float = 0.2,
    noise: float = 0.0,
    seed: int,
) -> SceneData:
    """画 ``n`` 张场景，每张 1 到 ``max_objects`` 件服饰；画法与边框的规则见模块的说明。

    同一种子给出逐字节相同的场景，与线程数无关；不动全局的随机数生成器。总在 CPU 上画。

    Args:
        garments: 服饰，灰度方图；每件被抽到的机会相同。
        n: 张数。
        size: 画布的边长，像素。
        max_objects: 每张至多几件。
        scale: 服饰小图的边长与画布边长之比的范围；小图四周有空白时，边框比它小一点。
        max_overlap: 两件的边框的交并比至多是多少，0 到 1。
        noise: 背景的噪声：每个像素均匀地取 0 到 ``noise``（1 是白）。
        seed: 随机种子。

    Raises:
        TypeError: ``garments`` 不是 :class:`~d2lcore.data.ImageData`。
        ValueError: 某个参数不合适，或有服饰缩小以后一个像素也看不见。

    Examples:
        >>> square = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
        >>> garments = ImageData(square, torch.tensor([0]), ("方块",), "方块")
        >>> scenes = make_scenes(garments, 9, size=64, max_objects=1, scale=(0.5, 0.5), seed=0)
        >>> scenes
        SceneData(9 张 1×64×64，共 9 件，每张至多 1 件，1 类)
        >>> kind, x1, y1, x2, y2 = scenes.labels[0, 0].tolist()
        >>> x2 - x1, y2 - y1
        (0.5, 0.5)
    """
    check_count("n", n, 1)
    check_count("size", size, 1)
    check_count("max_objects", max_objects, 1)
    _check_fraction("max_overlap", max_overlap)
    _check_fraction("noise", noise)
    matrices = _resize_matrices(_side(garments), *_side_range(scale, size))
    generator = make_generator(seed)
    images = torch.zeros(n, 1, size, size, dtype=torch.uint8)
    labels = torch.full((n, max_objects, 5), -1.0)
    for canvas, rows in zip(images.split(CHUNK), labels.split(CHUNK), strict=True):
        patches, tight, classes = _draw(garments, rows.shape[:2], matrices, generator)
        boxes = _place(tight[..., 2:] - tight[..., :2], size, max_overlap, generator)
        placed = boxes[..., 2] > 0
        _paint(canvas[:, 0], patches, boxes[..., :2].long() - tight[..., :2], placed)
        filled = torch.arange(max_objects) < placed.sum(1, keepdim=True)  # 摆了的都移到前面
        rows[filled] = torch.cat([classes[..., None], boxes / size], dim=2)[placed]
    if noise > 0:  # 最后才抽：有没有噪声，摆法都一样。画出的像素都不是 0
        grains = torch.empty_like(images).random_(round(255 * noise) + 1, generator=generator)
        images = torch.where(images > 0, images, grains)
    return SceneData(images, labels, garments.class_names)


def tight_boxes(masks: Tensor) -> Tensor:
    """每个掩码里不为 0 的像素的紧框 (x1, y1, x2, y2)：最左列、最上行、最右列加 1、最下行加 1。

    Args:
        masks: bool 或 uint8 (..., H, W)；uint8 快两倍。

    Returns:
        int64 (..., 4)；一个像素也没有时是 (0, 0, 0, 0)。

    Examples:
        >>> mask = torch.zeros(6, 8, dtype=torch.bool)
        >>> mask[2:5, 1:7] = True
        >>> tight_boxes(mask).tolist()
        [1, 2, 7, 5]
    """
    first, last = [], []
    for lines in (masks.any(-2), masks.any(-1)):  # 哪些列有像素，哪些行有像素
        numbers = torch.arange(1, lines.shape[-1] + 1, device=masks.device)
        first.append(lines.int().argmax(-1))  # 有几个最大时，argmax 给出第一个
        last.append((lines * numbers).amax(-1))
    return torch.stack(first + last, dim=-1)


def _draw(
    garments: ImageData, slots: torch.Size, matrices: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """抽服饰，画成小图 uint8 (N, G, P, P)，0 是透明；连同小图里的紧框与类别。框大的在前。"""
    N, G = slots
    used = torch.arange(G) < torch.randint(1, G + 1, (N, 1), generator=generator)
    M = int(used.sum())
    index = torch.randint(len(garments), (M,), generator=generator)
    A = matrices[torch.randint(len(matrices), (M,), generator=generator)]  # (M, P, 28)
    flip, bright = torch.rand(2, M, 1, 1, generator=generator)
    X = garments.images[index, 0].cpu().float()  # (M, 28, 28)
    X = (A @ torch.where(flip < 0.5, X, X.flip(2)) @ A.mT).clamp(max=255)  # (M, P, P)
    X = torch.where(X >= FAINTEST, X * (DIMMEST + (1 - DIMMEST) * bright), 0)
    patches, classes = torch.zeros(N, G, *X.shape[1:], dtype=torch.uint8), torch.zeros(N, G)
    patches[used] = X.byte()
    classes[used] = garments.labels[index].cpu().float()
    tight = tight_boxes(patches)
    if not torch.equal(tight[..., 2] > 0, used):
        raise ValueError(
            f"有服饰缩小以后没有一个像素达到 {FAINTEST}，看不见；"
            "请去掉 garments 里空白的图像，或增大 size 或 scale。"
        )
    area = (tight[..., 2:] - tight[..., :2]).prod(2)
    order = area.argsort(dim=1, descending=True, stable=True) + G * torch.arange(N)[:, None]
    patches, tight, classes = (
        values.flatten(0, 1).index_select(0, order.flatten()).unflatten(0, slots)
        for values in (patches, tight, classes)  # 比 values[行, order] 快二十倍
    )
    return patches, tight, classes


def _place(extents: Tensor, size: int, max_overlap: float, generator: torch.Generator) -> Tensor:
    """拒绝采样，所有画布一起做：宽、高 (N, G, 2) → 框 (N, G, 4)，单位像素；没有摆的全是 0。"""
    N, G, _ = extents.shape
    boxes = torch.zeros(N, G, 4)
    for k in range(G):
        extent = extents[:, None, k]  # (N, 1, 2)；没有这一件时是 (0, 0)
        rooms = size + 1 - extent  # 左上角可取的位置有几个
        corners = (torch.rand(N, TRIES, 2, generator=generator) * rooms).floor()
        tries = torch.cat([corners, corners + extent], dim=2)  # (N, TRIES, 4)
        fits = (box_iou(tries, boxes[:, :k]) <= max_overlap).all(2)  # (N, TRIES)
        placed = fits.any(1) & (extent[:, 0, 0] > 0)
        chosen = tries[torch.arange(N), fits.int().argmax(1)]  # 第一个合适的
        boxes[:, k] = chosen * placed[:, None]
    return boxes


def _paint(canvas: Tensor, patches: Tensor, shifts: Tensor, placed: Tensor) -> None:
    """把小图 (N, G, P, P) 平移 ``shifts`` (N, G, 2) 后画到画布 (N, size, size) 上，后面的在上。"""
    for k in range(patches.shape[1]):
        scene, y, x = (patches[:, k] * placed[:, k, None, None]).nonzero(as_tuple=True)
        dx, dy = shifts[scene, k].T
        canvas[scene, y + dy, x + dx] = patches[scene, k, y, x]


def _resize_matrices(before: int, smallest: int, largest: int) -> Tensor:
    """把边长 before 缩放成 smallest 到 largest 的各个矩阵 A，短的补零行；缩放就是 A·X·Aᵀ。

    元素取 1/256 的整数倍：乘加的每一步就都是 1/65536 的整数倍，小于 256 时 float32 恰好放得下，
    没有舍入（到了 256 的，反正要截成 255）。于是求和的次序不影响结果，线程数也就不影响。
    """
    matrices = torch.zeros(largest - smallest + 1, largest, before)
    for matrix, after in zip(matrices, range(smallest, largest + 1), strict=True):
        matrix[:after] = (resize_matrix(before, after) * 256).round() / 256
    return matrices


def _side(garments: ImageData) -> int:
    """服饰图像的边长。"""
    if not isinstance(garments, ImageData):
        raise TypeError(
            f"garments 是 {type(garments).__name__}，应是 ImageData；"
            "load_fashion_mnist() 给出训练集与测试集两个，请取其中一个。"
        )
    _, C, H, W = garments.images.shape
    if C != 1 or H != W:
        raise ValueError(
            f"garments 的图像是 {C}×{H}×{W}，应是灰度的方图，例如 Fashion-MNIST 的 1×28×28。"
        )
    return H


def _side_range(scale: tuple[float, float], size: int) -> tuple[int, int]:
    """小图边长的范围，像素。"""
    pair = isinstance(scale, tuple | list) and len(scale) == 2
    if not pair or not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scale={scale!r} 不合适：应是 (最小, 最大)，且 0 < 最小 ≤ 最大 ≤ 1。")
    return max(1, round(scale[0] * size)), max(1, round(scale[1] * size))


def _check_fraction(name: str, value: float) -> None:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} 不合适：应是 0 到 1 之间的数。")
