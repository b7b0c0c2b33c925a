"""比较两段 Python 代码是不是“同一段”：只看语法树，文档字符串、注解与装饰器不算。"""

import ast

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def canonical(node: ast.AST) -> str:
    """语法树的文字形式，不含文档字符串。

    不用 ``ast.dump``：它的格式随 Python 版本变；这里略去空字段，各版本结果相同。
    """
    if isinstance(node, ast.Module | _Definition):
        node = _without_docstring(node)
    return f"{type(node).__name__}({_fields(node)})"


def _fields(node: ast.AST) -> str:
    parts = []
    for name, value in ast.iter_fields(node):
        if value is None or value == []:
            continue
        parts.append(f"{name}={_value(value)}")
    return ",".join(parts)


def _value(value: object) -> str:
    if isinstance(value, ast.AST):
        return canonical(value)
    if isinstance(value, list):
        return "[" + ",".join(_value(item) for item in value) + "]"
    return repr(value)


def _without_docstring(node: ast.AST) -> ast.AST:
    body = getattr(node, "body", [])
    first = body[0] if body else None
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
        return node
    if not isinstance(first.value.value, str):
        return node
    fields = {**dict(ast.iter_fields(node)), "body": body[1:] or [ast.Pass()]}
    return type(node)(**fields)


class _Stripper(ast.NodeTransformer):
    """去掉注解与装饰器；``x: int = 1`` 变成 ``x = 1``，只有注解的语句整个去掉。"""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.Assign(targets=[node.target], value=node.value)

    def _definition(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        node.decorator_list = []  # type: ignore[attr-defined]
        if not isinstance(node, ast.ClassDef):
            node.returns = None  # type: ignore[attr-defined]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition


def same_definition(one: ast.AST, other: ast.AST) -> bool:
    """两个定义在文档字符串、注解、装饰器之外是否相同。会改动传入的树。"""
    return canonical(_Stripper().visit(one)) == canonical(_Stripper().visit(other))


def find_definition(tree: ast.Module, dotted: str) -> ast.AST | None:
    """``"History.plot"`` 这样的名字在模块里的定义；没有则 ``None``。"""
    body: list[ast.stmt] = tree.body
    found: ast.AST | None = None
    for name in dotted.split("."):
        found = next(
            (n for n in reversed(body) if isinstance(n, DEFINITIONS) and n.name == name), None
        )
        if found is None:
            return None
        body = getattr(found, "body", [])
    return found
