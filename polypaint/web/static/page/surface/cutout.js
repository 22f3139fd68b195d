/**
 * A rectangle that somebody has cut out of a drawing of pixels, above the paper: canvases of its
 * pixels, which the browser moves, scales and turns.
 */

import { canvas, context, element } from "./dom.js";
import { imageOf } from "./pixel_painter.js";

/** @import { Floating } from "../../client/pixels.js" */
/** @import { Raster } from "../../client/raster.js" */

const SIDE = 1024;

/** @typedef {Pick<Floating, "cut" | "offset" | "target" | "angle">} Placed */

/**
 * From pixels of the source to those of the paper, as a CSS matrix.
 *
 * @param {Placed} placed
 * @returns {[number, number, number, number, number, number]}
 */
export function placement({ cut, offset, target, angle }) {
  const radians = (angle * Math.PI) / 180;
  const [cosine, sine] = [Math.cos(radians), Math.sin(radians)];
  const [scaleX, scaleY] = [target.width / cut.width, target.height / cut.height];
  const [x, y] = [offset.x - cut.width / 2, offset.y - cut.height / 2];
  const [centreX, centreY] = [target.x + target.width / 2, target.y + target.height / 2];
  const [a, b, c, d] = [cosine * scaleX, sine * scaleX, -sine * scaleY, cosine * scaleY];
  return [a, b, c, d, centreX + a * x + c * y, centreY + b * x + d * y];
}

/** See the module. */
export class Cutout {
  /** @param {Raster} source */
  constructor(source) {
    this.source = source;
    this.element = element("div", "surface-cutout", {
      position: "absolute",
      left: "0",
      top: "0",
      transformOrigin: "0 0",
      zIndex: "1",
    });
    this.repaint();
  }

  /** Its pixels have changed. */
  repaint() {
    const { width, height } = this.source;
    this.element.replaceChildren();
    for (let top = 0; top < height; top += SIDE) {
      for (let left = 0; left < width; left += SIDE) {
        const [right, bottom] = [Math.min(left + SIDE, width), Math.min(top + SIDE, height)];
        const size = { width: right - left, height: bottom - top };
        const made = canvas("surface-tile", { left, top, ...size });
        const image = imageOf(this.source, { left, top, right, bottom });
        context(made, { alpha: false }).putImageData(image, 0, 0);
        this.element.append(made);
      }
    }
  }

  /** @param {Placed} placed */
  place(placed) {
    this.element.style.transform = `matrix(${placement(placed).join(", ")})`;
  }
}
