"""训练配方：跑的就是课文里的单元，记录写得完整，课文一改就要重跑。"""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_book import TinyBook

import d2lcore
from benchmarks import recipes
from tools.book import load_book
from tools.notebooks import main as notebooks
from tools.recipes import read_recipes, read_records, records_path, stale_cells, stale_records

LESSON = """
(sec-first)=
# 第一课

```{code-cell}
:tags: [recipe]

# 规模——CPU：200 张、1 轮；GPU：相同
import torch
from torch import nn

from d2lcore import fashion_mnist_batches, fit, seed_everything

seed_everything(0)
first_number = torch.rand(()).item()
```

```{code-cell}
raise RuntimeError("没有标签的单元不该运行")
```

```{code-cell}
:tags: [recipe]

train, test = fashion_mnist_batches(50, limit=200)
net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
history = fit(net, train, test, epochs=1, lr=0.1, log=False)
```
"""


@pytest.fixture
def book(tiny: TinyBook, monkeypatch: pytest.MonkeyPatch) -> TinyBook:
    monkeypatch.setenv("D2LCORE_DATA", "stand-in")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    tiny.lesson(LESSON)
    return tiny


def run(book: TinyBook, *arguments: str) -> list[dict[str, Any]]:
    assert recipes.main(list(arguments), root=book.root) == 0
    return read_records(book.root)


def test_record_is_complete_and_repeatable(book: TinyBook) -> None:
    (record,) = run(book, "--seeds", "3", "one/first")
    assert record["lesson"] == "one/first"
    assert (record["images"], record["size"], record["epochs"]) == (200, 28, 1)
    assert (record["batch_size"], record["parameters"]) == (50, 7850)
    assert "仿真服饰" in record["data"]
    assert record["command"] == "python -m benchmarks.recipes --seeds 3 one/first"
    assert [r["seed"] for r in record["runs"]] == [0, 1, 2]
    losses = [r["train_loss"] for r in record["runs"]]
    assert len(set(losses)) == 3  # 种子真的换了
    records_path(book.root).unlink()
    (again,) = run(book, "--seeds", "3", "one/first")
    assert [r["train_loss"] for r in again["runs"]] == losses


def test_time_is_measured_separately(book: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    assert recipes.main(["--time"], root=book.root) == 1
    assert "--seeds" in capsys.readouterr().err
    (before,) = run(book, "--seeds", "1")
    assert "seconds" not in before
    (after,) = run(book, "--time")
    assert after["seconds"] > 0
    assert after["threads"] >= 1
    assert after["runs"] == before["runs"]


def test_seeds_are_put_back(book: TinyBook) -> None:
    original = d2lcore.seed_everything
    run(book, "--seeds", "1")
    assert d2lcore.seed_everything is original


def test_each_finished_seed_is_kept(book: TinyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    real = recipes.run_once

    def fails_at_two(recipe: Any, seed: int) -> dict[str, Any]:
        if seed == 2:
            raise KeyboardInterrupt
        return real(recipe, seed)

    monkeypatch.setattr(recipes, "run_once", fails_at_two)
    with pytest.raises(KeyboardInterrupt):
        recipes.main(["--seeds", "3"], root=book.root)
    (record,) = read_records(book.root)
    assert [r["seed"] for r in record["runs"]] == [0, 1]
    started: list[int] = []
    monkeypatch.setattr(recipes, "run_once", lambda r, s: started.append(s) or real(r, s))
    (record,) = run(book, "--seeds", "3")
    assert started == [2]  # 接着跑，不重跑
    assert [r["seed"] for r in record["runs"]] == [0, 1, 2]
    book.lesson(LESSON.replace("lr=0.1", "lr=0.2"))
    (record,) = run(book, "--seeds", "1")
    assert [r["seed"] for r in record["runs"]] == [0]  # 配方变了，旧的不算


def test_records_of_other_lessons_and_devices_stay(book: TinyBook) -> None:
    others = [
        {"lesson": "one/first", "device": "cuda", "recipe": ""},
        {"lesson": "zoo", "device": "cpu", "recipe": ""},
    ]
    records_path(book.root).parent.mkdir(parents=True)
    records_path(book.root).write_text(json.dumps(others), encoding="utf-8")
    records = run(book, "--seeds", "1")
    assert [(r["lesson"], r["device"]) for r in records] == [
        ("one/first", "cpu"), ("one/first", "cuda"), ("zoo", "cpu"),
    ]  # fmt: skip


def test_changed_recipe_makes_the_record_stale(
    book: TinyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    run(book, "--seeds", "1")
    assert stale_records(book.book) == []
    book.lesson(LESSON.replace("raise RuntimeError", "raise ValueError"))
    assert stale_records(book.book) == []  # 不在配方里的单元不算
    book.lesson(LESSON.replace("lr=0.1", "lr=0.2"))
    (problem,) = stale_records(book.book)
    assert "one/first" in problem
    assert "python -m benchmarks.recipes" in problem
    assert notebooks(["--root", str(book.root), "check"]) == 1
    assert problem in capsys.readouterr().err


def test_incomplete_recipe_is_explained(book: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    book.lesson(LESSON.replace("history = fit", "record = fit"))
    assert recipes.main(["--seeds", "1"], root=book.root) == 1
    assert "没有变量 history" in capsys.readouterr().err


def test_lesson_without_recipe(book: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    assert [r.lesson for r in read_recipes(book.book, list(book.book.lessons))] == ["one/first"]
    with pytest.raises(SystemExit):
        recipes.main(["one/second"], root=book.root)
    assert "one/second" in capsys.readouterr().err


def test_broken_records_are_explained(book: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    records_path(book.root).parent.mkdir(parents=True)
    records_path(book.root).write_text("[", encoding="utf-8")
    assert recipes.main(["--seeds", "1"], root=book.root) == 1
    assert Path("recipes.json").name in capsys.readouterr().err


def test_notebook_points_to_the_page(tiny: TinyBook, convert: Any) -> None:
    text = convert("# 第一课\n\n```{recipes} one/first\n```\n")
    assert "https://someone.github.io/somebook/book/one/first.html" in text


def test_generated_cell_must_match_the_record(
    book: TinyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    run(book, "--seeds", "2", "one/first")
    published = book.root / "book" / "_data" / "published.yml"
    published.write_text("- {lesson: one/first, low: 0.1, median: 0.8, high: 0.9}\n", "utf-8")
    capsys.readouterr()
    assert recipes.main(["--cell"], root=book.root) == 0
    cell = capsys.readouterr().out.rstrip("\n")
    names: dict[str, Any] = {}
    exec(cell, names)
    (record,) = read_records(book.root)
    accuracies = [r["test_accuracy"] for r in record["runs"]]
    assert names["recorded"] == {"first": accuracies}
    assert names["published"] == {"first": (0.1, 0.8, 0.9)}
    tagged = f"\n```{{code-cell}}\n:tags: [recorded]\n\n{cell}\n```\n"
    book.lesson(LESSON + tagged)
    assert stale_cells(load_book(book.root)) == []
    book.lesson(LESSON + tagged.replace("(0.1000", "(0.2000"))
    assert ["--cell" in problem for problem in stale_cells(load_book(book.root))] == [True]
