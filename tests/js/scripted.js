/** A scripted server for tests of the session, in virtual time: no sockets, no clock. */

import assert from "node:assert/strict";

import {
  ADD_STROKE,
  CONNECTION,
  FETCH_DATABASE,
  GESTURE,
  HELLO,
  LOBBY_CONNECT,
  LOBBY_FREEZE_STATE,
  PACKETS,
  RESIZE_CANVAS,
  TICKET,
  connect,
  encodeReply,
} from "../../polypaint/web/static/client/index.js";

/** Time that passes when it is told to. */
export class Clock {
  #now = 5_000_000;
  #timers = [];

  now() {
    return this.#now;
  }

  setTimeout(work, milliseconds) {
    const timer = { at: this.#now + milliseconds, work };
    this.#timers.push(timer);
    return timer;
  }

  clearTimeout(timer) {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }

  /** Everything that is due within so many milliseconds. */
  async advance(milliseconds) {
    const end = this.#now + milliseconds;
    for (;;) {
      await quiet();
      const next = this.#timers.sort((a, b) => a.at - b.at)[0];
      if (!next || next.at > end) break;
      this.#now = next.at;
      this.clearTimeout(next);
      next.work();
    }
    this.#now = end;
  }

  get waiting() {
    return this.#timers.length;
  }
}

/** All that can happen without the clock has happened. */
export async function quiet() {
  await new Promise((resolve) => setImmediate(resolve));
}

/** One end of a connection that a test holds; `take` gives what the client has sent. */
export class FakeSocket {
  sent = [];
  closed = null;

  constructor(world, url) {
    if (!url.startsWith("ws://")) throw new SyntaxError("an invalid URL");
    this.world = world;
    world.sockets.push(this);
    if (world.reachable) queueMicrotask(() => this.onopen({}));
    else queueMicrotask(() => (this.onerror({}), this.onclose({ reason: "" })));
  }

  send(packet) {
    assert.equal(this.closed, null);
    this.sent.push(packet);
    queueMicrotask(() => this.world.answer(this, packet));
  }

  close(code, reason) {
    this.closed = { code, reason };
  }

  say(kind, values, name = "") {
    const packet = encodeReply(kind, 77, name, values);
    this.onmessage({ data: packet.buffer });
  }

  lose() {
    this.onclose({ reason: "" });
  }

  get names() {
    return this.sent.map((packet) => PACKETS[packet[2]].name);
  }

  /** Names of what was sent; tickets and gestures have tests of their own. */
  take() {
    const taken = this.names;
    this.sent = [];
    return taken.filter((name) => name !== "TICKET" && name !== "GESTURE");
  }
}

/** A server that lets everybody in and answers what must be answered; strokes are kept. */
export class World {
  sockets = [];
  reachable = true;
  clock = new Clock();
  statuses = new Map();
  strokes = [];
  answers = true;
  /** How many drawing packets of a client that comes back the server has had. */
  handled = -1;

  constructor() {
    const world = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url) {
        super(world, url);
      }
    };
  }

  get socket() {
    return this.sockets[this.sockets.length - 1];
  }

  status(kind, ...statuses) {
    this.statuses.set(kind.id, statuses);
  }

  answer(socket, packet) {
    if (!this.answers || socket.closed) return;
    const kind = PACKETS[packet[2]];
    const good = kind === LOBBY_CONNECT ? 1 : 0;
    const status = this.statuses.get(kind.id)?.shift() ?? good;
    if (kind === HELLO) socket.say(kind, { status, version: 1, handled: this.handled, account: "ada" });
    if (kind.reply === CONNECTION.reply) socket.say(kind, { status });
    if (kind === ADD_STROKE) this.strokes.push(packet);
  }

  connect(name = "ada", options = {}) {
    const { WebSocket, clock } = this;
    return connect("ws://there/ws/paint", name, "pw", { WebSocket, clock, random: () => 0.5, ...options });
  }

  /** What a newcomer is sent. */
  replay() {
    const { socket } = this;
    socket.say(LOBBY_FREEZE_STATE, { status: 1 });
    socket.say(FETCH_DATABASE, {});
    socket.say(RESIZE_CANVAS, { length: 640, width: 480 });
    for (const packet of this.strokes) socket.onmessage({ data: packet.slice().buffer });
    socket.say(LOBBY_FREEZE_STATE, { status: 0 });
  }
}

export const STROKE = { index: 0, rgba: [1, 2, 3, 255], height: 2, width: 2, points: [1, 2, 3, 4] };

/** Join and take the canvas. */
export async function joined(world, client) {
  const joining = client.join("d");
  await quiet();
  world.replay();
  return joining;
}

/** Joined, with the extension. */
export async function extended(world) {
  const client = await world.connect("ada", { session: true });
  const drawing = await joined(world, client);
  await drawing.settled();
  return drawing;
}
