/** The session with the extension of the wire, against a scripted server. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ADD_STROKE,
  ConnectionClosed,
  FETCH_DATABASE,
  ACCEPTED,
  GESTURE,
  HELLO,
  HISTORY,
  INK,
  LOBBY_CONNECT,
  PACKETS,
  PEOPLE,
  PERSON,
  POINTER,
  REFUSED,
  REMOVE_STROKE,
  RESIZE_CANVAS,
  UNDONE,
  connect,
  decodeRequest,
} from "../../polypaint/web/static/client/index.js";
import { STROKE, World, extended, joined, quiet } from "./scripted.js";

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
