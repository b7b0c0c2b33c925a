/* softmax 与交叉熵的算术。 */
(function (core) {
  "use strict";

  /** 减去最大值再取指数：不会溢出。 */
  function softmax(logits) {
    var top = Math.max.apply(null, logits);
    var powers = logits.map(function (z) { return Math.exp(z - top); });
    var total = powers.reduce(function (a, b) { return a + b; }, 0);
    return powers.map(function (p) { return p / total; });
  }

  /** 交叉熵 = 对数和指数(z) − z_y。 */
  function crossEntropy(logits, label) {
    var top = Math.max.apply(null, logits);
    var total = logits.reduce(function (sum, z) { return sum + Math.exp(z - top); }, 0);
    return top + Math.log(total) - logits[label];
  }

  /** 损失对得分的梯度 p − y。 */
  function gradient(logits, label) {
    return softmax(logits).map(function (p, k) { return p - (k === label ? 1 : 0); });
  }

  /** 照公式直接算，每一步都舍入成 float32：得分大时溢出成 inf 与 nan，与 PyTorch 一样。 */
  function naive32(logits, label) {
    var f = Math.fround;
    var powers = logits.map(function (z) { return f(Math.exp(f(z))); });
    var total = powers.reduce(function (a, b) { return f(a + b); }, 0);
    var p = powers.map(function (e) { return f(e / total); });
    return { powers: powers, total: total, p: p, loss: f(-Math.log(p[label])) };
  }

  core.softmax = { softmax: softmax, crossEntropy: crossEntropy, gradient: gradient, naive32: naive32 };
})(Figures.core);
