"""设备的选择与报错。"""

import pytest
import torch

from d2lcore.devices import by_device, pick_device, synchronize


def test_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    synchronize(torch.device("cpu"))


def test_automatic_choice_prefers_cuda_then_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device().type == "cpu"
    assert by_device(cpu="小", gpu="大") == "小"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device().type == "cuda"
    assert by_device(cpu="小", gpu="大") == "大"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", 3.5])
def test_unknown_names_are_explained(name: object) -> None:
    with pytest.raises(ValueError, match="不认识设备"):
        pick_device(name)  # type: ignore[arg-type]


def test_missing_devices_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="只找到 1 块"):
        pick_device("cuda:1")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="mps"):
        pick_device("mps")
    with pytest.raises(ValueError, match="不支持 meta"):
        pick_device("meta")
