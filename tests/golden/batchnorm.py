"""批量规范化与层规范化的算例：与 nn.BatchNorm1d（输出与缓冲区）、nn.LayerNorm 核对。"""

import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tools.golden import Case


def fresh(rng: random.Random, spread: float) -> dict[str, Any]:
    """随机的一层。"""

    def three(low: float, high: float) -> list[float]:
        return [round(rng.uniform(low, high), 2) for _ in range(3)]

    return {
        "gamma": three(-2, 2),
        "beta": three(-2, 2),
        "eps": rng.choice([1e-5, 1e-3, 0.5]),
        "m": rng.choice([0.0, 0.1, 0.3, 1.0]),
        "rm": three(-spread, spread),
        "rv": three(0, spread),
    }


def module(n: dict[str, Any], norm: type[nn.BatchNorm1d | nn.LayerNorm]) -> nn.Module:
    """装上同样的参数与缓冲区的 PyTorch 层。"""
    extra = {"momentum": n["m"]} if norm is nn.BatchNorm1d else {}
    layer = norm(3, eps=n["eps"], dtype=torch.float64, **extra)
    names = {"weight": "gamma", "bias": "beta", "running_mean": "rm", "running_var": "rv"}
    with torch.no_grad():
        for name, key in names.items():
            if hasattr(layer, name):
                getattr(layer, name).copy_(torch.tensor(n[key], dtype=torch.float64))
    return layer


def buffers(layer: nn.Module) -> dict[str, Any]:
    """现在存的均值与方差。"""
    names = {"rm": "running_mean", "rv": "running_var"}
    return {key: layer.get_buffer(name).tolist() for key, name in names.items()}


def next_batch(seed: int) -> tuple[list[list[float]], int]:
    """线性同余：特征均匀分布在中心 ± 半宽。"""
    rows = []
    for _ in range(4):
        row = []
        for center, half in ((3, 6), (2.5, 1.5), (250, 150)):
            seed = (seed * 1664525 + 1013904223) % 2**32
            row.append((center + half * (seed / 2**31 - 1)) * 10 + 0.5)
        rows.append([value // 1 / 10 for value in row])
    return rows, seed


def tensor(X: list[list[float]]) -> Tensor:
    """双精度的张量。"""
    return torch.tensor(X, dtype=torch.float64)


def cases(rng: random.Random) -> Iterator[Case]:
    """每层连喂 4 批（各批都核对输出与缓冲区），再预测一批；另有层规范化与造批。"""
    for k in range(60):
        spread = [1, 10, 100][k % 3]
        n = fresh(rng, spread)
        layer, start = module(n, nn.BatchNorm1d), dict(n)
        for training in (True, True, True, True, False):
            B = rng.choice([2, 3, 4] if training else [1, 4])
            X = [[round(rng.gauss(0, spread), 2) for _ in range(3)] for _ in range(B)]
            Y = layer.train(training)(tensor(X))
            after = buffers(layer)
            before = dict(n)
            yield Case("batchnorm.batchNorm", [X, before, training], {"y": Y.tolist()} | after)
            n |= after  # 缓冲区接着往下传
        yield Case("batchnorm.layerNorm", [X, n], module(n, nn.LayerNorm)(tensor(X)).tolist())
        yield Case("batchnorm.batchNorm", [X[:1], n, True], None)  # 一个样本不能训练
        column = tensor(X)[:, 0]
        moments = {"mean": column.mean().item(), "var": column.var(unbiased=False).item()}
        unbiased = column.var().item() if len(X) > 1 else None
        yield Case("batchnorm.moments", [column.tolist()], moments | {"unbiased": unbiased})
        first = rng.randrange(2**32)
        B, times, training = rng.choice([2, 4]), rng.randrange(1, 8), k % 4 > 0
        layer = module(start, nn.BatchNorm1d).train(training)
        given, seed = next_batch(first)
        yield Case("batchnorm.nextBatch", [first], {"X": given, "seed": seed})
        X = given
        arguments = [given, seed, start, B, training, times]
        for _ in range(times):
            layer(tensor(X[:B]))
            X, seed = next_batch(seed)
        after = buffers(layer)
        yield Case("batchnorm.feed", arguments, {"X": X, "seed": seed} | after)
        yield Case("batchnorm.batchNorm", [given, start, True], trained(start, given))


def trained(n: dict[str, Any], X: list[list[float]]) -> dict[str, Any]:
    """从头训练一批。"""
    layer = module(n, nn.BatchNorm1d)
    Y = layer(tensor(X))
    return {"y": Y.tolist()} | buffers(layer)
