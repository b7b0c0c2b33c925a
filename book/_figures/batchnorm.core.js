/* 批量规范化与层规范化。X 的每行是一个样本；层 n 是 {gamma, beta, rm, rv, eps, m}，rm、rv 是存的均值与方差。 */
(function (core) {
  "use strict";
  // “再来一批”的数均匀分布在 中心 ± 半宽，方差是 半宽²/3
  const CENTER = [3, 2.5, 250], HALF = [6, 1.5, 150];

  function mean(values) {
    return values.reduce((a, b) => a + b, 0) / values.length;
  }

  /** 均值、除以 n 的方差、除以 n−1 的方差（只有一个数时没有）。 */
  function moments(values) {
    const n = values.length, mu = mean(values), variance = mean(values.map((x) => (x - mu) * (x - mu)));
    return { mean: mu, var: variance, unbiased: n > 1 ? variance * n / (n - 1) : null };
  }

  function columns(X) {
    return CENTER.map((c, k) => X.map((row) => row[k]));
  }

  function scale(x, s, n, k) {
    return n.gamma[k] * (x - s.mean) / Math.sqrt(s.var + n.eps) + n.beta[k];
  }

  /** 输出 y 与之后存的 rm、rv，和 nn.BatchNorm1d 相同；训练时只有一个样本是 null：PyTorch 报错。 */
  function batchNorm(X, n, training) {
    if (training && X.length < 2) return null;
    const stats = training ? columns(X).map(moments) : n.rm.map((mu, k) => ({ mean: mu, var: n.rv[k] }));
    const blend = (old, key) => (training ? old.map((v, k) => (1 - n.m) * v + n.m * stats[k][key]) : old);
    return { y: X.map((row) => row.map((x, k) => scale(x, stats[k], n, k))), rm: blend(n.rm, "mean"), rv: blend(n.rv, "unbiased") };
  }

  /** 层规范化：统计的是每一行。 */
  function layerNorm(X, n) {
    return X.map((row) => row.map((x, k) => scale(x, moments(row), n, k)));
  }

  /** 由种子造出 4×3 的一批（一位小数）与下一个种子：线性同余。 */
  function nextBatch(seed) {
    const X = [0, 1, 2, 3].map(() => CENTER.map((center, k) => {
      seed = (seed * 1664525 + 1013904223) % 4294967296;
      return Math.floor((center + HALF[k] * (seed / 2147483648 - 1)) * 10 + 0.5) / 10;
    }));
    return { X: X, seed: seed };
  }

  /** 用 X 的前 B 行训练，换下一批，如此 times 次；预测或报错时只换。 */
  function feed(X, seed, n, B, training, times) {
    let at = { X: X, seed: seed, rm: n.rm, rv: n.rv };
    for (let k = 0; k < times; k++) {
      const done = batchNorm(at.X.slice(0, B), Object.assign({}, n, at), training) || at;
      at = Object.assign(nextBatch(at.seed), { rm: done.rm, rv: done.rv });
    }
    return at;
  }

  core.batchnorm = { CENTER, HALF, moments, columns, batchNorm, layerNorm, nextBatch, feed };
})(Figures.core);
