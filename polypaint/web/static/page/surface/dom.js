/** Elements of the surface. Styles are set by script: the page's CSP allows no style attributes. */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} name its class
 * @param {Partial<CSSStyleDeclaration>} [style]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, name, style = {}) {
  const made = document.createElement(tag);
  made.className = name;
  Object.assign(made.style, style);
  return made;
}

/**
 * A canvas that is laid out with a CSS pixel for each of its own.
 *
 * @param {string} name
 * @param {{ left: number, top: number, width: number, height: number }} place
 * @returns {HTMLCanvasElement}
 */
export function canvas(name, { left, top, width, height }) {
  const made = element("canvas", name, {
    position: "absolute",
    left: `${left}px`,
    top: `${top}px`,
    width: `${width}px`,
    height: `${height}px`,
  });
  made.width = width;
  made.height = height;
  return made;
}

/**
 * @param {HTMLCanvasElement} of
 * @param {CanvasRenderingContext2DSettings} [settings]
 */
export function context(of, settings = {}) {
  const found = of.getContext("2d", settings);
  if (found === null) throw new Error("this browser shows no more canvases: close some tabs");
  return found;
}
