/* 非极大值抑制与 Soft-NMS，与 d2lcore.detection 的 greedy_nms、nms、soft_nms 相同。 */
(function (core) {
  "use strict";
  var LEAST = 0.001; // Soft-NMS：剩下的分数都小于它就停

  function area(box) {
    return (box[2] - box[0]) * (box[3] - box[1]);
  }

  /** [相交, 相并] 的面积。 */
  function overlap(a, b) {
    var width = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
    var height = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
    return [width * height, area(a) + area(b) - width * height];
  }

  function iou(a, b) {
    var part = overlap(a, b);
    return part[1] > 0 ? part[0] / part[1] : 0;
  }

  /** 分数乘以多少。恰好等于阈值的不动。 */
  function factor(u, method, threshold, sigma) {
    if (method === "gaussian") return Math.exp(-(u * u) / sigma);
    if (!(u > threshold)) return 1;
    return method === "linear" ? 1 - u : 0;
  }

  /** 逐步：每步取剩下的里分数最高的（并列取序号小的），再看它与其余各框。
      labels 是 null 就不分类别；否则不同类的不比，iou 是 null。
      method："nms"、"linear"、"gaussian"；只有 "nms" 删框。 */
  function run(boxes, scores, labels, method, threshold, sigma) {
    var left = boxes.map(function (box, i) { return i; }), now = scores.slice(), steps = [];
    var hard = method === "nms";
    while (left.length) {
      var best = left.reduce(function (a, b) { return now[b] > now[a] ? b : a; });
      if (!hard && now[best] < LEAST) break;
      var others = left.filter(function (i) { return i !== best; }).map(function (i) {
        var apart = labels && labels[i] !== labels[best], u = apart ? null : iou(boxes[best], boxes[i]);
        var f = apart ? 1 : factor(u, method, threshold, sigma);
        return { i: i, iou: u, factor: f, before: now[i], after: hard ? now[i] : now[i] * f, gone: hard && f === 0 };
      });
      steps.push({ kept: best, score: now[best], others: others });
      others.forEach(function (o) { now[o.i] = o.after; });
      left = others.filter(function (o) { return !o.gone; }).map(function (o) { return o.i; });
    }
    return steps;
  }

  /** 留下的序号与（Soft-NMS 降低后的）分数，从大到小。 */
  function soft(boxes, scores, labels, method, threshold, sigma) {
    var steps = run(boxes, scores, labels, method, threshold, sigma);
    return { kept: steps.map(function (step) { return step.kept; }), scores: steps.map(function (step) { return step.score; }) };
  }

  function nms(boxes, scores, labels, threshold) {
    return soft(boxes, scores, labels, "nms", threshold).kept;
  }

  core.nms = { overlap: overlap, iou: iou, run: run, nms: nms, soft: soft };
})(Figures.core);
