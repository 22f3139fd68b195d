/** The session against a scripted server. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ADD_STROKE,
  CHANNEL_FETCH,
  CHANNEL_MESSAGE,
  CONNECTION,
  CREATE_ACCOUNT,
  ConnectionClosed,
  HELLO,
  LOBBY_CONNECT,
  LOBBY_CREATION,
  LOBBY_FETCH,
  LOBBY_FREEZE_STATE,
  LOBBY_INFO_CHANGE,
  LOBBY_PLAYER_KICK,
  LoginFailed,
  REMOVE_STROKE,
  RESIZE_CANVAS,
  Refused,
  SELECTED_STROKE,
  TICKET,
  UPDATE_DATABASE,
  connect,
  decodeObject,
  decodeRequest,
} from "../../polypaint/web/static/client/index.js";
import { STROKE, World, joined, quiet } from "./scripted.js";

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
