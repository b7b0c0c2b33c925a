"""设备：在 CPU、CUDA 与 MPS 之间选一个，并按设备选训练规模。"""

from typing import TypeVar

import torch

T = TypeVar("T")


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """选定计算设备。

    Args:
        device: ``"cpu"``、``"cuda"``、``"cuda:1"``、``"mps"`` 等；``None`` 表示自动选：
            有 CUDA 用 CUDA，否则有 MPS 用 MPS，否则用 CPU。

    Raises:
        ValueError: 名字不认识，或这台机器上没有这个设备。

    Examples:
        >>> pick_device("cpu")
        device(type='cpu')
        >>> pick_device("gpu")
        Traceback (most recent call last):
            ...
        ValueError: 不认识设备 'gpu'：应是 'cpu'、'cuda'、'cuda:0'、'mps' 之一，或 None（自动选）。
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"不认识设备 {device!r}：应是 'cpu'、'cuda'、'cuda:0'、'mps' 之一，或 None（自动选）。"
        ) from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"要用 {chosen}，但 PyTorch 只找到 {torch.cuda.device_count()} 块 CUDA 显卡。"
            "改用 device='cpu'，或安装与显卡驱动相配的 PyTorch。"
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("要用 mps，但这台机器上没有可用的 Apple 显卡；请改用 device='cpu'。")
    if chosen.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"本库支持 cpu、cuda、mps，不支持 {chosen.type}；请从中选一个。")
    return chosen


def by_device(*, cpu: T, gpu: T) -> T:
    """自动选出的设备是 CPU 就给 ``cpu``，否则给 ``gpu``。用来在一行里写明两种训练规模。

    Examples:
        >>> limit = by_device(cpu=10_000, gpu=60_000)  # CPU 上只用一万张
        >>> limit == (10_000 if pick_device().type == "cpu" else 60_000)
        True
    """
    return cpu if pick_device().type == "cpu" else gpu


def synchronize(device: torch.device) -> None:
    """等设备把排队的运算做完。计时之前与之后都要等，否则量到的只是"下单"的时间。

    Examples:
        >>> synchronize(torch.device("cpu"))  # CPU 不排队，立即返回
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
