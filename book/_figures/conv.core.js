/* 一个通道的互相关、卷积、汇聚与它们的反向，照 PyTorch 的规则。
   o = {mode, k, stride, pad}：mode 是 "corr"、"conv"（先翻转核）、"max"、"avg"；k 是窗口的边长；
   汇聚不填充。各函数都从“一个窗口里的各项”出发，写在页面上的式子也是它。 */
(function (core) {
  "use strict";

  function grid(rows, columns, value) {
    return Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => value(i, j)));
  }

  const zeros = X => grid(X.length, X[0].length, () => 0);

  /** 上下翻转，再左右翻转。 */
  function flip(K) {
    return K.map(row => row.slice().reverse()).reverse();
  }

  function size(n, o) {
    return Math.floor((n + 2 * o.pad - o.k) / o.stride) + 1;
  }

  /** 输出 (i, j) 的窗口：各项在输入的 (r, c)，在核的 (a, b)；值 x 乘权重 w。填充处的 x 是 0。 */
  function terms(X, K, o, i, j) {
    const all = [], side = K.length - 1;
    for (let a = 0; a < o.k; a++) {
      for (let b = 0; b < o.k; b++) {
        const r = i * o.stride - o.pad + a, c = j * o.stride - o.pad + b;
        const inside = r in X && c in X[0], x = inside ? X[r][c] : 0;
        const at = o.mode === "conv" ? { a: side - a, b: side - b } : { a, b };
        all.push({ r, c, inside, x, ...at, w: o.mode === "avg" ? 1 / (o.k * o.k) : o.mode === "max" ? 0 : K[at.a][at.b] });
      }
    }
    // 并列时取先遇到的，与 PyTorch 相同
    if (o.mode === "max") all.reduce((best, t) => (t.x > best.x ? t : best)).w = 1;
    return all;
  }

  function forward(X, K, o) {
    return grid(size(X.length, o), size(X[0].length, o), (i, j) => terms(X, K, o, i, j).reduce((sum, t) => sum + t.x * t.w, 0));
  }

  /** 上游梯度 G 传回来：dX 的各处累加 G·w，dW 的各处累加 G·x（汇聚没有 dW）。 */
  function backward(X, K, o, G) {
    const dX = zeros(X), dW = zeros(K), learns = o.mode === "corr" || o.mode === "conv";
    G.forEach((row, i) => row.forEach((g, j) => terms(X, K, o, i, j).forEach(t => {
      if (t.inside) dX[t.r][t.c] += g * t.w;
      if (learns) dW[t.a][t.b] += g * t.x;
    })));
    return { dX, dW: learns ? dW : null };
  }

  /** dX 的 (r, c) 由哪些输出传来：输出的 (i, j)、那里的 g、乘的权重 w。 */
  function sources(X, K, o, G, r, c) {
    const found = [];
    G.forEach((row, i) => row.forEach((g, j) => terms(X, K, o, i, j).forEach(t => {
      if (t.r === r && t.c === c) found.push({ i, j, g, w: t.w, a: t.a, b: t.b });
    })));
    return found;
  }

  core.conv = { grid, flip, size, terms, forward, backward, sources };
})(Figures.core);
