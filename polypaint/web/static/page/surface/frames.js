/**
 * When what is painted: at most once a frame, for as long as there is time, and never half of a
 * canvas that is on its way.
 */

/** @import { Drawing } from "../../client/drawing.js" */
/** @import { LiveInk } from "./live_ink.js" */
/** @import { PixelPainter } from "./pixel_painter.js" */
/** @import { StrokePainter } from "./stroke_painter.js" */

/** Time for painting in one frame. */
const FRAME_MS = 9;

/** See the module. */
export class Frames {
  #frame = 0;
  #waiting = false;
  #stopped = false;
  /** The canvas has changed since it was taken over. */
  #stale = true;
  /** @type {(() => void)[]} */
  #awaited = [];
  #drawing;
  #painter;
  #live;
  #synced;
  #end;

  /**
   * @param {Drawing} drawing
   * @param {StrokePainter | PixelPainter} painter
   * @param {LiveInk} live
   * @param {() => void} synced called before painting, when the drawing has changed
   */
  constructor(drawing, painter, live, synced) {
    this.#drawing = drawing;
    this.#painter = painter;
    this.#live = live;
    this.#synced = synced;
    this.#end = drawing.on("canvas", () => {
      this.#stale = true;
      this.request();
    });
  }

  /** Paint in the next frame. */
  request() {
    if (this.#frame || this.#stopped) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  /** Paint, and look at the drawing whether it says that it has changed or not. */
  refresh() {
    this.#stale = true;
    this.request();
  }

  stop() {
    this.#stopped = true;
    this.#end();
    cancelAnimationFrame(this.#frame);
  }

  /** Wait until all that is in view, and known here, is painted. @returns {Promise<void>} */
  painted() {
    this.request();
    return new Promise((resolve) => void this.#awaited.push(resolve));
  }

  #paint() {
    // A canvas that is on its way is taken over when all of it is here.
    if (this.#stale && !this.#drawing.loaded) this.#whenLoaded();
    else if (this.#stale) {
      this.#stale = false;
      this.#painter.sync();
      this.#synced();
    }
    const clock = () => performance.now();
    const more = this.#painter.paint(clock, clock() + FRAME_MS);
    this.#live.paint((box) => !this.#stale && this.#painter.isClean(box));
    if (more) this.request();
    else if (this.#live.idle && !this.#stale) {
      for (const resolve of this.#awaited.splice(0)) resolve();
    }
  }

  #whenLoaded() {
    if (this.#waiting || this.#drawing.ended) return;
    this.#waiting = true;
    const done = () => {
      this.#waiting = false;
      this.request();
    };
    this.#drawing.waitFor(() => this.#drawing.loaded).then(done, () => {});
  }
}
