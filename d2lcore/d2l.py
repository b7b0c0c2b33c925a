"""与 d2l-zh 的 PyTorch 版（第 2–7、13 章）同名的函数，让已有的笔记换一行就能运行。

把 ``from d2l import torch as d2l`` 换成 ``from d2lcore import d2l``。名字、参数与用法不变，
原实现的毛病改掉了：各文档字符串里以“改：”开头的一句说改了什么。
新写的程序请直接用 :mod:`d2lcore.training`、:mod:`d2lcore.detection` 等模块，名字不按章编号。
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt
from PIL import Image
from torch import Tensor, nn

from d2lcore._d2l_data import (
    DATA_HUB,
    DATA_URL,
    download,
    download_all,
    download_extract,
    get_dataloader_workers,
    get_fashion_mnist_labels,
    load_array,
    load_data_bananas,
    load_data_fashion_mnist,
    synthetic_data,
)
from d2lcore._d2l_plots import (
    Animator,
    bbox_to_rect,
    plot,
    set_axes,
    set_figsize,
    show_bboxes,
    show_images,
    use_svg_display,
)
from d2lcore._d2l_train import (
    Accumulator,
    Timer,
    accuracy,
    evaluate_accuracy,
    evaluate_accuracy_gpu,
    evaluate_loss,
    linreg,
    predict_ch3,
    sgd,
    squared_loss,
    train_batch_ch13,
    train_ch3,
    train_ch6,
    train_ch13,
    train_epoch_ch3,
    try_all_gpus,
    try_gpu,
)
from d2lcore.anchors import anchor_targets, assign_anchors, generate_anchors
from d2lcore.anchors import decode_offsets as offset_inverse
from d2lcore.anchors import encode_offsets as offset_boxes  # 改：没有 eps，与 offset_inverse 互逆
from d2lcore.boxes import box_iou  # 改：两个零面积的框给 0，不是 NaN
from d2lcore.boxes import center_to_corner as box_center_to_corner
from d2lcore.boxes import corner_to_center as box_corner_to_center
from d2lcore.detection import detect, nms  # 改：没有框时也给 int64，而且快得多
from d2lcore.layers import corr2d  # 改：在输入所在的设备上算
from d2lcore.models import Residual as _Residual
from d2lcore.models import resnet18 as _resnet18

__all__ = [
    "DATA_HUB", "DATA_URL", "Accumulator", "Animator", "Image", "Residual", "Timer", "abs",
    "accuracy", "arange", "argmax", "assign_anchor_to_bbox", "astype", "bbox_to_rect",
    "box_center_to_corner", "box_corner_to_center", "box_iou", "concat", "corr2d", "cos",
    "download", "download_all", "download_extract", "evaluate_accuracy", "evaluate_accuracy_gpu",
    "evaluate_loss", "exp", "eye", "float32", "get_dataloader_workers",
    "get_fashion_mnist_labels", "int32", "linreg", "linspace", "load_array", "load_data_bananas",
    "load_data_fashion_mnist", "log", "matmul", "meshgrid", "multibox_detection",
    "multibox_prior", "multibox_target", "nms", "normal", "numpy", "offset_boxes",
    "offset_inverse", "ones", "plot", "plt", "predict_ch3", "rand", "reduce_sum", "reshape",
    "resnet18", "set_axes", "set_figsize", "sgd", "show_bboxes", "show_images", "sin", "size",
    "squared_loss", "stack", "synthetic_data", "tanh", "tensor", "to", "train_batch_ch13",
    "train_ch3", "train_ch6", "train_ch13", "train_epoch_ch3", "transpose", "try_all_gpus",
    "try_gpu", "use_svg_display", "zeros",
]  # fmt: skip

# 张量的别名：先是 torch 的函数，再是张量的方法
zeros, ones, tensor, arange, eye = torch.zeros, torch.ones, torch.tensor, torch.arange, torch.eye
rand, normal, linspace, matmul = torch.rand, torch.normal, torch.linspace, torch.matmul
exp, log, abs, sin, cos, tanh = torch.exp, torch.log, torch.abs, torch.sin, torch.cos, torch.tanh
stack, concat, int32, float32 = torch.stack, torch.cat, torch.int32, torch.float32
meshgrid = partial(torch.meshgrid, indexing="ij")
reshape: Any = partial(Tensor.reshape)
to: Any = partial(Tensor.to)
size: Any = partial(Tensor.numel)
astype: Any = partial(Tensor.type)
reduce_sum: Any = partial(Tensor.sum)
argmax: Any = partial(Tensor.argmax)
transpose: Any = partial(Tensor.t)


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"d2lcore.d2l 没有 {name}：它只含 d2l-zh 第 2–7、13 章常用的名字，"
        "没有 VOC、Kaggle 与文本处理。笔记里若有定义它的单元，请复制过来。"
    )


def numpy(x: Tensor) -> np.ndarray:
    """张量变成 NumPy 数组。改：显卡上的也行。

    Examples:
        >>> numpy(torch.ones(2, requires_grad=True))
        array([1., 1.], dtype=float32)
    """
    return x.detach().cpu().numpy()


class Residual(_Residual):
    """残差块。改：形状改变时自动用 1×1 卷积，不必声明；卷积后面有批量规范化，所以不带偏置。

    Examples:
        >>> Residual(3, 6, use_1x1conv=True, strides=2)(torch.rand(4, 3, 6, 6)).shape
        torch.Size([4, 6, 3, 3])
    """

    def __init__(
        self, input_channels: int, num_channels: int, use_1x1conv: bool = False, strides: int = 1
    ) -> None:
        super().__init__(input_channels, num_channels, strides)
        if use_1x1conv and isinstance(self.shortcut, nn.Identity):
            conv = nn.Conv2d(input_channels, num_channels, 1, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(num_channels))


def resnet18(num_classes: int, in_channels: int = 1) -> nn.Sequential:
    """ResNet-18，开头是 3×3 步幅 1 的卷积，没有汇聚，适合 32 像素的小图。改：He 初始化。

    Examples:
        >>> net = resnet18(10, 3)
        >>> net[0](torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 64, 32, 32])
    """
    net = _resnet18(num_classes, in_channels, small=True)
    net[0][0].stride = (1, 1)  # type: ignore[index, union-attr]
    return net


def multibox_prior(data: Tensor, sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """以 ``data`` (…, H, W) 的每个像素为中心生成锚框 (1, A, 4)，
    约定见 :func:`d2lcore.anchors.generate_anchors`。

    Examples:
        >>> multibox_prior(torch.zeros(1, 3, 4, 5), sizes=[0.75, 0.5], ratios=[1, 2]).shape
        torch.Size([1, 60, 4])
    """
    height, width = data.shape[-2:]
    return generate_anchors((height, width), sizes, ratios).to(data.device).unsqueeze(0)


def assign_anchor_to_bbox(
    ground_truth: Tensor, anchors: Tensor, device: Any = None, iou_threshold: float = 0.5
) -> Tensor:
    """每个锚框 (A, 4) 负责的真实的框的序号，-1 是背景。改：交并比是 0 的不强行配上；锚框不够也行。

    Examples:
        >>> anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
        >>> assign_anchor_to_bbox(torch.tensor([[0.6, 0.5, 1.0, 1.0]]), anchors, "cpu")
        tensor([-1,  0])
    """
    return assign_anchors(anchors, ground_truth, iou_threshold).to(device or anchors.device)


def multibox_target(anchors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """锚框 (1, A, 4) 的偏移 (B, 4A)、掩码 (B, 4A) 与类别 (B, A)；``labels`` 是 (B, G, 5)。

    改：类别为负的填充行不管写着什么都不看。

    Examples:
        >>> anchors = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]])
        >>> labels = torch.tensor([[[2.0, 0.5, 0.5, 1.0, 1.0], [-1.0, 0.0, 0.0, 0.0, 0.0]]])
        >>> multibox_target(anchors, labels)[1:]
        (tensor([[0., 0., 0., 0., 1., 1., 1., 1.]]), tensor([[0, 3]]))
    """
    offsets, mask, classes = anchor_targets(anchors.squeeze(0), labels)
    return offsets.flatten(1), mask.to(offsets.dtype).repeat_interleave(4, dim=1), classes


def multibox_detection(
    cls_probs: Tensor, offset_preds: Tensor, anchors: Tensor, nms_threshold: float = 0.5,
    pos_threshold: float = 0.01,
) -> Tensor:  # fmt: skip
    """检测结果 (B, A, 6)：类别、概率、x1、y1、x2、y2，概率从大到小；其余的行全是 -1。

    ``cls_probs`` (B, C+1, A)，第 0 行是背景；``offset_preds`` (B, 4A)；``anchors`` (1, A, 4)。
    改：背景最可能的锚框不输出；各类分开做 NMS；概率照实给出；先筛再做 NMS，快百倍。

    Examples:
        >>> anchors = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]])
        >>> cls_probs = torch.tensor([[[0.25, 0.75], [0.75, 0.25]]])
        >>> multibox_detection(cls_probs, torch.zeros(1, 8), anchors)[0, :, 0]
        tensor([ 0., -1.])
    """
    best = cls_probs.argmax(dim=1, keepdim=True)  # 每个锚框只留最可能的一类，可以是背景
    probabilities = torch.zeros_like(cls_probs).scatter_(1, best, cls_probs.gather(1, best))
    batch_size, _, count = cls_probs.shape
    found = detect(
        probabilities.transpose(1, 2),
        offset_preds.reshape(batch_size, count, 4).to(cls_probs.dtype), anchors.squeeze(0),
        score_threshold=max(pos_threshold, torch.finfo(cls_probs.dtype).tiny),
        iou_threshold=nms_threshold, max_candidates=count, max_detections=count, clip=False,
    )  # fmt: skip
    output = cls_probs.new_full((batch_size, count, 6), -1)
    for rows, one in zip(output, found, strict=True):
        found_rows = [one.labels[:, None], one.scores[:, None], one.boxes]
        rows[: len(one.scores)] = torch.cat(found_rows, dim=1)
    return output
