"""2-2-1 网络反向传播的算例：与自动求导核对。"""

import random
from collections.abc import Iterator
from typing import Any

import torch

from tools.golden import Case

PHI = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
PARAMETERS = ("W", "b", "v", "c")


def network(rng: random.Random, spread: float) -> dict[str, Any]:
    """随机的数据与参数，都是两位小数。"""

    def pair() -> list[float]:
        return [round(rng.uniform(-spread, spread), 2) for _ in range(2)]

    t, c = pair()
    return {"x": pair(), "W": [pair(), pair()], "b": pair(), "v": pair(), "c": c, "t": t}


def cases(rng: random.Random) -> Iterator[Case]:
    """三种激活函数、三种大小的参数；避开 ReLU 恰好为 0 的尖角。"""
    relu_off = 0
    for k in range(210):
        act = list(PHI)[k % 3]
        p = network(rng, [0.5, 2, 6][k // 3 % 3])
        T = {
            key: torch.tensor(value, dtype=torch.float64, requires_grad=True)
            for key, value in p.items()
        }
        z = T["x"] @ T["W"] + T["b"]
        if z.abs().min() < 1e-9:
            continue
        relu_off += int(act == "relu" and bool((z < 0).any()))
        h = PHI[act](z)
        y = h @ T["v"] + T["c"]
        loss = (y - T["t"]) ** 2 / 2
        (slope,) = torch.autograd.grad(h.sum(), z, retain_graph=True)
        wanted = {"y": y, "h": h, "z": z, **{key: T[key] for key in ("x", *PARAMETERS)}}
        found = torch.autograd.grad(loss, list(wanted.values()))
        g = dict(zip(wanted, found, strict=True))
        values = {"z": z.tolist(), "h": h.tolist(), "y": y.item(), "loss": loss.item()}
        yield Case("backprop.forward", [p, act], values)
        gradients = {key: value.tolist() for key, value in g.items()}
        yield Case("backprop.backward", [p, act], gradients | {"slope": slope.tolist()})
        rate = rng.choice([0.01, 0.1, 0.5])
        optimizer = torch.optim.SGD([T[key] for key in PARAMETERS], lr=rate)
        for key in PARAMETERS:
            T[key].grad = g[key]
        optimizer.step()
        moved = {key: value.detach().round(decimals=6).tolist() for key, value in T.items()}
        yield Case("backprop.update", [p, act, rate], moved, 2e-6)
    assert relu_off > 30
