"""互相关、数学卷积、汇聚与它们的反向的算例。"""

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.nn import functional as F

from tools.golden import Case

Grid = list[list[float]]


def cases(rng: random.Random) -> Iterator[Case]:
    """四种做法、各种步幅与填充；一半的输入是小整数，最大值常有并列。"""
    for k in range(170):
        mode = ["corr", "conv", "max", "avg"][k % 4]
        learns = mode in ("corr", "conv")
        options = {
            "mode": mode,
            "k": 3 if learns else rng.choice([2, 3]),
            "stride": rng.choice([1, 2]),
            "pad": rng.choice([0, 1]) if learns else 0,
        }
        X = grid(rng, 6, whole=k % 8 < 4)
        K = grid(rng, 3, whole=k % 3 == 0)
        x, w = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (X, K))
        y = forward(x, w, options)
        G = grid(rng, len(y), whole=k % 2 == 0)
        dx, dw = torch.autograd.grad(
            y, (x, w), torch.tensor(G, dtype=torch.float64), allow_unused=True
        )
        answer = {"dX": dx.tolist(), "dW": dw.tolist() if learns else None}
        yield Case("conv.forward", [X, K, options], y.tolist())
        yield Case("conv.backward", [X, K, options, G], answer)
        if k % 4 == 1:
            yield Case("conv.flip", [K], w.detach().flip(0, 1).tolist())
        if k % 4 != 1:
            yield sources(rng, X, K, options, G)
        # 写出来的各项：窗口里的输入（填充处是 0）
        i = rng.randrange(len(y))
        j = rng.randrange(len(y))
        window = F.pad(x, (options["pad"],) * 4)
        top, left = i * options["stride"], j * options["stride"]
        window = window[top : top + options["k"], left : left + options["k"]]
        yield Case(
            "conv.terms", [X, K, options, i, j], [{"x": v} for v in window.flatten().tolist()]
        )


def sources(rng: random.Random, X: Grid, K: Grid, options: dict[str, Any], G: Grid) -> Case:
    """盖住输入 (r, c) 的各个窗口，与那里的输出对它的导数。"""
    w = torch.tensor(K, dtype=torch.float64)
    local = jacobian(lambda x: forward(x, w, options), torch.tensor(X, dtype=torch.float64))
    r, c, k = rng.randrange(6), rng.randrange(6), options["k"]
    start = [t * options["stride"] - options["pad"] for t in range(len(G))]
    found = [
        {"i": i, "j": j, "g": G[i][j], "w": local[i, j, r, c].item()}
        for i, j in product(range(len(G)), repeat=2)
        if 0 <= r - start[i] < k and 0 <= c - start[j] < k
    ]
    return Case("conv.sources", [X, K, options, G, r, c], found)


def forward(x: Tensor, w: Tensor, options: dict[str, Any]) -> Tensor:
    """PyTorch 的做法。"""
    picture, stride = x[None, None], options["stride"]
    if options["mode"] == "max":
        return F.max_pool2d(picture, options["k"], stride)[0, 0]
    if options["mode"] == "avg":
        return F.avg_pool2d(picture, options["k"], stride)[0, 0]
    kernel = w.flip(0, 1) if options["mode"] == "conv" else w
    return F.conv2d(picture, kernel[None, None], stride=stride, padding=options["pad"])[0, 0]


def grid(rng: random.Random, n: int, *, whole: bool) -> Grid:
    """n×n 个数；whole 时是小整数。"""
    return [
        [rng.randint(-3, 3) if whole else round(rng.uniform(-5, 5), 2) for _ in range(n)]
        for _ in range(n)
    ]
