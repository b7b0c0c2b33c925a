"""多进程训练：``torchrun`` 启动的几个进程各算小批量的一份，合起来与一个进程算整个小批量相同。

做法叫数据并行：每个进程都有一份同样的网络，各自取小批量的一段，算出梯度后求平均
（由 PyTorch 的 ``DistributedDataParallel`` 完成），再各自做同样的一步更新。
:func:`d2lcore.training.fit` 会自己加入，不必改程序::

    torchrun --nproc-per-node 2 -m d2lcore train lenet
"""

import atexit
import os
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist


class Team(NamedTuple):
    """一起训练的进程：自己的编号（从 0 数）与进程数；只有一个进程时是 ``Team(0, 1)``。

    Examples:
        >>> team = Team(rank=1, size=3)
        >>> X, y = torch.arange(8.).reshape(4, 2), torch.arange(4)
        >>> team.share(X, y)  # 4 个样本分给 3 个进程，编号 1 的分到一个
        (tensor([[2., 3.]]), tensor([1]), 1)
    """

    rank: int = 0
    size: int = 1

    def share(self, X: Tensor, y: Tensor) -> tuple[Tensor, Tensor, int]:
        """小批量里归自己的一段 ``(X, y)``，以及其中的样本数。

        样本比进程少时，有的进程分不到：它仍拿一个样本去算，好与别的进程步调一致，
        但样本数是 0，所以不计入损失与梯度。
        """
        if self.size == 1:
            return X, y, len(y)
        start, stop = (len(y) * k // self.size for k in (self.rank, self.rank + 1))
        if start == stop:
            return X[:1], y[:1], 0
        return X[start:stop], y[start:stop], stop - start

    def total(self, values: Tensor) -> Tensor:
        """各进程的 ``values`` 之和，每个进程都得到。"""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def check_same_data(self, X: Tensor, y: Tensor) -> None:
        """各进程应给出同样的小批量，否则"各算一份"就不是整个小批量。

        Raises:
            ValueError: 有进程的数据不同，多半是没有用同一个种子。
        """
        if self.size == 1:
            return
        seen: list[tuple[float, ...]] = [()] * self.size
        dist.all_gather_object(seen, _fingerprint(X, y))
        if len(set(seen)) > 1:
            raise ValueError(
                f"{self.size} 个进程的第一个小批量不同；每个进程应给出同样的数据、同样的次序，"
                "再由 fit 各取一段。请在程序开头用同一个种子（seed_everything(0)），"
                "并且不要用 DistributedSampler。"
            )

    def share_random_state(self) -> None:
        """让各进程的随机数状态与 0 号进程相同，于是下一轮打乱的次序也相同。"""
        if self.size > 1:
            state = [torch.get_rng_state()]
            dist.broadcast_object_list(state, src=0)
            torch.set_rng_state(state[0])


ALONE = Team()


def _fingerprint(X: Tensor, y: Tensor) -> tuple[float, ...]:
    """几个数，内容或次序不同时几乎必定不同。"""
    places = torch.arange(1, len(y) + 1, dtype=torch.float64)
    means = (part.detach().cpu().double().reshape(len(y), -1).mean(dim=1) for part in (X, y))
    return tuple((places @ mean).item() for mean in means)


def join_team(device: torch.device) -> Team:
    """由 ``torchrun`` 启动时加入进程组（CUDA 用 nccl，其余用 gloo），否则是单独一个。

    Args:
        device: 计算设备；CUDA 时各进程按 ``LOCAL_RANK`` 各用一块显卡。

    Examples:
        >>> join_team(torch.device("cpu"))  # 没有用 torchrun
        Team(rank=0, size=1)
    """
    if not dist.is_available():
        return Team()
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
            return Team()
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return Team(dist.get_rank(), dist.get_world_size())


def is_main_process() -> bool:
    """自己是不是 0 号进程；没有用 ``torchrun`` 时总是。写文件、打印之前先问一声。

    Examples:
        >>> is_main_process()
        True
    """
    return int(os.environ.get("RANK", "0")) == 0
