/** Events by callbacks: a small emitter that needs neither a browser nor Node. */

/** @template {Record<string, unknown[]>} Events names of events → what a handler is called with */
export class Emitter {
  /** @type {Map<keyof Events, Set<(...values: any[]) => void>>} */
  #handlers = new Map();

  /**
   * Call `handler` at every such event.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(...values: Events[Name]) => void} handler
   * @returns {() => void} ends it
   */
  on(name, handler) {
    let handlers = this.#handlers.get(name);
    if (handlers === undefined) this.#handlers.set(name, (handlers = new Set()));
    handlers.add(handler);
    return () => void handlers.delete(handler);
  }

  /**
   * What a handler throws is thrown on its own, later: it must not stop what is being received.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} values
   * @protected
   */
  emit(name, ...values) {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        handler(...values);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
