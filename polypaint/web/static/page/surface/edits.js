/**
 * Changes of strokes that name them by position, one after the other: positions are looked up when
 * nothing of one's own that shifts them is on its way. What is refused because positions have
 * changed meanwhile is tried again, with the strokes looked for by what they are.
 */

import { PolypaintError } from "../../client/errors.js";
import {
  ADD_STROKE,
  INSERT_STROKE,
  REMOVE_STROKE,
  REPLACE_STROKE,
  SELECTED_STROKE,
  UNSELECTED_STROKE,
} from "../../client/packets.js";
import { isEqual } from "./lines.js";

/** @import { Stroke } from "../../client/strokes.js" */
/** @import { Board } from "./board.js" */
/** @import { Inked } from "./ribbon.js" */

const TRIES = 5;
/** The server takes no positions so shortly after they have shifted. */
const PAUSE_MS = 120;

/**
 * @param {Inked} stroke
 * @returns {Inked} a copy of its values
 */
export function valuesOf({ rgba, width, height, points }) {
  return { rgba: [...Array.from(rgba)], width, height, points: Float32Array.from(points) };
}

/** See the module. */
export class Edits {
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();
  #board;

  /** @param {Board} board */
  constructor(board) {
    this.#board = board;
  }

  get #strokes() {
    return this.#board.strokeCanvas.strokes;
  }

  /**
   * Do something when all that was asked for before is done.
   *
   * @template Result
   * @param {() => Promise<Result>} work
   * @returns {Promise<Result>}
   */
  run(work) {
    const done = this.#last.then(work, work);
    this.#last = done.catch(() => {});
    return done;
  }

  /**
   * Where these strokes are by now, in the same order; -1 for one that is gone.
   *
   * @param {readonly Inked[]} wanted strokes, or equal ones
   * @returns {number[]}
   */
  #places(wanted) {
    const strokes = this.#strokes;
    const places = new Map(strokes.map((stroke, i) => [/** @type {Inked} */ (stroke), i]));
    const found = new Set();
    return wanted.map((one) => {
      const place =
        places.get(one) ?? strokes.findLastIndex((other, i) => !found.has(i) && isEqual(other, one));
      found.add(place);
      return place;
    });
  }

  /**
   * Where these strokes are by now, ascending; those that are gone are left out.
   *
   * @param {readonly Inked[]} wanted
   */
  positions(wanted) {
    const places = this.#places(wanted).filter((place) => place >= 0);
    return places.sort((a, b) => a - b);
  }

  /**
   * Send what names positions, until it has counted.
   *
   * @param {() => Promise<unknown>[]} send none when there is nothing left to do
   * @returns {Promise<boolean>} has it counted?
   */
  async #insist(send) {
    let reason = "the drawing has changed meanwhile";
    for (let i = 0; i < TRIES; i++) {
      await this.#board.drawing.waitFor(() => this.#board.drawing.loaded);
      const sent = send();
      if (!sent.length) return true;
      const results = await Promise.allSettled(sent);
      const failed = results.find((result) => result.status === "rejected");
      if (failed && !(failed.reason instanceof PolypaintError)) throw failed.reason;
      if (failed) reason = failed.reason.message;
      else if (results.every((one) => one.status === "fulfilled" && one.value === "applied")) {
        return true;
      }
      if (this.#board.drawing.ended) break;
      await new Promise((resolve) => void setTimeout(resolve, PAUSE_MS * (i + 1)));
    }
    this.#board.refuse(`Not changed: ${reason}.`);
    return false;
  }

  /**
   * @param {() => Promise<unknown>[]} send
   * @returns {Promise<boolean>}
   */
  async #insistOrSay(send) {
    try {
      return await this.#insist(send);
    } catch (error) {
      if (!(error instanceof PolypaintError)) throw error;
      this.#board.refuse(`Not changed: ${error.message}.`);
      return false;
    }
  }

  /**
   * @param {readonly Inked[]} strokes
   * @returns {Promise<boolean>}
   */
  remove(strokes) {
    return this.run(() => this.#remove(strokes));
  }

  /** @param {readonly Inked[]} strokes */
  #remove(strokes) {
    const { drawing } = this.#board;
    return this.#insistOrSay(() => {
      const indices = this.positions(strokes).reverse();
      return indices.length ? [drawing.draw(REMOVE_STROKE, { indices })] : [];
    });
  }

  /**
   * Hold strokes, or let them go.
   *
   * @param {readonly Inked[]} strokes
   * @param {boolean} hold
   * @returns {Promise<boolean>}
   */
  select(strokes, hold) {
    return this.run(() => this.#select(strokes, hold));
  }

  /**
   * @param {readonly Inked[]} strokes
   * @param {boolean} hold
   */
  #select(strokes, hold) {
    const { drawing, name } = this.#board;
    return this.#insistOrSay(() => {
      const kind = hold ? SELECTED_STROKE : UNSELECTED_STROKE;
      const indices = this.positions(strokes).filter((index) => {
        const { holder } = this.#strokes[index];
        return hold ? holder === "" : holder === name;
      });
      return indices.length ? [drawing.draw(kind, { indices })] : [];
    });
  }

  /**
   * Put other strokes in the place of strokes.
   *
   * @param {readonly (readonly [Inked, Inked])[]} pairs before, after
   * @returns {Promise<boolean>}
   */
  replace(pairs) {
    const { drawing } = this.#board;
    return this.run(() =>
      this.#insistOrSay(() =>
        this.#places(pairs.map(([before]) => before)).flatMap((index, i) =>
          index < 0 ? [] : [drawing.draw(REPLACE_STROKE, { ...pairs[i][1], index })],
        ),
      ),
    );
  }

  /**
   * Bring strokes above, or below, all others, and hold them again.
   *
   * @param {readonly Stroke[]} strokes
   * @param {boolean} front
   * @returns {Promise<boolean>}
   */
  restack(strokes, front) {
    return this.run(async () => {
      const values = this.positions(strokes).map((index) => valuesOf(this.#strokes[index]));
      if (!(await this.#remove(strokes))) return false;
      const { drawing } = this.#board;
      const sent = values.map((one, i) =>
        front
          ? drawing.draw(ADD_STROKE, { ...one, index: 0 })
          : drawing.draw(INSERT_STROKE, { ...one, index: i }),
      );
      await Promise.allSettled(sent);
      return this.#select(values, true);
    });
  }
}
