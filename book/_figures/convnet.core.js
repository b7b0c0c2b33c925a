/* 一叠卷积、汇聚层的形状、参数、乘加与感受野，照 PyTorch 的规则。图与窗口都是正方的，只算一个方向。 */
(function (core) {
  "use strict";

  /** 状态里的一行数（种类 0 卷积、1 最大汇聚、2 平均汇聚）变成有名字的；这种层没有的几项取不起作用的值。 */
  function read([kind, k, s, p, d, out, groups, ceil]) {
    const conv = kind === 0, gap = kind === 2 ? 1 : d;
    return { conv, kind, k, s, p, d: gap, out, groups, ceil: !conv && ceil === 1, span: gap * (k - 1) + 1 };
  }

  /** 公式给出的输出边长。 */
  function formula(w, n) {
    return Math.floor((n + 2 * w.p - w.span + (w.ceil ? w.s - 1 : 0)) / w.s) + 1;
  }

  /** 真正的输出边长：向上取整时，最后一个窗口若从右边的填充里才开始，PyTorch 不要它。 */
  function size(w, n) {
    const m = formula(w, n);
    return w.ceil && (m - 1) * w.s >= n + w.p ? m - 1 : m;
  }

  /** 为什么走不通：groups、padding、kernel；走得通是 ""。次序与 PyTorch 检查的相同。 */
  function problem(w, n, c) {
    if (w.conv && (c % w.groups || w.out % w.groups)) return "groups";
    if (!w.conv && 2 * w.p > w.k) return "padding";
    return formula(w, n) < 1 ? "kernel" : "";
  }

  /** 输出的 used 这些元素，用到输入的哪些；填充不算。 */
  function inputs(w, n, used) {
    const found = new Set();
    for (const t of used) {
      for (let u = 0; u < w.k; u++) {
        const at = w.s * t - w.p + w.d * u;
        if (at >= 0 && at < n) found.add(at);
      }
    }
    return [...found].sort((a, b) => a - b);
  }

  /** 末窗之后剩下的：lost 行真的、spare 行填充；over 是它伸出填充几行；unused 是共有几行没用到。 */
  function edges(w, n, m) {
    const rest = n + 2 * w.p - ((m - 1) * w.s + w.span), tail = Math.max(0, rest);
    return {
      lost: Math.min(n, Math.max(0, tail - w.p)), spare: Math.min(tail, w.p), over: Math.max(0, -rest),
      unused: n - inputs(w, n, Array(m).keys()).length,
    };
  }

  /** 走一层。at：n 边长，c 通道，r 感受野的边长，j 跳距，a 第 0 个元素的感受野从哪里开始。 */
  function step(row, at, bias) {
    const w = read(row), wrong = problem(w, at.n, at.c);
    if (wrong) return { problem: wrong };
    const n = size(w, at.n), weights = w.conv ? w.out * (at.c / w.groups) * w.k * w.k : 0;
    return {
      problem: "", n, c: w.conv ? w.out : at.c,
      params: weights + (w.conv && bias ? w.out : 0), macs: weights * n * n,
      r: at.r + (w.span - 1) * at.j, j: at.j * w.s, a: at.a - w.p * at.j,
      ...edges(w, at.n, n),
    };
  }

  /** 第 0 项是输入，此后一层一项；遇到走不通的一层就停，它是最后一项。 */
  function walk(rows, n, c, bias) {
    const all = [{ problem: "", n, c, params: 0, macs: 0, r: 1, j: 1, a: 0 }];
    for (let l = 0; l < rows.length && !all[l].problem; l++) all.push(step(rows[l], all[l], bias));
    return all;
  }

  /** 最后一层的第 i 个元素用到各层的哪些元素：第 0 项是输入，最后一项是它自己。 */
  function trace(rows, n, i) {
    const layers = rows.map(read), sizes = [n], levels = [[i]];
    layers.forEach((w, l) => sizes.push(size(w, sizes[l])));
    for (let l = layers.length - 1; l >= 0; l--) levels.unshift(inputs(layers[l], sizes[l], levels[0]));
    return levels;
  }

  core.convnet = { read, formula, walk, trace };
})(Figures.core);
