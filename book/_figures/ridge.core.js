/* 多项式的岭回归：最小化 (1/2n)·Σ(ŷ−y)² + (λ/2)·‖w‖²，偏置不罚。
   各列中心化，再把 [X/√n；√λ·I] 做豪斯霍尔德 QR：比解正规方程准确。 */
(function (core) {
  "use strict";

  const dot = (a, b) => a.reduce((sum, v, k) => sum + v * b[k], 0);
  const mean = values => values.reduce((a, b) => a + b, 0) / values.length;
  const powers = (x, d) => Array.from({ length: d }, (_, k) => Math.pow(x, k + 1));

  /** 一列的反射：把 v 的第 k 项以下变成 0；返回反射的方向。 */
  function mirror(column, k) {
    const u = column.map((v, i) => (i < k ? 0 : v));
    u[k] += Math.sign(u[k] || 1) * Math.sqrt(dot(u, u));
    return u;
  }

  /** 最小二乘：columns 是各列，须独立。 */
  function leastSquares(columns, target) {
    const d = columns.length, all = columns.concat([target]).map(c => c.slice());
    for (let k = 0; k < d; k++) {
      const u = mirror(all[k], k), uu = dot(u, u);
      for (let c = k; c <= d; c++) {
        const t = 2 * dot(u, all[c]) / uu;
        all[c] = all[c].map((v, i) => v - t * u[i]);
      }
    }
    const w = Array(d).fill(0), y = all[d];
    for (let k = d - 1; k >= 0; k--) {
      w[k] = (y[k] - w.reduce((sum, v, c) => (c > k ? sum + v * all[c][k] : sum), 0)) / all[k][k];
    }
    return w;
  }

  /** d 次多项式的偏置 b 与系数 w；x 各不相同。λ = 0 而数据不够时没有唯一解，返回 null。 */
  function fit(x, y, d, lam) {
    const n = x.length, X = x.map(v => powers(v, d)), center = mean(y);
    if (lam === 0 && d >= n) return null;
    const means = Array.from({ length: d }, (_, k) => mean(X.map(row => row[k])));
    const tail = k => means.map((_, i) => (i === k ? Math.sqrt(lam) : 0));
    const columns = means.map((m, k) => X.map(row => (row[k] - m) / Math.sqrt(n)).concat(tail(k)));
    const w = leastSquares(columns, y.map(v => (v - center) / Math.sqrt(n)).concat(tail(-1)));
    return { b: center - dot(means, w), w };
  }

  function predict(model, x) {
    return x.map(v => model.b + dot(model.w, powers(v, model.w.length)));
  }

  /** 均方误差，没有 ½；没有数据时是 NaN。 */
  function mse(model, x, y) {
    return mean(predict(model, x).map((v, k) => (v - y[k]) * (v - y[k])));
  }

  /** sin(πx) 加噪声，两位小数；噪声由 seed 定（线性同余，六个均匀数之和近似正态，标准差约 0.25）。 */
  function sample(x, seed) {
    const M = 2147483647;
    let s = (seed * 987654 + 1) % M;
    const uniform = () => (s = s * 16807 % M) / M;
    return x.map(v => {
      const noise = [0, 0, 0, 0, 0, 0].reduce(sum => sum + uniform() - 0.5, 0);
      return +(Math.sin(Math.PI * v) + 0.35 * noise).toFixed(2);
    });
  }

  core.ridge = { fit, predict, mse, sample };
})(Figures.core);
