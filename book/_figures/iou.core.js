/* 两个框的交、并、外包框、IoU、GIoU，与 d2lcore.boxes 相同。框是 [x1, y1, x2, y2]。 */
(function (core) {
  "use strict";

  function area(box) {
    return (box[2] - box[0]) * (box[3] - box[1]);
  }

  /** 相交部分的宽与高，还没有截断：负数就是隔开了多远。 */
  function overlap(a, b) {
    return [0, 1].map(function (k) { return Math.min(a[k + 2], b[k + 2]) - Math.max(a[k], b[k]); });
  }

  /** 交的面积。先截断再相乘，否则两个负数乘出正的面积。 */
  function intersection(a, b) {
    var size = overlap(a, b);
    return Math.max(0, size[0]) * Math.max(0, size[1]);
  }

  function union(a, b) {
    return area(a) + area(b) - intersection(a, b);
  }

  /** 外包框：同时包住两者的最小的框。 */
  function hull(a, b) {
    return a.map(function (v, k) { return k < 2 ? Math.min(v, b[k]) : Math.max(v, b[k]); });
  }

  /** 相除；0/0 规定为 0。 */
  function ratio(part, whole) {
    return whole > 0 ? part / whole : 0;
  }

  function iou(a, b) {
    return ratio(intersection(a, b), union(a, b));
  }

  /** 外包框里不属于两者的比例，GIoU 减去的就是它。 */
  function outside(a, b) {
    var whole = area(hull(a, b));
    return ratio(whole - union(a, b), whole);
  }

  function giou(a, b) {
    return iou(a, b) - outside(a, b);
  }

  /** 四个坐标差的绝对值之和。 */
  function l1(a, b) {
    return a.reduce(function (sum, v, k) { return sum + Math.abs(v - b[k]); }, 0);
  }

  function scale(box, k) {
    return box.map(function (v) { return v * k; });
  }

  core.iou = {
    area: area, overlap: overlap, intersection: intersection, union: union, hull: hull,
    iou: iou, outside: outside, giou: giou, l1: l1, scale: scale,
  };
})(Figures.core);
