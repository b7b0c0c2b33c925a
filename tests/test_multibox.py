"""多框损失：与逐个锚框的循环、与 torchvision 的 SSD 对照；难负例的每条规则；小场景能学会。"""

import math
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.ssd import SSD as TorchvisionSSD

from d2lcore import fit, make_scenes
from d2lcore.anchors import AnchorTargets, anchor_targets, assign_anchors, generate_anchors
from d2lcore.data import CLASS_NAMES, ImageData
from d2lcore.detection import detect, mean_average_precision
from d2lcore.models.ssd import SSD
from d2lcore.multibox import MultiBoxLoss, hard_negatives, multibox_loss, predict
from d2lcore.stand_in import make_garments

ANCHORS = generate_anchors((4, 4), sizes=[0.3, 0.5], ratios=[1.0, 2.0, 0.5])  # 64 个


def random_labels(images: int, most: int, classes: int, *, empty: bool = False) -> Tensor:
    """每张 0（``empty``）或 1 到 ``most`` 个目标，其余的行用 -1 补齐。"""
    labels = torch.full((images, most, 5), -1.0)
    for rows in labels:
        number = int(torch.randint(0 if empty else 1, most + 1, ()))
        corners = torch.rand(number, 2) * 0.6
        sides = 0.2 + 0.2 * torch.rand(number, 2)
        rows[:number, 0] = torch.randint(classes, (number,)).float()
        rows[:number, 1:] = torch.cat([corners, corners + sides], dim=1)
    return labels


def slow_loss(
    scores: Tensor, offsets: Tensor, targets: AnchorTargets, ratio: int | None
) -> tuple[float, float]:
    """照文档逐张、逐个锚框地算，双精度。"""
    total_class = total_offset = 0.0
    number = 0
    for b in range(len(scores)):
        background, positives = [], 0
        for i in range(scores.shape[1]):
            row = scores[b, i].double()
            log_sum = math.log(sum(math.exp(value) for value in row.tolist()))
            if targets.mask[b, i]:
                positives += 1
                total_class += log_sum - float(row[targets.classes[b, i]])
                errors = (offsets[b, i].double() - targets.offsets[b, i].double()).abs().tolist()
                total_offset += sum(e * e / 2 if e < 1 else e - 0.5 for e in errors)
            else:
                background.append(log_sum - float(row[0]))
        number += max(positives, 1)
        background.sort(reverse=True)
        total_class += sum(background if ratio is None else background[: ratio * max(positives, 1)])
    return total_class / number, total_offset / number


# ---- 难负例挖掘 ----------------------------------------------------------------------------


def test_hard_negatives_of_the_worked_example() -> None:
    losses = torch.tensor([[0.5, 9.0, 0.1, 0.8, 0.3, 0.2, 0.05, 0.6]])
    mask = torch.tensor([[False, True, False, False, False, False, False, False]])
    assert hard_negatives(losses, mask).nonzero()[:, 1].tolist() == [0, 3, 7]
    assert hard_negatives(losses, mask, 1).nonzero()[:, 1].tolist() == [3]
    assert torch.equal(hard_negatives(losses, mask, None), ~mask)


def test_each_image_is_mined_by_itself() -> None:
    losses = torch.tensor([[5.0, 4.0, 3.0, 2.0], [0.4, 0.3, 0.2, 0.1]])
    mask = torch.tensor([[True, False, False, False], [False, False, False, True]])
    want = [[False, True, True, False], [True, True, False, False]]
    assert hard_negatives(losses, mask, 2).tolist() == want


def test_an_image_without_objects_counts_as_one() -> None:
    losses, mask = torch.tensor([[0.1, 0.4, 0.3, 0.2]]), torch.zeros(1, 4, dtype=torch.bool)
    assert hard_negatives(losses, mask, 2).tolist() == [[False, True, True, False]]


def test_all_are_taken_when_there_are_not_enough() -> None:
    losses, mask = torch.rand(1, 4), torch.tensor([[True, True, True, False]])
    assert hard_negatives(losses, mask, 3).tolist() == [[False, False, False, True]]
    assert not hard_negatives(losses, torch.ones(1, 4, dtype=torch.bool)).any()


def test_ties_go_to_the_lower_index() -> None:
    mask = torch.zeros(1, 500, dtype=torch.bool)
    mask[0, 7] = True
    assert hard_negatives(torch.ones(1, 500), mask).nonzero()[:, 1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("ratio", [0, -1, 1.5, True])
def test_bad_ratio(ratio) -> None:
    with pytest.raises(ValueError, match="ratio="):
        hard_negatives(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), ratio)


def test_bad_masks() -> None:
    with pytest.raises(TypeError, match="布尔"):
        hard_negatives(torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"\(1, 2\)、\(1, 3\)"):
        hard_negatives(torch.zeros(1, 2), torch.zeros(1, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"应都是 \(B, A\)"):
        hard_negatives(torch.zeros(2), torch.zeros(2, dtype=torch.bool))


# ---- 损失 ---------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), ratio=st.sampled_from([1, 3, None]), empty=st.booleans())
@settings(max_examples=25, deadline=None)
def test_loss_equals_the_slow_loop(seed: int, ratio: int | None, empty: bool) -> None:
    torch.manual_seed(seed)
    labels = random_labels(3, 3, 5, empty=empty)
    targets = anchor_targets(ANCHORS, labels)
    scores, offsets = 3 * torch.randn(3, 64, 6), 3 * torch.randn(3, 64, 4)
    parts = multibox_loss(scores, offsets, targets, negative_ratio=ratio)
    want = slow_loss(scores, offsets, targets, ratio)
    assert [part.item() for part in parts] == pytest.approx(want, rel=1e-5)
    loss = MultiBoxLoss(ANCHORS, negative_ratio=ratio, offset_weight=0.5)
    total = loss((scores, offsets), labels).item()
    assert total == pytest.approx(want[0] + 0.5 * want[1], rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_loss_equals_torchvisions(seed: int) -> None:
    """每张图像都有目标时，与 torchvision 的 SSD 的损失相同（那里一个目标也没有的图像不算）。"""
    torch.manual_seed(seed)
    labels = random_labels(4, 3, 5)
    targets = anchor_targets(ANCHORS, labels)
    scores, offsets = torch.randn(4, 64, 6), torch.randn(4, 64, 4)
    coder = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
    theirs = SimpleNamespace(box_coder=coder, neg_to_pos_ratio=3)
    rows = [
        {"boxes": one[one[:, 0] >= 0, 1:], "labels": one[one[:, 0] >= 0, 0].long() + 1}
        for one in labels
    ]
    matched = [assign_anchors(ANCHORS, row["boxes"]) for row in rows]
    want = TorchvisionSSD.compute_loss(
        cast(TorchvisionSSD, theirs),
        rows,
        {"bbox_regression": offsets, "cls_logits": scores},
        [ANCHORS] * 4,
        matched,
    )
    got = multibox_loss(scores, offsets, targets)
    assert torch.allclose(got.classes, want["classification"], rtol=1e-5)
    assert torch.allclose(got.offsets, want["bbox_regression"], rtol=1e-4)


def test_gradients_are_zero_where_nothing_was_asked() -> None:
    torch.manual_seed(0)
    targets = anchor_targets(ANCHORS, random_labels(2, 2, 5))
    scores = torch.randn(2, 64, 6, requires_grad=True)
    offsets = torch.randn(2, 64, 4, requires_grad=True)
    parts = multibox_loss(scores, offsets, targets)
    (parts.classes + parts.offsets).backward()
    losses = F.cross_entropy(scores.flatten(0, 1), targets.classes.flatten(), reduction="none")
    kept = targets.mask | hard_negatives(losses.reshape(2, 64), targets.mask)
    assert scores.grad is not None
    assert offsets.grad is not None
    assert torch.equal((scores.grad != 0).any(dim=2), kept)
    assert torch.equal((offsets.grad != 0).any(dim=2), targets.mask)
    assert 0 < int(kept.sum()) < kept.numel()


def test_images_without_objects() -> None:
    """全空的一批：每张各取最难的三个背景，除以张数；偏移的损失是 0；梯度有限。"""
    torch.manual_seed(0)
    labels = torch.full((2, 1, 5), -1.0)
    scores = torch.randn(2, 64, 6, requires_grad=True)
    offsets = torch.randn(2, 64, 4, requires_grad=True)
    parts = multibox_loss(scores, offsets, anchor_targets(ANCHORS, labels))
    background = -scores.log_softmax(dim=2)[..., 0]
    assert torch.allclose(parts.classes, background.topk(3, dim=1).values.sum() / 2)
    assert parts.offsets.item() == 0
    (parts.classes + parts.offsets).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    no_boxes = MultiBoxLoss(ANCHORS)((scores, offsets), torch.zeros(2, 0, 5))
    assert torch.allclose(no_boxes, parts.classes)


def test_all_anchors_positive() -> None:
    targets = AnchorTargets(
        torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 2, dtype=torch.long)
    )
    parts = multibox_loss(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4), targets)
    assert parts.classes.item() == pytest.approx(math.log(3))
    assert parts.offsets.item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    targets = anchor_targets(ANCHORS, random_labels(2, 3, 5))
    scores, offsets = torch.randn(2, 64, 6).to(dtype), (2000 * torch.randn(2, 64, 4)).to(dtype)
    got = multibox_loss(scores, offsets, targets)
    want = multibox_loss(scores.float(), offsets.float(), targets)
    assert got.classes.dtype == got.offsets.dtype == torch.float32
    assert torch.equal(got.classes, want.classes)
    assert torch.equal(got.offsets, want.offsets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = multibox_loss(scores, offsets, targets)
    assert torch.allclose(inside.classes, want.classes)
    double = multibox_loss(scores.double(), offsets.double(), targets)
    assert double.classes.dtype == double.offsets.dtype == torch.float64


def test_bad_shapes_and_labels() -> None:
    targets = anchor_targets(ANCHORS, random_labels(2, 2, 5))
    good = torch.zeros(2, 64, 6), torch.zeros(2, 64, 4)
    for scores, offsets in [
        (torch.zeros(2, 64), good[1]),
        (torch.zeros(2, 64, 1), good[1]),
        (torch.zeros(2, 63, 6), torch.zeros(2, 63, 4)),
        (good[0], torch.zeros(2, 64, 5)),
        (good[0], torch.zeros(2, 60, 4)),
        (torch.zeros(0, 64, 6), torch.zeros(0, 64, 4)),
    ]:
        with pytest.raises(ValueError, match="得分、偏移的形状是"):
            multibox_loss(scores, offsets, targets)
    with pytest.raises(ValueError, match="得分、偏移的形状是"):
        multibox_loss(*good, targets._replace(offsets=torch.zeros(2, 64, 3)))
    nothing = AnchorTargets(*(part[:0] for part in targets))
    with pytest.raises(ValueError, match="B 不小于 1"):
        multibox_loss(good[0][:0], good[1][:0], nothing)
    late = torch.tensor([[[5.0, 0.1, 0.1, 0.6, 0.6]]])
    with pytest.raises(ValueError, match="第 5 类，而网络只给 5 类"):
        MultiBoxLoss(ANCHORS)((torch.zeros(1, 64, 6), torch.zeros(1, 64, 4)), late)
    with pytest.raises(TypeError, match="两个张量"):
        MultiBoxLoss(ANCHORS)(torch.zeros(1, 64, 6), late)  # type: ignore[arg-type]


def test_no_anchors_at_all() -> None:
    """A = 0 没有意义，但不该出怪错：损失是 0。"""
    targets = AnchorTargets(
        torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.bool), torch.zeros(1, 0).long()
    )
    parts = multibox_loss(torch.zeros(1, 0, 3), torch.zeros(1, 0, 4), targets)
    assert parts.classes.item() == parts.offsets.item() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchors": torch.zeros(3, 5)}, r"\(3, 5\)"),
        ({"negative_ratio": 0}, "negative_ratio=0"),
        ({"offset_weight": -1.0}, "offset_weight=-1"),
        ({"offset_weight": math.nan}, "offset_weight=nan"),
    ],
)
def test_bad_loss_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiBoxLoss(**{"anchors": ANCHORS, **options})


def test_iou_threshold_is_used() -> None:
    labels = torch.tensor([[[0.0, 0.1, 0.1, 0.5, 0.5]]])
    outputs = torch.zeros(1, 64, 3), torch.ones(1, 64, 4)
    targets = anchor_targets(ANCHORS, labels, iou_threshold=0.3)
    want = sum(multibox_loss(*outputs, targets))
    assert MultiBoxLoss(ANCHORS, iou_threshold=0.3)(outputs, labels) == want
    assert MultiBoxLoss(ANCHORS)(outputs, labels) != want


# ---- 训练与预测 ----------------------------------------------------------------------------


def test_two_scenes_are_learned_by_heart() -> None:
    torch.manual_seed(0)
    garments = ImageData(*make_garments(200, seed=0), CLASS_NAMES, "仿真服饰")
    scenes = make_scenes(garments, 2, size=48, max_objects=2, scale=(0.4, 0.6), seed=0)
    net = SSD(image_size=48, channels=(8, 16), extra=(16,), sizes=[(0.25, 0.35), (0.45, 0.6)])
    batches = scenes.batches(2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    history = fit(
        net, batches, epochs=60, optimizer=optimizer, loss=MultiBoxLoss(net.anchors), log=False
    )
    assert history[-1].train_loss < history[0].train_loss / 20
    found = predict(net, batches)
    score = mean_average_precision(found, scenes.labels, num_classes=10, iou_thresholds=(0.75,))
    assert score.mean > 0.99


def test_predict_is_detect_in_eval_mode_in_order() -> None:
    torch.manual_seed(0)
    net = SSD(num_classes=3)
    net.stages[1].eval()  # 有人单独冻结了一块：用完要原样恢复
    before = [module.training for module in net.modules()]
    X, y = torch.rand(5, 1, 96, 96), torch.full((5, 1, 5), -1.0)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    recorded = []
    hook = net.register_forward_hook(lambda _, __, outputs: recorded.append(outputs[0].grad_fn))
    found = predict(net, [(X[:3], y[:3]), (X[3:], y[3:])], score_threshold=0.2, max_detections=4)
    hook.remove()
    assert recorded == [None, None]  # 没有记计算图
    assert [module.training for module in net.modules()] == before
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    net.eval()
    with torch.no_grad():
        scores, offsets = net(X)
        want = detect(
            scores.softmax(dim=2), offsets, net.anchors, score_threshold=0.2, max_detections=4
        )
    assert len(found) == 5
    for one, other in zip(found, want, strict=True):
        assert torch.allclose(one.boxes, other.boxes, atol=1e-5)
        assert torch.equal(one.labels, other.labels)


def test_predict_needs_a_net_with_anchors() -> None:
    with pytest.raises(TypeError, match="Linear 没有张量 anchors"):
        predict(torch.nn.Linear(2, 2), [])
