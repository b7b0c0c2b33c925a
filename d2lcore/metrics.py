"""度量：分类精度与混淆矩阵。"""

import torch
from torch import Tensor


def accuracy(y_hat: Tensor, y: Tensor) -> float:
    """分类精度：预测对的样本所占的比例，在 [0, 1] 之间。

    Args:
        y_hat: 形状 (批量大小, 类别数)，每行是各类别的得分或概率；取得分最大的类别作为预测。
        y: 形状 (批量大小,)，整数类别。

    Raises:
        ValueError: 形状不合，或批量为空。

    Examples:
        >>> y_hat = torch.tensor([[3.0, 1.0], [0.2, 0.9], [2.0, 5.0], [4.0, 0.0]])
        >>> accuracy(y_hat, torch.tensor([0, 1, 1, 1]))  # 四个里对了三个
        0.75
    """
    if y_hat.ndim != 2 or y.shape != y_hat.shape[:1]:
        raise ValueError(
            f"预测的形状是 {tuple(y_hat.shape)}，标签的形状是 {tuple(y.shape)}；"
            "应分别是 (批量大小, 类别数) 与 (批量大小,)。"
        )
    if len(y) == 0:
        raise ValueError("批量是空的，精度没有定义；请检查数据是否读进来了。")
    return (y_hat.argmax(dim=1) == y).float().mean().item()


def confusion_matrix(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """混淆矩阵：第 i 行第 j 列是"真实类别为 i、预测为 j"的样本数。

    Args:
        predictions: 形状 (N,)，预测的类别，整数。
        labels: 形状 (N,)，真实的类别，整数。
        num_classes: 类别数。

    Returns:
        形状 (num_classes, num_classes) 的 int64 张量；每行的和是该类的样本数，对角线是预测对的数。

    Raises:
        ValueError: 形状不同，或有类别不在 0 到 num_classes-1 之间。

    Examples:
        >>> predictions, labels = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2])
        >>> confusion_matrix(predictions, labels, num_classes=3)  # 有一个第 2 类被认成第 1 类
        tensor([[1, 0, 0],
                [0, 1, 0],
                [0, 1, 1]])
    """
    if predictions.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"预测的形状是 {tuple(predictions.shape)}，标签的形状是 {tuple(labels.shape)}；"
            "两者都应是 (N,)。"
        )
    for name, classes in (("预测", predictions), ("标签", labels)):
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
            raise ValueError(
                f"{name}里有 {int(classes.min())} 到 {int(classes.max())} 的类别，"
                f"应都在 0 到 {num_classes - 1} 之间。"
            )
    cells = labels.long() * num_classes + predictions.long()
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
