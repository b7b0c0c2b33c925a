/* 2-2-1 网络：z = xW + b，h = φ(z)，ŷ = h·v + c，L = ½(ŷ−t)²。p 是 {x: [2], W: [2][2], b: [2], v: [2], c, t}。 */
(function (core) {
  "use strict";
  const PHI = { relu: (z) => Math.max(0, z), sigmoid: (z) => 1 / (1 + Math.exp(-z)), tanh: Math.tanh };
  // 导数用前向留下的 h 就写得出；ReLU 在 0 处与 PyTorch 一样取 0
  const SLOPE = { relu: (h) => (h > 0 ? 1 : 0), sigmoid: (h) => h * (1 - h), tanh: (h) => 1 - h * h };

  function forward(p, act) {
    const z = p.b.map((b, j) => p.x[0] * p.W[0][j] + p.x[1] * p.W[1][j] + b), h = z.map(PHI[act]);
    const y = h[0] * p.v[0] + h[1] * p.v[1] + p.c;
    return { z: z, h: h, y: y, loss: (y - p.t) * (y - p.t) / 2 };
  }

  /** L 对每个量的偏导数，键与量同名；slope 是 φ′(z)。 */
  function backward(p, act) {
    const f = forward(p, act), y = f.y - p.t, slope = f.h.map(SLOPE[act]);
    const h = p.v.map((v) => y * v), z = h.map((g, j) => g * slope[j]);
    return {
      y: y, c: y, v: f.h.map((value) => y * value), h: h, slope: slope, z: z, b: z,
      W: p.x.map((x) => z.map((g) => g * x)),
      x: p.W.map((row) => z[0] * row[0] + z[1] * row[1]), // 每个 x 有两个去处，两条路相加
    };
  }

  function descend(value, g, lr) {
    return Array.isArray(value) ? value.map((v, k) => descend(v, g[k], lr)) : +(value - lr * g).toFixed(6);
  }

  /** 九个参数都走一步，留六位小数；数据 x、t 不动。 */
  function update(p, act, lr) {
    const g = backward(p, act), next = { x: p.x, t: p.t };
    ["W", "b", "v", "c"].forEach((key) => { next[key] = descend(p[key], g[key], lr); });
    return next;
  }

  core.backprop = { forward: forward, backward: backward, update: update };
})(Figures.core);
