"""精度与混淆矩阵：手算例子与逐个数数的对照。"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lcore.metrics import accuracy, confusion_matrix


def test_accuracy_of_the_worked_example() -> None:
    y_hat = torch.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
    assert accuracy(y_hat, torch.tensor([0, 2])) == 0.5


@pytest.mark.parametrize(
    ("output", "labels"), [((3, 1), (3, 1)), ((3,), (3,)), ((3, 2), (2,)), ((2, 3, 4), (2,))]
)
def test_accuracy_refuses_shapes_that_would_broadcast(
    output: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="形状"):
        accuracy(torch.zeros(output), torch.zeros(labels, dtype=torch.long))


def test_accuracy_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="空的"):
        accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_confusion_matrix_equals_counting_one_by_one(pairs: list[tuple[int, int]]) -> None:
    labels = torch.tensor([a for a, _ in pairs], dtype=torch.long)
    predictions = torch.tensor([b for _, b in pairs], dtype=torch.long)
    matrix = confusion_matrix(predictions, labels, 4)
    for i in range(4):
        for j in range(4):
            assert matrix[i, j] == pairs.count((i, j))


def test_confusion_matrix_refuses_unknown_classes() -> None:
    with pytest.raises(ValueError, match="标签里有 0 到 4"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 4]), 4)
    with pytest.raises(ValueError, match="形状"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor([0]), 4)
