/** How one stroke is drawn onto a canvas: one path, so that translucent ink is even. */

import { boxOf } from "./boxes.js";
import { ribbon } from "./ribbon.js";
import { trace } from "./stroke_path.js";

/** @import { Box } from "./boxes.js" */
/** @import { Ends, Inked } from "./ribbon.js" */

/**
 * width: of the line; 0 when the path is to be filled. ends: for which it was made.
 *
 * @typedef {{ path: Path2D, box: Box, colour: string, width: number, ends: Ends }} Shape
 */

/** Strokes never change, so a shape is made once for each pair of ends. @type {WeakMap<object, Shape>} */
const shapes = new WeakMap();

/** @param {ArrayLike<number>} rgba */
export function cssColour(rgba) {
  return `rgba(${rgba[0]}, ${rgba[1]}, ${rgba[2]}, ${rgba[3] / 255})`;
}

/**
 * @param {Inked} stroke
 * @param {Ends} [ends] the widths at its ends; without them those that it had last, or its own
 * @returns {Shape}
 */
export function shapeOf(stroke, ends) {
  const shape = shapes.get(stroke);
  if (shape && (!ends || (ends.from === shape.ends.from && ends.to === shape.ends.to))) return shape;
  const size = Math.max(stroke.width, stroke.height);
  const made = makeShape(stroke, ends ?? { from: size, to: size });
  shapes.set(stroke, made);
  return made;
}

/**
 * As `shapeOf`, without keeping it: for what grows.
 *
 * @param {Inked} stroke
 * @param {Ends} ends
 * @returns {Shape}
 */
export function makeShape({ rgba, width, height, points }, ends) {
  const size = Math.max(width, height);
  const path = new Path2D();
  const box = boxOf(points, Math.max(size, ends.from, ends.to) / 2 + 1);
  const shape = { path, box, colour: cssColour(rgba), width: 0, ends };
  if (isDot(points)) path.arc(points[0], points[1], size / 2, 0, 2 * Math.PI);
  else if (ends.from !== size || ends.to !== size) ribbon(path, points, size, ends);
  else {
    trace(path, points);
    shape.width = size;
  }
  return shape;
}

/** @param {ArrayLike<number>} points */
function isDot(points) {
  for (let i = 2; i < points.length; i += 2) {
    if (points[i] !== points[0] || points[i + 1] !== points[1]) return false;
  }
  return true;
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Shape} shape
 */
export function drawShape(ctx, { path, colour, width }) {
  if (width === 0) {
    ctx.fillStyle = colour;
    ctx.fill(path);
    return;
  }
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.lineCap = "round";
  ctx.lineJoin = "round";
  ctx.stroke(path);
}
