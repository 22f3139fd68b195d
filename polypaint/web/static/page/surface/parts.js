/** What a surface is made of, put together for a drawing of strokes or of pixels. */

import { Board } from "./board.js";
import { Frames } from "./frames.js";
import { LiveInk } from "./live_ink.js";
import { Others } from "./others.js";
import { Overlay } from "./overlay.js";
import { PixelEditor } from "./pixel_editor.js";
import { PixelPainter } from "./pixel_painter.js";
import { Stage } from "./stage.js";
import { StrokeEditor } from "./stroke_editor.js";
import { StrokePainter } from "./stroke_painter.js";
import { View } from "./view.js";

/** @import { Drawing } from "../../client/drawing.js" */
/** @import { Owner } from "./board.js" */

/** synced: what the drawing shows was taken over. @typedef {Omit<Owner, "frame"> & { synced: () => void }} PartsOwner */

/** See the module. */
export class Parts {
  view = new View();

  /**
   * @param {HTMLElement} host
   * @param {Drawing} drawing
   * @param {string} name of oneself
   * @param {boolean} reduced no motion
   * @param {PartsOwner} owner
   */
  constructor(host, drawing, name, reduced, owner) {
    const { view } = this;
    const pixels = drawing.canvas.mode === "pixel";
    this.stage = new Stage(host, view);
    const { upper, lower, paper, overlay } = this.stage;
    this.painter = pixels
      ? new PixelPainter(drawing, view, paper)
      : new StrokePainter(drawing, view, paper);
    this.live = new LiveInk(upper, lower);
    this.frames = new Frames(drawing, this.painter, this.live, owner.synced);
    const frame = () => this.frames.refresh();
    const { live, painter } = this;
    this.board = new Board(drawing, name, view, live, painter, overlay, { ...owner, frame });
    this.overlay = new Overlay(overlay, view);
    this.editor = pixels
      ? new PixelEditor(this.board, this.overlay)
      : new StrokeEditor(this.board, this.overlay);
    this.others = new Others(this.board, reduced);
  }

  destroy() {
    this.frames.stop();
    this.editor.destroy();
    this.others.destroy();
    this.stage.remove();
  }
}
