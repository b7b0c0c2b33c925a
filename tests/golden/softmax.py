"""softmax 与交叉熵的算例。"""

import random
from collections.abc import Iterator

import torch
from torch.nn import functional as F

from tools.golden import Case


def cases(rng: random.Random) -> Iterator[Case]:
    """各函数各 150 组随机的得分，另有会溢出的。"""
    for k in range(150):
        spread = [1, 5, 40, 120][k % 4]  # 大的会使 float32 的指数溢出
        z = [round(rng.uniform(-spread, spread), 3) for _ in range(rng.randint(2, 5))]
        y = rng.randrange(len(z))
        scores = torch.tensor(z, dtype=torch.float64, requires_grad=True)
        loss = F.cross_entropy(scores[None], torch.tensor([y]))
        (gradient,) = torch.autograd.grad(loss, scores)
        yield Case("softmax.softmax", [z], scores.softmax(0).tolist())
        yield Case("softmax.crossEntropy", [z, y], loss.item())
        yield Case("softmax.gradient", [z, y], gradient.tolist())
        single = torch.tensor(z)  # float32
        powers = single.exp()
        p = powers / powers.sum()
        answer = {
            "powers": powers.tolist(),
            "total": powers.sum().item(),
            "p": p.tolist(),
            "loss": -p[y].log().item(),
        }
        yield Case("softmax.naive32", [z, y], answer, 1e-4)
