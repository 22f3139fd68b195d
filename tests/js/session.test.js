/** The session against a scripted server, in virtual time: no sockets, no clock. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ADD_STROKE,
  CHANNEL_FETCH,
  CHANNEL_MESSAGE,
  CONNECTION,
  CREATE_ACCOUNT,
  ConnectionClosed,
  FETCH_DATABASE,
  ACCEPTED,
  GESTURE,
  HELLO,
  HISTORY,
  INK,
  LOBBY_CONNECT,
  LOBBY_CREATION,
  LOBBY_FETCH,
  LOBBY_FREEZE_STATE,
  LOBBY_INFO_CHANGE,
  LOBBY_PLAYER_KICK,
  LoginFailed,
  PACKETS,
  PEOPLE,
  PERSON,
  POINTER,
  REFUSED,
  REMOVE_STROKE,
  RESIZE_CANVAS,
  Refused,
  SELECTED_STROKE,
  TICKET,
  UNDONE,
  UPDATE_DATABASE,
  connect,
  decodeObject,
  decodeRequest,
  encodeReply,
} from "../../polypaint/web/static/client/index.js";

/** Time that passes when it is told to. */
class Clock {
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
async function quiet() {
  await new Promise((resolve) => setImmediate(resolve));
}

/** One end of a connection that a test holds; `take` gives what the client has sent. */
class FakeSocket {
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
class World {
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

const STROKE = { index: 0, rgba: [1, 2, 3, 255], height: 2, width: 2, points: [1, 2, 3, 4] };

test("an account is made once, and a name that is taken is tried with the password", async () => {
  const world = new World();
  world.status(CREATE_ACCOUNT, 1);
  const client = await world.connect("ada", { create: true });
  assert.deepEqual(world.sockets.map((socket) => socket.take()), [["CREATE_ACCOUNT"], ["CONNECTION"]]);
  assert.equal(world.sockets[0].closed.code, 1000);
  assert.equal(client.name, "ada");
  assert.equal(world.clock.waiting, 0);
});

for (const [kind, status, says] of [
  [CREATE_ACCOUNT, 2, /refused/],
  [CONNECTION, 1, /already connected/],
  [CONNECTION, 2, /no such name/],
]) {
  test(`${kind.name} answered ${status}: ${says}`, async () => {
    const world = new World();
    world.status(kind, status);
    await assert.rejects(world.connect("ada", { create: true }), (error) => {
      assert.ok(error instanceof LoginFailed);
      assert.equal(error.status, status);
      assert.match(error.message, says);
      assert.equal(error.name, "LoginFailed");
      return true;
    });
    assert.ok(world.socket.closed);
  });
}

test("who is signed in connects without a name, and takes over once", async () => {
  const world = new World();
  const { WebSocket, clock } = world;
  const options = { WebSocket, clock, random: () => 0.5, session: true, takeover: true };
  const client = await connect("ws://there/ws/paint", "", "", options);
  assert.equal(client.name, "ada");
  const [hello] = world.socket.sent;
  const { version, flags, client: number, password } = decodeRequest(HELLO, hello);
  assert.deepEqual([version, flags, password, hello[7]], [1, 1, "", 0]);
  assert.ok(number > 0);
  world.socket.lose();
  await world.clock.advance(100);
  const again = world.socket.sent[0];
  assert.deepEqual(decodeRequest(HELLO, again), { version: 1, flags: 0, client: number, password: "" });
  assert.equal(again[7], 0); // the cookie says it
  assert.equal(world.sockets.length, 2);
  let ended = "";
  client.on("end", (reason) => (ended = reason));
  world.socket.say(HELLO, { status: 3, version: 1, handled: -1, account: "ada" });
  assert.equal(ended, "taken over");
  await world.clock.advance(60_000);
  assert.equal(world.sockets.length, 2);
});

for (const [status, code] of [[1, "connected"], [2, "password"], [4, "busy"]]) {
  test(`HELLO answered ${status}: ${code}`, async () => {
    const world = new World();
    world.status(HELLO, status);
    await assert.rejects(world.connect("ada", { session: true }), (error) => {
      assert.ok(error instanceof LoginFailed);
      assert.deepEqual([error.status, error.code], [status, code]);
      return true;
    });
    assert.ok(world.socket.closed);
  });
}

test("nobody there, not an address, no answer", async () => {
  const world = new World();
  world.reachable = false;
  await assert.rejects(world.connect(), ConnectionClosed);
  const { WebSocket, clock } = world;
  await assert.rejects(connect("there", "ada", "pw", { WebSocket, clock }), /not an address/);
  world.reachable = true;
  world.answers = false;
  const late = assert.rejects(world.connect(), /does not answer/);
  await world.clock.advance(30_000);
  await late;
});

test("a lobby is created, drawn in and left", async () => {
  const world = new World();
  const client = await world.connect();
  const drawing = await client.create("harbour", { mode: "stroke" });
  assert.equal(client.drawing, drawing);
  const info = decodeObject(world.socket.sent.find((p) => p[2] === LOBBY_CREATION.id));
  assert.deepEqual([info.Filename, info.Owner, info.Mode], ["harbour", "ada", "stroke"]);
  assert.equal(await drawing.draw(ADD_STROKE, STROKE), "applied");
  assert.equal(drawing.canvas.strokes[0].author, "ada");
  assert.equal(drawing.canvas.strokes[0].date, 5000);
  let ended = "";
  drawing.on("end", (reason) => (ended = reason));
  drawing.leave();
  assert.equal(ended, "you left");
  assert.equal(client.drawing, null);
  assert.throws(() => drawing.draw(ADD_STROKE, STROKE), ConnectionClosed);
  await assert.rejects(drawing.settled(), ConnectionClosed);
  assert.equal(world.socket.take().at(-1), "LOBBY_DISCONNECT");
});

test("a drawing that is there, or is not for one, is refused", async () => {
  const world = new World();
  const client = await world.connect();
  world.status(LOBBY_CREATION, 2);
  await assert.rejects(client.create("d"), Refused);
  world.status(LOBBY_CONNECT, 3);
  await assert.rejects(client.join("d"), Refused);
  assert.equal(client.drawing, null);
  world.status(LOBBY_CONNECT, 3);
  assert.equal((await client.joinOrCreate("d")).canvas.mode, "stroke");
});

/** Join and take the canvas. */
async function joined(world, client) {
  const joining = client.join("d");
  await quiet();
  world.replay();
  return joining;
}

test("the canvas comes with joining, and what others draw is told", async () => {
  const world = new World();
  const client = await world.connect();
  const drawing = await joined(world, client);
  await drawing.settled();
  const told = [];
  let seen = 0;
  drawing.on("change", (change) => told.push([change.author, change.kind]));
  drawing.on("canvas", () => seen++);
  const waiting = drawing.waitFor((canvas) => canvas.strokes.length === 2);
  world.socket.say(ADD_STROKE, STROKE, "bob");
  world.socket.say(ADD_STROKE, { ...STROKE, index: 1 }, "bob");
  const canvas = await waiting;
  assert.deepEqual(told, [["bob", ADD_STROKE], ["bob", ADD_STROKE]]);
  assert.deepEqual([seen, canvas.length, canvas.width], [2, 640, 480]);
  const joinOrCreate = client.joinOrCreate("d");
  await quiet();
  world.replay();
  assert.notEqual(await joinOrCreate, drawing);
});

test("what the canvas refuses is refused", async () => {
  const world = new World();
  const client = await world.connect();
  const drawing = await client.create("d");
  await assert.rejects(drawing.draw(REMOVE_STROKE, { indices: [5] }), Refused);
  await assert.rejects(drawing.draw(REMOVE_STROKE, { indices: [5] }), Refused);
  assert.throws(() => drawing.draw(REMOVE_STROKE, { indices: [1, 5] }), /descending/);
});

test("a handler that throws does not stop what is received", async (t) => {
  const world = new World();
  const client = await world.connect();
  const drawing = await joined(world, client);
  drawing.on("change", () => {
    throw new Error("mine");
  });
  /** @type {(() => void)[]} */
  const later = [];
  t.mock.method(globalThis, "queueMicrotask", (work) => later.push(work));
  world.socket.say(ADD_STROKE, STROKE, "bob");
  t.mock.restoreAll();
  assert.equal(drawing.canvas.strokes.length, 1);
  assert.equal(later.length, 1);
  assert.throws(later[0], /mine/);
});

test("a stroke that is under way when the connection breaks is drawn once", async () => {
  const world = new World();
  const client = await world.connect();
  const drawing = await joined(world, client);
  await drawing.settled();
  world.answers = false; // what is sent now arrives, but nothing comes back
  const arrived = drawing.draw(ADD_STROKE, STROKE);
  world.strokes.push(world.socket.sent.find((packet) => packet[2] === ADD_STROKE.id));
  const lost = drawing.draw(ADD_STROKE, { ...STROKE, points: [7, 7] });
  const unknown = assert.rejects(drawing.draw(SELECTED_STROKE, { indices: [0] }), ConnectionClosed);
  const events = [];
  client.on("offline", () => events.push("offline"));
  client.on("online", () => events.push("online"));
  world.socket.lose();
  await unknown;
  const offline = drawing.draw(ADD_STROKE, { ...STROKE, points: [8, 8] });
  assert.equal(drawing.loaded, false);
  world.answers = true;
  await world.clock.advance(100);
  assert.deepEqual(world.socket.take(), ["CONNECTION", "LOBBY_CONNECT"]);
  world.replay();
  assert.deepEqual(await Promise.all([arrived, lost, offline]), ["applied", "applied", "applied"]);
  assert.deepEqual(drawing.canvas.strokes.map(({ points }) => [...points]), [[1, 2, 3, 4], [7, 7], [8, 8]]);
  assert.equal(world.strokes.length, 3);
  assert.deepEqual(events, ["offline", "online"]);
});

test("what was not sent is sent later, unless it names positions", async () => {
  const world = new World();
  const client = await world.connect();
  const drawing = await joined(world, client);
  world.socket.say(LOBBY_FREEZE_STATE, { status: 1 }); // from now on nothing is sent
  const resized = drawing.draw(RESIZE_CANVAS, { length: 9, width: 9 });
  const removed = assert.rejects(drawing.draw(REMOVE_STROKE, { indices: [0] }), ConnectionClosed);
  world.socket.lose();
  await removed;
  await world.clock.advance(100);
  world.replay();
  assert.equal(await resized, "applied");
  assert.equal(drawing.canvas.length, 9);
});

test("one comes back with back-off, also when the server has not noticed yet", async () => {
  const world = new World();
  const client = await world.connect();
  client.joinChannel("salon");
  world.reachable = false;
  world.socket.lose();
  const pauses = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
  for (const [i, pause] of pauses.entries()) {
    await world.clock.advance(pause - 1);
    assert.equal(world.sockets.length, 1 + i);
    await world.clock.advance(1);
    assert.equal(world.sockets.length, 2 + i);
  }
  world.reachable = true;
  world.status(CONNECTION, 1);
  await world.clock.advance(10_000);
  assert.deepEqual(world.socket.take(), ["CONNECTION"]);
  await world.clock.advance(10_000);
  assert.deepEqual(world.socket.take(), ["CONNECTION", "CHANNEL_CREATION"]);
  world.socket.lose();
  let end = "";
  client.on("end", (reason) => (end = reason));
  world.status(CONNECTION, 2);
  await world.clock.advance(100);
  assert.match(end, /no such name/);
});

test("a ticket stands in for the password until it has ended", async () => {
  const world = new World();
  await world.connect();
  assert.deepEqual(decodeRequest(TICKET, world.socket.sent.at(-1)), { version: "1" });
  world.socket.say(TICKET, { ticket: "once" });
  const password = (socket) => decodeRequest(CONNECTION, socket.sent[0]).password;
  world.status(CONNECTION, 1, 2, 0);
  world.socket.lose();
  await world.clock.advance(100); // not noticed yet that we were gone: it is kept
  await world.clock.advance(200); // it has ended: the password
  assert.deepEqual(world.sockets.map(password), ["pw", "once", "once", "pw"]);
  assert.equal(world.sockets[2].closed.code, 1000);
  world.socket.lose();
  await world.clock.advance(100);
  assert.equal(password(world.socket), "pw");
});

test("who does not want to come back does not", async () => {
  const world = new World();
  const client = await world.connect("ada", { reconnect: false });
  const drawing = await client.create("d");
  const listing = assert.rejects(client.lobbies(), ConnectionClosed);
  const waiting = assert.rejects(drawing.waitFor(() => false), ConnectionClosed);
  world.socket.lose();
  await listing;
  await waiting;
  assert.throws(() => client.say("General", "hi"), ConnectionClosed);
  await world.clock.advance(60_000);
  assert.equal(world.sockets.length, 1);
});

test("closing ends a pause before one dials again", async () => {
  const world = new World();
  const client = await world.connect();
  world.socket.lose();
  await quiet();
  client.close();
  client.close();
  await world.clock.advance(60_000);
  assert.equal(world.sockets.length, 1);
  assert.equal(world.clock.waiting, 0);
});

test("closing while one dials closes what is dialled", async () => {
  const world = new World();
  const client = await world.connect();
  world.answers = false;
  world.socket.lose();
  await world.clock.advance(100);
  client.close();
  world.socket.say(CONNECTION, { status: 0 });
  await quiet();
  assert.ok(world.socket.closed);
});

test("chat, channels and lists", async () => {
  const world = new World();
  const client = await world.connect();
  const heard = [];
  client.on("message", (message) => heard.push(message));
  world.socket.say(CHANNEL_MESSAGE, { message: " salon ;  bonjour; Zoé " }, "Zoé");
  world.socket.say(CHANNEL_MESSAGE, { message: "no channel" });
  assert.deepEqual(heard, [
    { channel: "salon", author: "Zoé", content: "bonjour; Zoé", date: 77 },
    { channel: "", author: "", content: "no channel", date: 77 },
  ]);
  world.socket.take();
  client.say("salon", "a;b");
  assert.deepEqual(decodeRequest(CHANNEL_MESSAGE, world.socket.sent[0]), { message: "salon;a;b" });
  client.leaveChannel("salon");
  client.protect("d", "protected", "pw");
  assert.deepEqual(decodeObject(world.socket.sent[2]), {
    Filename: "d",
    Owner: "ada",
    Protection: "protected",
    Passcode: "pw",
  });
  assert.deepEqual(world.socket.take().slice(1), ["CHANNEL_DISCONNECT", LOBBY_INFO_CHANGE.name]);
  const asked = [client.channels(), client.lobbies()];
  world.socket.say(CHANNEL_FETCH, { listing: '[{"Name":"General","Clients":["ada"]}]' });
  world.socket.say(LOBBY_FETCH, { listing: "[]" });
  assert.deepEqual(await Promise.all(asked), [[{ Name: "General", Clients: ["ada"] }], []]);
  const late = assert.rejects(client.channels(), /no answer to CHANNEL_FETCH/);
  await world.clock.advance(30_000);
  await late;
});

test("one is put out, with a reason, and fences that are under way do not bring one back", async () => {
  const world = new World();
  const client = await world.connect();
  const drawing = await client.create("d");
  world.answers = false;
  const underWay = assert.rejects(drawing.draw(ADD_STROKE, STROKE), ConnectionClosed);
  world.socket.take();
  world.socket.say(LOBBY_PLAYER_KICK, { reason: "be nice" });
  await underWay;
  assert.equal(drawing.ended, "be nice");
  assert.deepEqual(world.socket.take(), ["LOBBY_DISCONNECT"]);
  const other = client.create("e");
  world.socket.say(LOBBY_CONNECT, { status: 3 }); // the two fences are answered late
  world.socket.say(LOBBY_CONNECT, { status: 3 });
  world.socket.say(LOBBY_CREATION, { status: 0 });
  assert.equal(client.drawing, await other);
});

test("a drawing that is gone when one comes back has ended", async () => {
  const world = new World();
  const client = await world.connect();
  const drawing = await client.create("d");
  world.status(LOBBY_CONNECT, 3);
  world.socket.lose();
  await world.clock.advance(100);
  assert.match(drawing.ended, /not there any more/);
  assert.equal(client.drawing, null);
});

test("one is asked to save, and says that it is done", async () => {
  const world = new World();
  const client = await world.connect();
  await client.create("d");
  world.socket.take();
  world.socket.say(UPDATE_DATABASE, {});
  assert.deepEqual(world.socket.take(), ["UPDATE_DATABASE"]);
});

for (const [what, data] of [
  ["text", "hello"],
  ["half a packet", new Uint8Array([9, 0, 28, 0, 0, 0, 0, 0]).buffer],
  ["a packet that does not conform", new Uint8Array([8, 0, 28, 0, 0, 0, 0, 0]).buffer],
]) {
  test(`${what} from the server ends the connection`, async () => {
    const world = new World();
    await world.connect();
    world.socket.onmessage({ data });
    assert.equal(world.socket.closed.code, 3007);
    await world.clock.advance(100);
    assert.equal(world.sockets.length, 2);
  });
}

test("packets of a later version of the protocol are ignored", async () => {
  const world = new World();
  await world.connect();
  world.socket.onmessage({ data: new Uint8Array([8, 0, 200, 0, 0, 0, 0, 0]).buffer });
  assert.equal(world.socket.closed, null);
});

test("a platform without WebSocket is told", { skip: globalThis.WebSocket !== undefined }, async () => {
  await assert.rejects(connect("ws://there", "ada", "pw"), /hand one in/);
});

/** Joined, with the extension. */
async function extended(world) {
  const client = await world.connect("ada", { session: true });
  const drawing = await joined(world, client);
  await drawing.settled();
  return drawing;
}

const ADA = { key: 1, name: "ada", role: "owner", colour: 0, since: 5, away: false };
const BOB = { key: 2, name: "bob", role: "drawer", colour: 1, since: 6, away: false };

test("who is here, where they point, what they draw", async () => {
  const world = new World();
  const drawing = await extended(world);
  const { socket } = world;
  const told = [];
  for (const name of ["people", "pointer", "ink"]) drawing.on(name, (event) => told.push(event));
  socket.say(PEOPLE, { part: 0, people: JSON.stringify([ADA]) });
  socket.say(PEOPLE, { part: 1, people: JSON.stringify([BOB]) });
  assert.deepEqual(told.splice(0), [[ADA], [ADA, BOB]]);
  socket.say(PERSON, { gone: 0, person: JSON.stringify({ ...BOB, away: true }) });
  assert.deepEqual(drawing.people, [ADA, { ...BOB, away: true }]);
  told.splice(0);
  const view = { left: 0, top: 1, right: 2, bottom: 3 };
  for (const key of [1, 2, 3]) socket.say(POINTER, { key, x: 4, y: 5, ...view });
  assert.deepEqual(told.splice(0), [{ key: 2, name: "bob", x: 4, y: 5, view }]);
  const ink = { rgba: [1, 2, 3, 4], width: 2 };
  socket.say(INK, { key: 2, ...ink, done: 0, points: [1, 2] });
  socket.say(INK, { key: 2, ...ink, done: 1, points: [3, 4] });
  const shown = told.splice(0).map(({ key, name, points, done }) => [key, name, [...points], done]);
  assert.deepEqual(shown, [[2, "bob", [1, 2], false], [2, "bob", [3, 4], true]]);
  socket.say(INK, { key: 2, ...ink, done: 0, points: [5, 6] });
  socket.say(ADD_STROKE, STROKE, "bob");
  told.splice(0);
  socket.say(INK, { key: 2, ...ink, done: 1, points: [7, 8] }); // it is in the drawing by now
  assert.deepEqual(told, []);
  socket.say(PERSON, { gone: 1, person: JSON.stringify(BOB) });
  assert.deepEqual(told, [[ADA]]);
});

test("one's own pointer and ink are told now and then, and the end of the ink at once", async () => {
  const world = new World();
  const drawing = await extended(world);
  world.socket.say(PEOPLE, { part: 0, people: JSON.stringify([ADA, BOB]) });
  world.socket.take();
  const view = { left: -1e9, top: 0, right: 0, bottom: 0 };
  for (let i = 0; i < 10; i++) drawing.sendPointer(i, 0.5, view);
  drawing.sendInk({ rgba: [1, 2, 3, 4], width: 2, points: [1, 1], done: false });
  drawing.sendInk({ rgba: [1, 2, 3, 4], width: 2, points: [2, 2], done: false });
  assert.deepEqual(world.socket.sent, []);
  await world.clock.advance(32);
  assert.deepEqual(world.socket.sent, []);
  await world.clock.advance(1);
  const [pointer, ink] = world.socket.sent;
  const { x, left } = decodeRequest(POINTER, pointer);
  assert.deepEqual([x, left], [9, -8388607]);
  assert.deepEqual([...decodeRequest(INK, ink).points], [1, 1, 2, 2]);
  world.socket.take();
  for (const key of [1, 2]) world.socket.say(POINTER, { key, x: 4, y: 5, left: 0, top: 0, right: 1, bottom: 1 });
  drawing.sendPointer(1, 1, view); // one other person points, too: less often
  await world.clock.advance(37);
  assert.deepEqual(world.socket.take(), []);
  await world.clock.advance(1);
  assert.deepEqual(world.socket.take(), ["POINTER"]);
  drawing.sendInk({ rgba: [1, 2, 3, 4], width: 2, points: [3, 3], done: true });
  drawing.sendInk({ rgba: [1, 2, 3, 4], width: 2, points: Array(1100).fill(4), done: false });
  drawing.sendInk({ rgba: [1, 2, 3, 4], width: 2, points: [], done: true });
  drawing.setAway(true);
  const sent = world.socket.sent.map((packet) => PACKETS[packet[2]].name);
  assert.deepEqual(sent, ["INK", "INK", "AWAY"]);
  assert.deepEqual([...decodeRequest(INK, world.socket.sent[1]).points], []);
  drawing.sendInk({ rgba: [1, 2, 3, 4], width: 2, points: Array(1100).fill(4), done: true });
  assert.equal(world.socket.take().length, 5);
  world.socket.lose();
  drawing.sendPointer(1, 1, view);
  await world.clock.advance(50);
  drawing.leave();
});

test("one's own packets need no fences, and are applied where the server says", async () => {
  const world = new World();
  const drawing = await extended(world);
  const { socket } = world;
  socket.take();
  const first = drawing.draw(ADD_STROKE, STROKE);
  const second = drawing.draw(ADD_STROKE, { ...STROKE, points: [5, 5] });
  const third = drawing.draw(REMOVE_STROKE, { indices: [0] });
  assert.deepEqual(socket.take(), ["ADD_STROKE", "ADD_STROKE", "REMOVE_STROKE"]);
  socket.say(ADD_STROKE, { ...STROKE, points: [9, 9] }, "bob");
  socket.say(ACCEPTED, { number: 2, count: 2, sequence: 5, index: 1 });
  assert.deepEqual(await Promise.all([first, second]), ["applied", "applied"]);
  socket.say(REFUSED, { number: 3, reason: "bob holds it" });
  await assert.rejects(third, /bob holds it/);
  const points = drawing.canvas.strokes.map((stroke) => [...stroke.points]);
  assert.deepEqual(points, [[9, 9], [1, 2, 3, 4], [5, 5]]);
  const fourth = drawing.draw(REMOVE_STROKE, { indices: [2] });
  socket.say(FETCH_DATABASE, {}); // a resync, with everything up to the third packet in it
  socket.say(RESIZE_CANVAS, { length: 640, width: 480 });
  socket.say(ADD_STROKE, STROKE, "ada");
  socket.say(ADD_STROKE, { ...STROKE, index: 1 }, "ada");
  socket.say(ADD_STROKE, { ...STROKE, index: 2 }, "ada");
  socket.say(ACCEPTED, { number: 4, count: 1, sequence: 6, index: 0 });
  assert.equal(await fourth, "applied");
  assert.equal(drawing.canvas.strokes.length, 2);
  socket.say(ACCEPTED, { number: 4, count: 1, sequence: 6, index: 0 }); // of another drawing
  assert.deepEqual(socket.take(), ["REMOVE_STROKE", "FETCH_DATABASE"]);
  const fifth = drawing.draw(REMOVE_STROKE, { indices: [9] });
  socket.say(ACCEPTED, { number: 5, count: 1, sequence: 7, index: 0 }); // here is no such stroke
  assert.equal(await fifth, "resynced");
  assert.deepEqual(socket.take(), ["REMOVE_STROKE", "LOBBY_DISCONNECT", "LOBBY_CONNECT"]);
});

test("who comes back sends what the server has not had, once", async () => {
  const world = new World();
  const drawing = await extended(world);
  const had = drawing.draw(ADD_STROKE, STROKE);
  const lost = drawing.draw(ADD_STROKE, STROKE); // the very same again
  const removal = drawing.draw(REMOVE_STROKE, { indices: [0] });
  const ended = assert.rejects(removal, ConnectionClosed);
  world.socket.lose();
  const offline = drawing.draw(ADD_STROKE, STROKE);
  world.handled = 1;
  world.strokes = []; // it was refused, or is gone again: that the canvas shows
  await world.clock.advance(100);
  world.replay();
  await ended;
  assert.equal(await had, "resynced");
  const added = world.socket.take().filter((name) => name === "ADD_STROKE");
  assert.equal(added.length, 2);
  world.socket.say(ACCEPTED, { number: 3, count: 2, sequence: 5, index: 0 });
  assert.deepEqual(await Promise.all([lost, offline]), ["applied", "applied"]);
});

test("undo and redo are the server's, and say what came of them", async () => {
  const world = new World();
  const drawing = await extended(world);
  const told = [];
  drawing.on("history", (history) => told.push(history));
  world.socket.take();
  const undone = drawing.undo();
  const redone = drawing.redo();
  assert.deepEqual(world.socket.take(), ["UNDO", "REDO"]);
  world.socket.say(UNDONE, { redo: 0, done: 1, reason: "" });
  world.socket.say(HISTORY, { undo: 0, redo: 1 });
  world.socket.say(UNDONE, { redo: 1, done: 0, reason: "bob holds it" });
  assert.deepEqual(await undone, { done: true, reason: "" });
  assert.deepEqual(await redone, { done: false, reason: "bob holds it" });
  assert.deepEqual(told, [{ canUndo: false, canRedo: true }]);
  const lost = assert.rejects(drawing.undo(), ConnectionClosed);
  world.socket.lose();
  await lost;
  assert.equal((await drawing.undo()).done, false);
  drawing.leave();
});

test("what is drawn in one go is one gesture, and what is drawn between begin and end", async () => {
  const world = new World();
  const drawing = await extended(world);
  world.socket.take();
  drawing.draw(ADD_STROKE, STROKE);
  await quiet();
  assert.deepEqual(world.socket.names, ["ADD_STROKE"]);
  world.socket.take();
  for (let i = 0; i < 3; i++) drawing.draw(ADD_STROKE, STROKE);
  await quiet();
  const grouped = ["ADD_STROKE", "GESTURE", "ADD_STROKE", "ADD_STROKE", "GESTURE"];
  assert.deepEqual(world.socket.names, grouped);
  const [, begins, , , ends] = world.socket.sent;
  assert.deepEqual([begins, ends].map((p) => decodeRequest(GESTURE, p).more), [1, 0]);
  world.socket.take();
  drawing.beginGesture();
  for (let i = 0; i < 3; i++) {
    drawing.draw(ADD_STROKE, STROKE);
    await quiet();
  }
  drawing.endGesture();
  assert.deepEqual(world.socket.names, grouped);
});

test("without the extension there is nothing of it", async () => {
  const world = new World();
  const client = await world.connect();
  const drawing = await joined(world, client);
  for (const name of ["sendPointer", "sendInk", "setAway", "undo", "redo"]) {
    assert.equal(typeof drawing[name], "undefined");
  }
  assert.equal(typeof (await extended(new World())).undo, "function");
  assert.deepEqual([drawing.people, drawing.history], [[], { canUndo: false, canRedo: false }]);
});
