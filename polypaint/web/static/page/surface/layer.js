/**
 * A transparent layer as large as the surface, which is drawn on in the paper's coordinates. It is
 * made of canvases of at most 4 Mi pixels, the most that some tablets show.
 */

import { common } from "./boxes.js";
import { canvas, context, element } from "./dom.js";

/** @import { Box } from "./boxes.js" */
/** @import { View } from "./view.js" */

/** The longest side of one canvas, in device pixels. */
const SIDE = 2048;

/** @typedef {{ ctx: CanvasRenderingContext2D, left: number, top: number }} Cell */

/** See the module. */
export class Layer {
  /** @type {Cell[]} */
  #cells = [];
  #view;

  /**
   * @param {View} view
   * @param {string} name class of the element
   */
  constructor(view, name) {
    this.#view = view;
    this.element = element("div", name, {
      position: "absolute",
      left: "0",
      top: "0",
      transformOrigin: "0 0",
      pointerEvents: "none",
    });
  }

  /** The surface has another size: the layer is empty afterwards. */
  resize() {
    const { width, height, ratio } = this.#view;
    const [across, down] = [Math.ceil(width * ratio), Math.ceil(height * ratio)];
    this.#cells = [];
    this.element.replaceChildren();
    this.element.style.transform = `scale(${1 / ratio})`;
    for (let top = 0; top < down; top += SIDE) {
      for (let left = 0; left < across; left += SIDE) {
        const width = Math.min(SIDE, across - left);
        const height = Math.min(SIDE, down - top);
        const made = canvas("surface-live", { left, top, width, height });
        this.element.append(made);
        this.#cells.push({ ctx: context(made), left, top });
      }
    }
  }

  /**
   * Draw on the paper; what is beyond its edges does not show.
   *
   * @param {(ctx: CanvasRenderingContext2D) => void} work called for each canvas, in a state of its
   *   own: units are pixels of the paper
   */
  draw(work) {
    const { zoom, left, top, ratio, paper } = this.#view;
    const scale = zoom * ratio;
    for (const { ctx, left: cellLeft, top: cellTop } of this.#cells) {
      ctx.save();
      ctx.setTransform(scale, 0, 0, scale, left * ratio - cellLeft, top * ratio - cellTop);
      ctx.beginPath();
      ctx.rect(0, 0, paper.width, paper.height);
      ctx.clip();
      work(ctx);
      ctx.restore();
    }
  }

  /** @param {Box} [box] on the paper; everything if missing */
  clear(box) {
    const { zoom, left, top, ratio } = this.#view;
    for (const { ctx, left: cellLeft, top: cellTop } of this.#cells) {
      const { width, height } = ctx.canvas;
      if (!box) {
        ctx.clearRect(0, 0, width, height);
        continue;
      }
      const part = common(
        { left: 0, top: 0, right: width, bottom: height },
        {
          left: Math.floor((box.left * zoom + left) * ratio - cellLeft) - 2,
          top: Math.floor((box.top * zoom + top) * ratio - cellTop) - 2,
          right: Math.ceil((box.right * zoom + left) * ratio - cellLeft) + 2,
          bottom: Math.ceil((box.bottom * zoom + top) * ratio - cellTop) + 2,
        },
      );
      if (part) ctx.clearRect(part.left, part.top, part.right - part.left, part.bottom - part.top);
    }
  }
}
