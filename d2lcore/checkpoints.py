"""检查点：把训练到一半的全部状态写进一个文件，以后从那里接着训练，结果与没有中断过一样。

只存网络的参数是不够的：动量在优化器里，学习率走到哪一步在调度器里，
下一轮怎样打乱、暂退法丢掉哪些单元在随机数生成器里。少存一样，接着训练的曲线就不同。
"""

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

FORMAT = "d2lcore-checkpoint-1"


def save_checkpoint(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """把 ``content`` 写进文件；写到一半断电，原来的文件也完好。

    Args:
        path: 文件名，惯用 ``.pt`` 结尾；所在的文件夹没有就新建。
        content: 名字到内容的对应；内容只能是张量、数、字符串以及由它们组成的列表、字典
            （网络与优化器的 ``state_dict()`` 都是）。

    Raises:
        RuntimeError: 写不进磁盘。

    Examples:
        >>> import tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "net.pt")
        >>> save_checkpoint(path, {"net": torch.nn.Linear(2, 1).state_dict()})
        >>> sorted(load_checkpoint(path)["net"])
        ['bias', 'weight']
    """
    target = Path(path)
    # 先写在旁边，写完再改名：改名是一步完成的，别人看到的要么是旧的，要么是新的
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        raise RuntimeError(
            f"检查点写不进 {target}：{error.strerror or error}。请检查权限与磁盘空间，或换个位置。"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def load_checkpoint(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> dict[str, Any]:
    """读出 :func:`save_checkpoint` 写的内容，张量放到 ``device`` 上。

    只读张量与简单类型（``weights_only=True``），所以读别人给的文件也不会执行其中的代码。

    Raises:
        FileNotFoundError: 没有这个文件。
        ValueError: 文件坏了，或不是本库写的检查点。

    Examples:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "run.pt")
        >>> save_checkpoint(path, {"epoch": 3})
        >>> load_checkpoint(path)
        {'epoch': 3}
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"没有检查点 {os.fspath(path)}；请检查文件名。")
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        raise ValueError(
            f"检查点 {os.fspath(path)} 读不出来，可能没有下载完或不是 PyTorch 写的：{error}"
        ) from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(
            f"{os.fspath(path)} 不是 d2lcore 的检查点；"
            "若只想读网络的参数，用 net.load_state_dict(torch.load(路径, weights_only=True))。"
        )
    return content


def random_state(device: torch.device) -> dict[str, Any]:
    """Python、NumPy 与 PyTorch 全局随机数生成器此刻的状态，可以写进检查点。

    Examples:
        >>> state = random_state(torch.device("cpu"))
        >>> first = torch.rand(3)
        >>> restore_random_state(state)
        >>> bool((torch.rand(3) == first).all())
        True
    """
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, words, gauss = random.getstate()
    state = {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss,
                  cached],
        "torch": torch.get_rng_state(),
    }  # fmt: skip
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """恢复到 :func:`random_state` 记下的状态。

    Examples:
        >>> state = random_state(torch.device("cpu"))
        >>> first = random.random()
        >>> restore_random_state(state)
        >>> random.random() == first
        True
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"].cpu())
