/**
 * Pointer and wheel events of the surface, brought to `Gestures` and to whoever draws. Uses
 * nothing that plain HTTP lacks.
 */

import { Gestures } from "./gestures.js";

/** @import { Actions } from "./gestures.js" */

/**
 * Where a pointer is, in CSS pixels of the surface. pen: its pressure means something.
 *
 * @typedef {Object} Sample
 * @property {number} x
 * @property {number} y
 * @property {number} pressure
 * @property {boolean} pen
 * @property {boolean} shift
 * @property {boolean} alt
 * @property {boolean} touch
 */

/**
 * start … abort as in `Actions`, with samples. hover: a pointer that is not down. used: a pointer
 * comes down.
 *
 * @typedef {Object} Drawer
 * @property {(as: "tool" | "eraser", sample: Sample) => void} start
 * @property {(samples: Sample[]) => void} extend
 * @property {() => void} finish
 * @property {() => void} abort
 * @property {(sample: Sample | null) => void} hover
 * @property {() => void} used
 */

/** @typedef {Omit<Actions, "start" | "finish" | "abort">} ViewActions */

/** Pixels in a line of the wheel, and in a page. */
const LINE = 16;
const PAGE = 400;
const WHEEL_ZOOM = 0.0022;
const WHEEL_ZOOM_MAX = 0.5;

/** See the module. */
export class Input {
  #root;
  #drawer;
  #actions;
  #aborted = new AbortController();
  /** @type {Sample | null} */
  #sample = null;

  /**
   * @param {HTMLElement} root
   * @param {Drawer} drawer
   * @param {ViewActions} actions
   */
  constructor(root, drawer, actions) {
    this.#root = root;
    this.#drawer = drawer;
    this.#actions = actions;
    this.gestures = new Gestures({
      ...actions,
      start: (as) => drawer.start(as, /** @type {Sample} */ (this.#sample)),
      finish: () => drawer.finish(),
      abort: () => drawer.abort(),
    });
    this.#on("pointerdown", (event) => this.#down(event));
    this.#on("pointermove", (event) => this.#move(event));
    this.#on("pointerup", (event) => this.#up(event, false));
    this.#on("pointercancel", (event) => this.#up(event, true));
    this.#on("pointerleave", () => drawer.hover(null));
    this.#on("wheel", (event) => this.#wheel(event));
    this.#on("contextmenu", (event) => event.preventDefault());
    // Safari's own gestures, and double-tap zoom where `touch-action` is not enough.
    for (const name of ["gesturestart", "gesturechange", "touchmove", "touchend"]) {
      this.#on(/** @type {any} */ (name), (/** @type {Event} */ event) => {
        if (event.cancelable) event.preventDefault();
      });
    }
  }

  /**
   * @template {keyof HTMLElementEventMap} Name
   * @param {Name} name
   * @param {(event: HTMLElementEventMap[Name]) => void} handler
   */
  #on(name, handler) {
    const { signal } = this.#aborted;
    this.#root.addEventListener(name, handler, { signal, passive: false });
  }

  destroy() {
    this.#aborted.abort();
  }

  /**
   * @param {PointerEvent} event
   * @param {{ left: number, top: number }} origin of the surface in the window
   * @returns {Sample}
   */
  #sampleOf(event, { left, top }) {
    const { clientX, clientY, pointerType, pressure, shiftKey, altKey } = event;
    return {
      x: clientX - left,
      y: clientY - top,
      pressure,
      pen: pointerType === "pen",
      touch: pointerType === "touch",
      shift: shiftKey,
      alt: altKey,
    };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const { pointerId, pointerType, button, width, height, timeStamp } = event;
    // A pointer needs no ring that shows where the focus is.
    this.#root.focus(/** @type {FocusOptions} */ ({ preventScroll: true, focusVisible: false }));
    this.#drawer.used();
    event.preventDefault();
    const sample = (this.#sample = this.#sampleOf(event, this.#root.getBoundingClientRect()));
    const size = Math.max(width, height);
    const { x, y } = sample;
    const pointer = { id: pointerId, kind: pointerType, button, x, y, size };
    if (this.gestures.down(pointer, timeStamp)) this.#capture(pointerId);
  }

  /** @param {number} id */
  #capture(id) {
    try {
      this.#root.setPointerCapture(id);
    } catch {
      // The pointer has gone meanwhile: its end comes, or has come.
    }
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const origin = this.#root.getBoundingClientRect();
    const sample = (this.#sample = this.#sampleOf(event, origin));
    const { gestures } = this;
    if (sample.pen) this.#actions.penSeen();
    if (gestures.draws(event.pointerId)) {
      const all = event.getCoalescedEvents?.() ?? [];
      const samples = all.length ? all.map((one) => this.#sampleOf(one, origin)) : [sample];
      this.#drawer.extend(samples);
    } else if (!gestures.busy) this.#drawer.hover(sample.touch ? null : sample);
    gestures.move(event.pointerId, sample.x, sample.y, event.timeStamp);
  }

  /**
   * @param {PointerEvent} event
   * @param {boolean} cancelled
   */
  #up(event, cancelled) {
    this.gestures.up(event.pointerId, event.timeStamp, cancelled);
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? LINE : event.deltaMode === 2 ? PAGE : 1;
    let [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    const { left, top } = this.#root.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    if (event.ctrlKey || event.metaKey) {
      // A pinch on a touchpad comes as small steps of a wheel with Ctrl.
      const speed = Math.abs(dy) < 50 && event.deltaMode === 0 ? 4 : 1;
      const amount = Math.max(-WHEEL_ZOOM_MAX, Math.min(WHEEL_ZOOM_MAX, dy * WHEEL_ZOOM * speed));
      this.#actions.pinch(x, y, 0, 0, Math.exp(-amount));
      return;
    }
    if (event.shiftKey && dx === 0) [dx, dy] = [dy, 0];
    this.#actions.pan(-dx, -dy);
  }
}
