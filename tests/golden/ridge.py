"""多项式岭回归的算例：不中心化、偏置不罚的最小二乘，用 PyTorch 的双精度解。"""

import math
import random
from collections.abc import Iterator

import torch
from torch import Tensor

from tools.golden import Case

M = 2**31 - 1


def cases(rng: random.Random) -> Iterator[Case]:
    """λ 从 1e-8 到 10，每四个有一个恰好是 0；系数多于数据而 λ 是 0 时没有唯一解。"""
    for k in range(150):
        n = rng.randint(2, 12)
        lam = 0.0 if k % 4 == 0 else float(f"{10 ** rng.uniform(-8, 1):.3g}")
        d = rng.randint(0, min(8, n - 1) if lam == 0 else 12)
        # λ 是 0 时 x 等距，方程才不病态
        x = [round(2 * i / (n - 1) - 1, 3) for i in range(n)]
        if lam:
            x = [round(rng.uniform(-1, 1), 2) for _ in x]
        y = [round(rng.uniform(-2, 2), 2) for _ in x]
        b, *w = solve(x, y, d, lam).tolist()
        model = {"b": b, "w": w}
        yield Case("ridge.fit", [x, y, d, lam], model)
        X, t = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
        b, *w = [float(f"{v:.6g}") for v in (b, *w)]
        values = powers(X, d) @ torch.tensor([b, *w], dtype=torch.float64)
        model = {"b": b, "w": w}
        yield Case("ridge.predict", [model, x], values.tolist())
        yield Case("ridge.mse", [model, x, y], ((values - t) ** 2).mean().item())
    for n in range(1, 11):
        x = [round(rng.uniform(-1, 1), 2) for _ in range(n)]
        yield Case("ridge.fit", [x, x, rng.randint(n, 12), 0], None)
    for seed in range(1, 51):
        x = [round(rng.uniform(-1, 1), 2) for _ in range(12)]
        yield Case("ridge.sample", [x, seed], sample(x, seed))


def powers(x: Tensor, d: int) -> Tensor:
    """(n, d+1)：从 0 次到 d 次。"""
    return x[:, None] ** torch.arange(d + 1)


def solve(x: list[float], y: list[float], d: int, lam: float) -> Tensor:
    """偏置与各个系数：λ/2·‖w‖² 写成 d 行多出来的数据。"""
    X, t = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    extra = torch.eye(d + 1, dtype=torch.float64)[1:] * lam**0.5
    A = torch.cat([powers(X, d) / len(x) ** 0.5, extra])
    target = torch.cat([t / len(x) ** 0.5, torch.zeros(d, dtype=torch.float64)])
    return torch.linalg.lstsq(A, target[:, None], driver="gelsd").solution[:, 0]


def sample(x: list[float], seed: int) -> list[float]:
    """sin(πx) 加上线性同余造的噪声。"""
    state = (seed * 987654 + 1) % M
    made = []
    for v in x:
        noise = 0.0
        for _ in range(6):
            state = state * 16807 % M
            noise = noise + state / M - 0.5
        made.append(round(math.sin(math.pi * v) + 0.35 * noise, 2))
    return made
