/** A queue in which taking the first costs the same however long it is. */

/** @template T */
export class Queue {
  /** @type {T[]} */
  #items = [];
  #first = 0;

  get length() {
    return this.#items.length - this.#first;
  }

  /** @param {T} item */
  push(item) {
    this.#items.push(item);
  }

  /** @returns {T | undefined} */
  peek() {
    return this.#items[this.#first];
  }

  /** @returns {T | undefined} */
  shift() {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#first++];
    if (this.#first > 32 && 2 * this.#first > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  *[Symbol.iterator]() {
    for (let i = this.#first; i < this.#items.length; i++) yield this.#items[i];
  }
}
