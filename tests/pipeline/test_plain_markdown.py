"""MyST → 普通 Markdown：词汇表里的每一种写法，以及看不懂时报的错。"""

from collections.abc import Callable

import pytest
from tiny_book import FRONT, TinyBook

from tools.book import BookError
from tools.leaks import find_leaks
from tools.twin import build_twin, code_cells

Convert = Callable[[str], str]
SITE = "https://someone.github.io/somebook/book"
RAW = "https://raw.githubusercontent.com/someone/somebook/main/book"
EXERCISE = "```{exercise}\n:label: ex-a\n\n题。\n```\n\n"
SOLUTION = "```{solution} ex-a\n解。\n```\n"


def test_ordinary_markdown_is_untouched(convert: Convert) -> None:
    text = (
        "# 第一课\n\n## 小节\n\n- 甲 **重**\n  - 乙 `{ref}` 与 $a_{b}$\n\n> 引文\n\n"
        "1. 一\n2. 二\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"
        "```python\n# :label: x\n(t)=\n{eq}`x`\n```\n\n$$\ny = x\n$$\n\n---\n\n[外](https://a.cn/b.md)"
    )
    assert convert(text) == text


def test_targets_and_comments_vanish(convert: Convert) -> None:
    assert convert("(sec-a)=\n# 第一课\n\n% 给作者的话\n正文") == "# 第一课\n\n正文"


@pytest.mark.parametrize("fence", ["```", ":::"])
@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("note", "备注"),
        ("tip", "小技巧"),
        ("important", "重要"),
        ("warning", "警告"),
        ("hint", "提示"),
    ],
)
def test_admonitions_become_quotes(convert: Convert, fence: str, name: str, title: str) -> None:
    result = convert(f"# 第一课\n\n{fence}{{{name}}}\n甲 $x$\n\n乙\n{fence}\n")
    assert result == f"# 第一课\n\n> **{title}**\n>\n> 甲 $x$\n>\n> 乙"


def test_titled_admonition_with_nested_code_and_table(convert: Convert) -> None:
    result = convert(
        "# 第一课\n\n::::{admonition} 直觉 $y$\n:class: tip\n\n```python\nx = 1\n```\n\n"
        ":::{note}\n| a |\n| --- |\n| 1 |\n:::\n::::\n"
    )
    assert result == (
        "# 第一课\n\n> **直觉 $y$**\n>\n> ```python\n> x = 1\n> ```\n>\n"
        "> > **备注**\n> >\n> > | a |\n> > | --- |\n> > | 1 |"
    )


@pytest.mark.parametrize(
    "opening", ["```{admonition} 展开看\n:class: dropdown", "```{dropdown} 展开看"]
)
def test_dropdowns_become_details(convert: Convert, opening: str) -> None:
    result = convert(f"# 第一课\n\n{opening}\n\n**甲**\n```\n")
    assert result == ("# 第一课\n\n<details>\n<summary>展开看</summary>\n\n**甲**\n\n</details>")


def test_blank_lines_are_added_around_a_block(convert: Convert) -> None:
    assert convert("# 第一课\n前\n```{note}\n中\n```\n后") == (
        "# 第一课\n前\n\n> **备注**\n>\n> 中\n\n后"
    )


def test_directive_inside_a_list_keeps_the_indent(convert: Convert) -> None:
    result = convert("# 第一课\n\n- 甲\n\n  ```{note}\n  乙\n  ```\n- 丙\n")
    assert result == "# 第一课\n\n- 甲\n\n  > **备注**\n  >\n  > 乙\n\n- 丙"


def test_equations_are_numbered_and_referenced(convert: Convert) -> None:
    result = convert(
        "# 第一课\n\n```{math}\n:label: eq-a\nx\n```\n\n$$\ny\n$$\n\n$$\nz\n$$ (eq-b)\n\n"
        "见 {eq}`eq-a`、{eq}`eq-b`、{eq}`式 <eq-second>`。\n"
    )
    assert "$$\nx \\tag{1.1.1}\n$$" in result
    assert "$$\ny\n$$" in result
    assert "$$\nz \\tag{1.1.2}\n$$" in result
    assert (
        f"见 [(1.1.1)]({SITE}/one/first.html#equation-eq-a)、"
        f"[(1.1.2)]({SITE}/one/first.html#equation-eq-b)、"
        f"[式]({SITE}/one/second.html#equation-eq-second)。"
    ) in result


def test_multiline_equation_is_aligned(convert: Convert) -> None:
    result = convert("# 第一课\n\n```{math}\na &= b \\\\\n&= c\n```\n")
    assert "$$\n\\begin{aligned}\na &= b \\\\\n&= c\n\\end{aligned}\n$$" in result


def test_figure_has_number_caption_and_raw_url(convert: Convert) -> None:
    result = convert(
        "# 第一课\n\n```{figure} pixel.png\n:name: fig-a\n:alt: 点\n\n见 {eq}`eq-second`\n```\n\n"
        "```{figure} /book/one/plot.svg\n:alt: 线\n:width: 300px\n\n无名\n```\n\n"
        "{numref}`fig-a`、{numref}`上图 %s <fig-a>`、{numref}`fig-second`、{ref}`fig-a`\n"
    )
    assert f"![点]({RAW}/one/pixel.png)\n\n**图 1.1.1**　见 [(1.2.1)]" in result
    assert f'<img src="{RAW}/one/plot.svg?sanitize=true" alt="线" width="300">' in result
    assert "**图 1.1.2**　无名" in result
    url = f"({SITE}/one/first.html#fig-a)"
    assert f"[图 1.1.1]{url}、[上图 1.1.1]{url}、[图 1.2.1]" in result


def test_code_figure_gets_its_caption_cell(convert: Convert) -> None:
    result = convert(
        "# 第一课\n\n```{code-cell} ipython3\n---\nmystnb:\n  figure:\n    name: fig-plot\n"
        "    caption: 曲线 $f$\n  image:\n    alt: 一条线\n---\nplot()\n```\n\n"
        "见 {numref}`fig-plot`\n"
    )
    assert "**图 1.1.1**　曲线 $f$" in result
    assert f"见 [图 1.1.1]({SITE}/one/first.html#fig-plot)" in result


def test_tables_have_numbers_and_captions(convert: Convert) -> None:
    result = convert(
        "# 第一课\n\n```{list-table} 超参数\n:header-rows: 1\n:name: tbl-a\n\n"
        "* - 名称\n  - 值\n* - $|x|$ 与 a|b\n  - 见 {eq}`eq-second`\n```\n\n"
        "```{table} 第二张\n:name: tbl-b\n\n| a |\n| --- |\n| {numref}`tbl-a` |\n```\n"
    )
    assert (
        "**表 1.1.1**　超参数\n\n| 名称 | 值 |\n| --- | --- |\n"
        "| $\\vert x\\vert $ 与 a\\|b | 见 [(1.2.1)]"
    ) in result
    assert "**表 1.1.2**　第二张\n\n| a |\n| --- |\n| [表 1.1.1](" in result


def test_list_table_without_header_gets_an_empty_one(convert: Convert) -> None:
    result = convert("# 第一课\n\n```{list-table}\n* - 甲\n  - 乙\n```\n")
    assert result.endswith("|  |  |\n| --- | --- |\n| 甲 | 乙 |")


def test_exercise_and_solution(convert: Convert) -> None:
    result = convert(
        "# 第一课\n\n```{exercise} 手算\n:label: ex-a\n\n题。\n```\n\n"
        "````{solution} ex-a\n:class: dropdown\n\n```python\n1\n```\n````\n\n"
        "{ref}`ex-a` [](#ex-a) {ref}`ex-second`\n"
    )
    assert "**练习 1.1.1（手算）**\n\n题。" in result
    assert (
        "<details>\n<summary>练习 1.1.1 的解答</summary>\n\n```python\n1\n```\n\n</details>"
    ) in result
    url = f"({SITE}/one/first.html#ex-a)"
    assert f"[练习 1.1.1]{url} [练习 1.1.1]{url} [练习 1.2.1](" in result


def test_gated_solution_spans_code_cells(convert: Convert) -> None:
    result = convert(
        f"# 第一课\n\n{EXERCISE}```{{solution-start}} ex-a\n:class: dropdown\n```\n\n先看代码\n\n"
        "```{code-cell} ipython3\n1\n```\n\n所以是一。\n\n```{solution-end}\n```\n"
    )
    assert "**练习 1.1.1 的解答**\n\n先看代码" in result
    assert result.endswith("所以是一。\n\n---")


def test_links_become_absolute(convert: Convert) -> None:
    result = convert(
        "(sec-a)=\n# 第一课\n\n[乙](second.md) [](second.md) [丙](#sec-second) [](#sec-a) "
        "{doc}`second` {doc}`章 </book/one/index>` {ref}`sec-second` {ref}`那里 <sec-second>` "
        "![点](pixel.png)\n"
    )
    second, first = f"({SITE}/one/second.html)", f"({SITE}/one/first.html#sec-a)"
    section = f"({SITE}/one/second.html#sec-second)"
    assert result.splitlines()[-1] == (
        f"[乙]{second} [第二课]{second} [丙]{section} [第一课]{first} "
        f"[第二课]{second} [章]({SITE}/one/index.html) [第二课]{section} [那里]{section} "
        f"![点]({RAW}/one/pixel.png)"
    )


def test_link_inside_emphasis_and_nested_role(convert: Convert) -> None:
    result = convert(
        "# 第一课\n\n**见 [甲 {eq}`eq-second`](second.md)，{term}`轮 <轮>`** `{term}`\n"
    )
    assert result.splitlines()[-1] == (
        f"**见 [甲 [(1.2.1)]({SITE}/one/second.html#equation-eq-second)]"
        f"({SITE}/one/second.html)，轮** `{{term}}`"
    )


def test_roles_in_wrapped_paragraphs_lists_and_quotes(convert: Convert) -> None:
    result = convert("# 第一课\n\n> 甲 {term}`乙`\n> 丙 {term}`丁`\n\n- 一\n  二 {term}`三`\n")
    assert result == "# 第一课\n\n> 甲 乙\n> 丙 丁\n\n- 一\n  二 三"


def test_citations(convert: Convert) -> None:
    url = f"({SITE}/references.html)"
    result = convert(
        "# 第一课\n\n{cite}`lecun1998` {cite:p}`two2020,bishop2006` {cite:t}`lecun1998`\n"
    )
    assert result.splitlines()[-1] == (
        f"[[LeCun 等 1998]{url}] [[Li 与 Wang 2020]{url}；[Bishop 2006]{url}] "
        f"[LeCun 等（1998）]{url}"
    )


def test_latex_accents_in_names(convert: Convert) -> None:
    assert "[Soulié（1990）](" in convert("# 第一课\n\n{cite:t}`soulie1990`\n")


def test_errata_box(convert: Convert) -> None:
    result = convert("# 第一课\n\n```{errata} softmax-sum\n```\n")
    assert (
        "> **勘误：笔记 000 · 第 3 节**\n>\n> **原文**：和为 $n$\n>\n"
        "> **为什么不对**：应按类别求和，见 [(1.2.1)]"
        f"({SITE}/one/second.html#equation-eq-second)。\n>\n"
        "> **正确的说法**：和为 $q$"
    ) in result


def test_code_is_never_touched(convert: Convert, tiny: TinyBook) -> None:
    convert(
        '# 第一课\n\n```{code-cell} ipython3\n:tags: [hide-input]\n\ns = "{eq}`x` (a)= :::"\n```\n'
    )
    cell = code_cells(build_twin(tiny.shop, tiny.first))[1]
    assert cell.source == 's = "{eq}`x` (a)= :::"'
    assert cell.metadata == {"tags": ["hide-input"]}


# 每个错误都要带上文件与行号；正文从 front matter 之后的第 8 行开始
FIRST_LINE = FRONT.count("\n") + 1


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("```{plot}\n```\n", 3, "不认识这条指令"),
        ("```{note}\n:name: a\n\nx\n```\n", 3, "不认识选项 :name:"),
        ("```{note} 同一行\nx\n```\n", 3, "从下一行写起"),
        ("甲 {kbd}`x`\n", 3, "不认识角色 {kbd}"),
        ("甲\n乙 {eq}`nowhere`\n", 4, "没有标签 nowhere"),
        ("{eq}`sec-second`\n", 3, "不能这样引用"),
        ("{numref}`sec-second`\n", 3, "不能这样引用"),
        ("{ref}`eq-second`\n", 3, "请用 {eq}"),
        ("[甲](#nowhere)\n", 3, "没有标签 nowhere"),
        ("[甲](nowhere.md)\n", 3, "目录里没有 book/one/nowhere"),
        ("[甲](second.md#sec-second)\n", 3, r"写成 \[文字\]\(#sec-second\)"),
        ("甲 $$x$$\n", 3, r"行内的 \$\$"),
        ("[甲](data.csv)\n", 3, "不是网址"),
        ("{doc}`nowhere`\n", 3, "目录里没有"),
        ("![甲](nowhere.png)\n", 3, "找不到图片"),
        ("![甲](https://a.cn/b.png)\n", 3, "别的网站"),
        ("{cite}`nobody`\n", 3, "参考文献里没有 nobody"),
        ("```{errata} nothing\n```\n", 3, "没有 id 'nothing'"),
        ("甲\n\n```{note}\n乙\n", 5, "没有结尾的 ```"),
        (":::{note}\n乙\n", 3, "没有结尾的 :::"),
        ("::::{note}\n:::{tip}\n乙\n::::\n", 4, "没有结尾的 :::"),
        ("```python\nx\n", 3, "没有结尾的 ```"),
        ("甲\n:::\n", 4, "看不懂这一行|没有结尾"),
        ("```{note\nx\n```\n", 3, "看不懂这一行"),
        ("甲 <b>乙</b>\n", 3, "不用HTML"),
        ("<div>\n甲\n</div>\n", 3, "不用HTML"),
        ("甲[^1]\n\n[^1]: 注\n", 3, "不用脚注"),
        ("甲\n: 乙\n", 3, "不用定义列表"),
        ("\\begin{align}\nx\n\\end{align}\n", 3, "裸的 LaTeX"),
        ("```{math}\n\\begin{align}\nx\n\\end{align}\n```\n", 3, "aligned"),
        ("```{math}\nx\n\ny\n```\n", 3, "空行"),
        ("[甲]{.red}\n", 3, "属性"),
        ("![甲](pixel.png){width=3}\n", 1, "还剩 MyST 标记"),
        ("(a)=\n甲\n", 3, "只能紧接在标题前"),
        ("(A_b)=\n## 甲\n", 4, "只能用小写字母"),
        ("(sec-a)=\n## 甲\n\n(sec-a)=\n## 乙\n", 7, "已经用过"),
        ("```{figure} pixel.png\n:alt: 点\n```\n", 3, "图题"),
        ("```{figure} pixel.png\n\n点\n```\n", 3, ":alt:"),
        ("```{list-table}\n* - 甲\n  - 乙\n* - 丙\n```\n", 3, "格数"),
        ("```{list-table}\n* 甲\n```\n", 4, "一段文字"),
        ("```{list-table}\n:header-rows: 2\n\n* - 甲\n```\n", 3, "只能有 0 或 1"),
        ("```{table}\n:name: tbl-a\n\n| a |\n| - |\n```\n", 3, "要有标题"),
        ("```{exercise}\n题\n```\n", 3, "要有 :label:"),
        (EXERCISE, 3, "没有解答"),
        (EXERCISE + SOLUTION.replace("ex-a", "ex-b"), 9, "没有标签为 'ex-b' 的练习"),
        (SOLUTION + "\n" + EXERCISE, 3, "不在前面"),
        (EXERCISE + "```{solution-start} ex-a\n```\n", 9, "没有对应的 {solution-end}"),
        ("```{solution-end}\n```\n", 3, "没有 {solution-start}"),
        ("- ```{note}\n  甲\n  ```\n", 3, "另起一行"),
        ("{term}`甲\n乙`\n", 3, "不能跨行"),
        ("> ```{code-cell}\n> x\n> ```\n", 3, "不认识这条指令"),
    ],
)
def test_errors_name_file_and_line(convert: Convert, body: str, line: int, message: str) -> None:
    place = f"^book/one/first.md:{FIRST_LINE + line - 1}: .*({message})"
    with pytest.raises(BookError, match=place):
        convert(f"# 第一课\n\n{body}")


def test_line_numbers_hold_after_a_code_cell_and_inside_directives(convert: Convert) -> None:
    body = (
        "# 第一课\n\n```{code-cell} ipython3\n1\n```\n\n\n"
        "甲\n\n:::{note}\n:class: x\n\n乙 {eq}`no`\n:::\n"
    )
    with pytest.raises(BookError, match=rf"first\.md:{FIRST_LINE + 12}: 没有标签 no"):
        convert(body)


@pytest.mark.parametrize(
    ("markdown", "leak"),
    [
        ("甲 {eq}`x` 乙", "角色 {eq}"),
        ("```{note}\nx\n```", "指令"),
        (":::{note}", "冒号围栏"),
        ("前。**粗体到句号。**后面", "没有变成粗体的 **"),
        ("(sec-a)=", "标签"),
        ("[甲](#x)", "相对链接"),
        ("[甲](x.md)", "相对链接"),
        ("![甲](x.png)", "相对图片"),
        ("![甲](https://x/y.png){width=3}", "属性"),
        ("{{ 甲 }}", "替换"),
    ],
)
def test_leaks_are_found(markdown: str, leak: str) -> None:
    assert any(found.startswith(leak) for found in find_leaks(markdown))


def test_no_leak_in_code_or_math() -> None:
    assert not find_leaks("`{eq}` `x`\n\n$x_{{a}}$\n\n```\n:::{note}\n(a)=\n```\n\n    {eq}`x`\n")
    assert not find_leaks("**粗体**。`2 ** 3`\n")
