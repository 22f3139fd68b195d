/**
 * The client: accounts, lobbies, chat and drawing over WebSocket.
 *
 *     const client = await connect("ws://127.0.0.1:7680/ws/paint", "ada", "secret", { create: true });
 *     const drawing = await client.create("harbour");
 *     await drawing.draw(ADD_STROKE, { index: 0, rgba: [32, 96, 192, 255], height: 3, width: 3,
 *                                      points: [10, 10, 200, 120] });
 *
 * A lost connection is made again, with back-off; the lobby and the channels are joined again and
 * the canvas is brought up to date. The WebSocket's class, the clock and randomness are handed in,
 * those of the platform by default.
 */

import { message } from "./chat.js";
import { decodeReply, encodeRequest, utf8 } from "./codec.js";
import { Connection, deferred, within } from "./connection.js";
import { Drawing } from "./drawing.js";
import { Emitter } from "./emitter.js";
import { ConnectionClosed, Refused } from "./errors.js";
import { Login, isFinal, refusedAccount, tookOver } from "./login.js";
import {
  ACCEPTED,
  CHANNEL_CREATION,
  CHANNEL_DISCONNECT,
  CHANNEL_FETCH,
  CHANNEL_MESSAGE,
  FETCH_DATABASE,
  HELLO,
  LOBBY_CONNECT,
  LOBBY_CREATION,
  LOBBY_DISCONNECT,
  LOBBY_FETCH,
  LOBBY_FREEZE_STATE,
  LOBBY_INFO_CHANGE,
  LOBBY_PLAYER_KICK,
  NUMBER_MAX,
  PACKETS,
  REFUSED,
  TICKET,
  UPDATE_DATABASE,
} from "./packets.js";
import { Queue } from "./queue.js";
import { parse } from "./strictjson.js";

/** @import { Message } from "./chat.js" */
/** @import { Loose } from "./codec.js" */
/** @import { Clock, Deferred, SocketClass } from "./connection.js" */
/** @import { Packet } from "./packets.js" */
/** @import { LobbyInfo } from "./replica.js" */

const ANSWER_MS = 30_000;
const BACKOFF_MS = 100;
const BACKOFF_MS_MAX = 10_000;
const CREATED = 0;
const CONNECTED = 1;
const NAME_TAKEN = 1;
/** Which answer lets one in, by the type of the packet. @type {ReadonlyMap<number, number>} */
const ENTRANCES = new Map([
  [LOBBY_CREATION.id, CREATED],
  [LOBBY_CONNECT.id, CONNECTED],
]);

/**
 * @typedef {Object} Options
 * @property {boolean} [create] make the account first if it does not exist
 * @property {boolean} [session] have the extension. With an empty name and password one is who the
 *   browser's cookie says, with an empty name and a token as password, who the token says
 * @property {boolean} [takeover] with `session`: end the same person's other session
 * @property {boolean} [reconnect] come back after a lost connection (default: yes)
 * @property {SocketClass} [WebSocket]
 * @property {Clock} [clock]
 * @property {() => number} [random] at least 0, less than 1
 */

/** A lobby in a list. @typedef {LobbyInfo & { Clients: string[] }} ListedLobby */

/**
 * @typedef {Packet<{ lobby: string }, { status: number }>} Entrance
 */

/**
 * A connection with a name.
 *
 * @param {string} address `ws://host:port/ws/paint` or `wss://…`
 * @param {string} name
 * @param {string} password
 * @param {Options} [options]
 * @returns {Promise<Client>} when one is logged in
 * @throws {LoginFailed}
 * @throws {ConnectionClosed}
 */
export async function connect(address, name, password, options = {}) {
  const client = new Client(address, name, password, options);
  await client.open();
  return client;
}

/**
 * Made by `connect`. message: something was said. offline: the connection is lost, and will be
 * made again. online: it is back. end: it is closed for good; with the reason.
 *
 * @extends {Emitter<{ message: [Message], offline: [string], online: [], end: [string] }>}
 */
export class Client extends Emitter {
  /** The lobby that one is in. @type {Drawing | null} */
  drawing = null;
  #address;
  #password;
  /** What stands in for the password when the connection is made again. */
  #ticket = "";
  /** The name that was given, which may be empty where a session says who one is. */
  #given;
  #create;
  #login;
  #reconnect;
  #WebSocket;
  #clock;
  #random;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {Map<number, Queue<Deferred<Uint8Array>>>} */
  #answers = new Map();
  /** @type {Set<string>} */
  #channels = new Set();
  /** @type {Drawing | null} */
  #entering = null;
  #staleAnswers = 0;
  /** The number of the last drawing packet. */
  #drawn = 0;
  #ended = "";
  /** Ends the pause before one dials again. @type {(() => void) | null} */
  #wake = null;

  /**
   * @param {string} address
   * @param {string} name
   * @param {string} password
   * @param {Options} options
   * @internal
   */
  constructor(address, name, password, options) {
    super();
    this.name = name;
    /** The name in UTF-8. */
    this.nameBytes = this.#given = utf8(name);
    this.#address = address;
    this.#password = password;
    this.#create = options.create ?? false;
    this.#reconnect = options.reconnect ?? true;
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#clock = options.clock ?? {
      now: Date.now,
      setTimeout: (work, milliseconds) => setTimeout(work, milliseconds),
      clearTimeout: (timer) => clearTimeout(timer),
    };
    this.#random = options.random ?? Math.random;
    const { session = false, takeover = false } = options;
    this.#login = new Login(this.#clock, ANSWER_MS, this.#random, session, takeover);
    if (this.#WebSocket === undefined) {
      throw new TypeError("this platform has no WebSocket: hand one in as options.WebSocket");
    }
  }

  /** UTC seconds, for packets. */
  get date() {
    return Math.floor(this.#clock.now() / 1000);
  }

  /** Does this client have the extension? @internal */
  get extended() {
    return this.#login.extended;
  }

  /**
   * How many of its drawing packets the server has had, as it said when one came back; -1: it does
   * not know.
   *
   * @internal
   */
  get handled() {
    return this.#login.handled;
  }

  /** The number of the next drawing packet. @internal */
  nextNumber() {
    return (this.#drawn = (this.#drawn % NUMBER_MAX) + 1);
  }

  /** @internal */
  get clock() {
    return this.#clock;
  }

  // ------------------------------------------------------------ connecting
  /**
   * Connect and log in.
   *
   * @throws {LoginFailed}
   * @throws {ConnectionClosed}
   * @internal
   */
  async open() {
    this.#listen(await this.#dial());
  }

  /** Log out and close. */
  close() {
    this.#end("closed");
  }

  /** A new connection, logged in. */
  async #dial() {
    if (this.#ticket) {
      try {
        return await this.#loggedIn(this.nameBytes, this.#ticket);
      } catch (error) {
        if (!isFinal(error)) throw error;
        this.#ticket = ""; // it has ended, or the password is another now
      }
    }
    return this.#loggedIn(this.#given, this.#password);
  }

  /**
   * @param {Uint8Array} name
   * @param {string} password
   */
  async #loggedIn(name, password) {
    let connection = await this.#connected();
    try {
      if (this.#create) {
        const status = await this.#login.create(connection, name, password);
        if (status === NAME_TAKEN) {
          // Ours, perhaps: the password decides.
          connection.close();
          connection = await this.#connected();
        } else if (status) throw refusedAccount(status);
        this.#create = false;
      }
      this.name = await this.#login.enter(connection, name, password);
      this.nameBytes = utf8(this.name);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  async #connected() {
    const connection = new Connection(this.#WebSocket, this.#address);
    try {
      await connection.open(this.#clock, ANSWER_MS);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  /** @param {Connection} connection */
  #listen(connection) {
    this.#connection = connection;
    this.#drawn = Math.max(0, this.handled);
    if (this.#reconnect && this.#password) this.#send(TICKET, { version: "1" });
    connection.listen(
      (packet) => this.#receive(packet),
      (reason) => this.#lost(reason),
    );
  }

  /** @param {string} reason */
  #lost(reason) {
    if (this.#ended) return;
    this.#connection = null;
    this.#failAnswers(reason);
    if (!this.#reconnect) {
      this.#end(reason);
      return;
    }
    this.drawing?.rejoining();
    this.emit("offline", reason);
    void this.#comeBack();
  }

  /** Connect again, with back-off, and go where one was. */
  async #comeBack() {
    for (let pause = BACKOFF_MS; ; pause = Math.min(2 * pause, BACKOFF_MS_MAX)) {
      await this.#sleep(pause * (0.5 + this.#random()));
      if (this.#ended) return;
      try {
        const connection = await this.#dial();
        if (this.#ended) connection.close();
        else this.#resume(connection);
        return;
      } catch (error) {
        // "Already connected": the server has not noticed yet that we were gone.
        if (isFinal(error)) {
          this.#end(/** @type {Error} */ (error).message);
          return;
        }
        if (!(error instanceof ConnectionClosed)) throw error;
      }
    }
  }

  /** @param {Connection} connection */
  #resume(connection) {
    this.#connection = connection;
    this.#staleAnswers = 0;
    for (const channel of this.#channels) this.#send(CHANNEL_CREATION, { channel });
    if (this.drawing) this.#send(LOBBY_CONNECT, { lobby: JSON.stringify(this.drawing.info) });
    this.emit("online");
    this.#listen(connection);
  }

  /** @param {number} milliseconds */
  async #sleep(milliseconds) {
    await new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => resolve(undefined), milliseconds);
      this.#wake = () => {
        this.#clock.clearTimeout(timer);
        resolve(undefined);
      };
    });
    this.#wake = null;
  }

  /** @param {string} reason */
  #end(reason) {
    if (this.#ended) return;
    this.#ended = reason;
    this.#wake?.();
    this.#connection?.close();
    this.#connection = null;
    this.#failAnswers(reason);
    this.#leaveDrawing(reason);
    this.emit("end", reason);
  }

  /** @param {string} reason */
  #failAnswers(reason) {
    for (const waiting of this.#answers.values()) {
      for (const answer of waiting) answer.reject(new ConnectionClosed(reason));
    }
    this.#answers.clear();
    this.#entering = null;
  }

  // ------------------------------------------------------------ receiving
  /** @param {Uint8Array} packet conforms to its layout */
  #receive(packet) {
    const kind = PACKETS[packet[2]];
    const { drawing } = this;
    if (kind === CHANNEL_MESSAGE) this.emit("message", message(packet));
    else if (kind === TICKET) this.#ticket = decodeReply(TICKET, packet).ticket;
    else if (kind === HELLO && tookOver(packet)) this.#end("taken over");
    else if (kind === LOBBY_PLAYER_KICK) this.#kicked(packet);
    else if (kind === LOBBY_CONNECT && this.#staleAnswers) this.#staleAnswers--;
    else if (kind === LOBBY_CONNECT && drawing?.answers) {
      if (decodeReply(LOBBY_CONNECT, packet).status === CONNECTED) drawing.receive(packet);
      else this.#leaveDrawing("the drawing is not there any more, or not for you");
    } else if (this.#answers.get(packet[2])?.length) this.#answered(packet);
    else if (kind === UPDATE_DATABASE) this.#send(UPDATE_DATABASE, {});
    else if (kind?.relayed || kind === LOBBY_FREEZE_STATE || kind === FETCH_DATABASE) {
      drawing?.receive(packet);
    } else if (kind === ACCEPTED || kind === REFUSED) drawing?.receive(packet);
    else if (kind?.extension) drawing?.receiveExtension(packet);
  }

  /** @param {Uint8Array} packet */
  #answered(packet) {
    const letsIn = ENTRANCES.get(packet[2]);
    if (this.#entering && letsIn !== undefined) {
      const { status } = decodeReply(/** @type {Entrance} */ (PACKETS[packet[2]]), packet);
      if (status === letsIn) this.drawing = this.#entering;
      this.#entering = null;
    }
    this.#answers.get(packet[2])?.shift()?.resolve(packet);
  }

  /** @param {Uint8Array} packet */
  #kicked(packet) {
    const underWay = this.drawing !== null && this.drawing.answers > 0;
    this.#leaveDrawing(decodeReply(LOBBY_PLAYER_KICK, packet).reason);
    // A fence that arrives after the kick may have let us in again.
    if (underWay) this.#send(LOBBY_DISCONNECT, {});
  }

  /** @param {string} reason */
  #leaveDrawing(reason) {
    const { drawing } = this;
    this.drawing = null;
    if (!drawing) return;
    this.#staleAnswers += drawing.answers;
    drawing.end(reason);
  }

  // ------------------------------------------------------------ sending
  /**
   * A whole packet, as it is.
   *
   * @param {Uint8Array} packet
   * @throws {ConnectionClosed}
   * @internal
   */
  send(packet) {
    if (!this.#connection) throw new ConnectionClosed(this.#ended || "not connected");
    this.#connection.send(packet);
  }

  /**
   * @template Request
   * @param {Packet<Request, any>} kind
   * @param {Loose<Request>} values
   */
  #send(kind, values) {
    this.send(encodeRequest(kind, this.date, this.nameBytes, values));
  }

  /**
   * Send a request and wait for its answer.
   *
   * @template Request, Reply
   * @param {Packet<Request, Reply>} kind
   * @param {Loose<Request>} values
   */
  async #request(kind, values) {
    /** @type {Deferred<Uint8Array>} */
    const answer = deferred();
    this.#send(kind, values);
    let waiting = this.#answers.get(kind.id);
    if (waiting === undefined) this.#answers.set(kind.id, (waiting = new Queue()));
    waiting.push(answer);
    const packet = await within(this.#clock, ANSWER_MS, answer, `no answer to ${kind.name}`);
    return decodeReply(kind, packet);
  }

  // ------------------------------------------------------------ lobbies
  /**
   * The active lobbies.
   *
   * @returns {Promise<ListedLobby[]>}
   * @throws {ConnectionClosed}
   */
  async lobbies() {
    const { listing } = await this.#request(LOBBY_FETCH, {});
    return /** @type {ListedLobby[]} */ (parse(listing));
  }

  /**
   * Create a lobby, or reopen one's own stored drawing.
   *
   * @param {string} filename
   * @param {{ mode?: "stroke" | "pixel", protection?: string, passcode?: string }} [rules]
   * @throws {Refused}
   * @throws {ConnectionClosed}
   */
  async create(filename, { mode = "stroke", protection = "public", passcode = "" } = {}) {
    const info = lobby(filename, this.name, mode, protection, passcode);
    return this.#enter(info, LOBBY_CREATION, `there is a drawing ${filename} already`);
  }

  /**
   * Join a lobby and wait for its canvas.
   *
   * @param {string} filename
   * @param {string} [passcode]
   * @throws {Refused}
   * @throws {ConnectionClosed}
   */
  async join(filename, passcode = "") {
    const info = lobby(filename, "", "", "public", passcode);
    const no = `there is no drawing ${filename}, or it is not for you`;
    const drawing = await this.#enter(info, LOBBY_CONNECT, no);
    await drawing.waitFor(() => drawing.filled);
    return drawing;
  }

  /**
   * Join a lobby; create it when there is none.
   *
   * @param {string} filename
   * @param {"stroke" | "pixel"} [mode]
   * @throws {Refused}
   * @throws {ConnectionClosed}
   */
  async joinOrCreate(filename, mode = "stroke") {
    try {
      return await this.join(filename);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return this.create(filename, { mode });
    }
  }

  /**
   * Leave where one is; from a good answer on, what comes is for the new drawing.
   *
   * @param {LobbyInfo} info
   * @param {Entrance} kind
   * @param {string} no
   */
  async #enter(info, kind, no) {
    this.leave();
    const drawing = (this.#entering = new Drawing(this, info));
    const { status } = await this.#request(kind, { lobby: JSON.stringify(info) });
    if (status !== ENTRANCES.get(kind.id)) throw new Refused(no);
    return drawing;
  }

  /** Leave the present lobby. */
  leave() {
    if (!this.drawing) return;
    if (this.#connection) this.#send(LOBBY_DISCONNECT, {});
    this.#leaveDrawing("you left");
  }

  /**
   * Change who may enter one's lobby. There is no answer.
   *
   * @param {string} filename
   * @param {"public" | "protected" | "private"} protection
   * @param {string} [passcode]
   * @throws {ConnectionClosed}
   */
  protect(filename, protection, passcode = "") {
    const { Filename, Owner, Protection, Passcode } = lobby(
      filename,
      this.name,
      "",
      protection,
      passcode,
    );
    const info = JSON.stringify({ Filename, Owner, Protection, Passcode });
    this.#send(LOBBY_INFO_CHANGE, { info });
  }

  // ------------------------------------------------------------ chat
  /**
   * The chat channels.
   *
   * @returns {Promise<{ Name: string, Clients: string[] }[]>}
   * @throws {ConnectionClosed}
   */
  async channels() {
    const { listing } = await this.#request(CHANNEL_FETCH, {});
    return /** @type {{ Name: string, Clients: string[] }[]} */ (parse(listing));
  }

  /**
   * Create a channel, or join it. `General` is joined at login.
   *
   * @param {string} channel
   * @throws {ConnectionClosed}
   */
  joinChannel(channel) {
    this.#channels.add(channel);
    this.#send(CHANNEL_CREATION, { channel });
  }

  /**
   * @param {string} channel
   * @throws {ConnectionClosed}
   */
  leaveChannel(channel) {
    this.#channels.delete(channel);
    this.#send(CHANNEL_DISCONNECT, { channel });
  }

  /**
   * Say something in a channel that one is in.
   *
   * @param {string} channel
   * @param {string} content
   * @throws {ConnectionClosed}
   */
  say(channel, content) {
    this.#send(CHANNEL_MESSAGE, { message: `${channel};${content}` });
  }
}

/**
 * @param {string} Filename
 * @param {string} Owner
 * @param {string} Mode
 * @param {string} Protection
 * @param {string} Passcode
 * @returns {LobbyInfo}
 */
function lobby(Filename, Owner, Mode, Protection, Passcode) {
  return { Filename, Owner, Mode, Protection, Passcode };
}
