/** The elements of the surface, from the desk up: paper with tiles, layers of live ink, overlay. */

import { element } from "./dom.js";
import { Layer } from "./layer.js";

/** @import { View } from "./view.js" */

const SHADOW = "var(--paper-shadow, 0 1px 2px rgb(0 0 0 / 12%), 0 4px 16px rgb(0 0 0 / 10%))";

/** See the module. */
export class Stage {
  #view;
  #host;

  /**
   * @param {HTMLElement} host
   * @param {View} view
   */
  constructor(host, view) {
    this.#host = host;
    this.#view = view;
    const whole = { position: "absolute", inset: "0" };
    this.root = element("div", "surface", {
      ...whole,
      overflow: "hidden",
      touchAction: "none",
      userSelect: "none",
      webkitUserSelect: "none",
    });
    this.root.style.setProperty("-webkit-touch-callout", "none");
    this.root.tabIndex = 0;
    this.root.setAttribute("role", "application");
    this.root.setAttribute("aria-label", "Drawing");
    this.paper = element("div", "surface-paper", {
      position: "absolute",
      left: "0",
      top: "0",
      overflow: "hidden",
      background: "#fff",
      boxShadow: SHADOW,
      pointerEvents: "none",
    });
    this.lower = new Layer(view, "surface-layer");
    this.upper = new Layer(view, "surface-layer");
    this.overlay = element("div", "surface-overlay", { ...whole, pointerEvents: "none" });
    this.root.append(this.paper, this.lower.element, this.upper.element, this.overlay);
    host.append(this.root);
  }

  /** Take over the host's size. @returns {boolean} has it changed? */
  measure() {
    const { width, height } = this.#host.getBoundingClientRect();
    const ratio = globalThis.devicePixelRatio || 1;
    const view = this.#view;
    if (view.width === width && view.height === height && view.ratio === ratio) return false;
    view.resize(Math.max(1, width), Math.max(1, height), ratio);
    this.lower.resize();
    this.upper.resize();
    return true;
  }

  /**
   * Call when the surface may have another size, or another resolution.
   *
   * @param {() => void} sized
   * @returns {() => void} ends it
   */
  onSized(sized) {
    const observer = new ResizeObserver(sized);
    observer.observe(this.#host);
    globalThis.addEventListener("resize", sized);
    return () => {
      observer.disconnect();
      globalThis.removeEventListener("resize", sized);
    };
  }

  /** Put the paper where the view says. */
  place() {
    const { left, top, zoom, paper } = this.#view;
    const { style } = this.paper;
    style.transform = `translate(${left}px, ${top}px)`;
    style.width = `${paper.width * zoom}px`;
    style.height = `${paper.height * zoom}px`;
  }

  remove() {
    this.root.remove();
  }
}
