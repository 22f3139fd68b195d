/**
 * Logging in, the first thing that is said on a connection: with CONNECTION, or with HELLO, which
 * asks for the extension too. Counterpart: `session.js`.
 */

import { decodeReply, encodeRequest } from "./codec.js";
import { LoginFailed } from "./errors.js";
import { CONNECTION, CREATE_ACCOUNT, HELLO } from "./packets.js";

/** @import { Clock, Connection } from "./connection.js" */
/** @import { Packet } from "./packets.js" */

/** @typedef {"connected" | "password" | "busy"} LoginCode */

const ACCEPTED = 0;
const ALREADY_CONNECTED = 1;
const TAKEN_OVER = 3;
const BUSY = 4;
/** Of the extension, as it is spoken here. */
const VERSION = 1;
/** Flag of HELLO: end the same person's other session. */
const TAKEOVER = 1;
const NUMBERS = 0x7fffff;
/** @type {Readonly<Record<number, string>>} */
const LOGIN = {
  1: "already connected",
  2: "no such name and password, or not signed in",
  4: "the server asks to come back later",
};
/** @type {Readonly<Record<number, LoginCode>>} */
const CODES = { 1: "connected", 2: "password", 4: "busy" };
/** @type {Readonly<Record<number, string>>} */
const ACCOUNT = { 1: "the name is taken", 2: "the server refused this name or password" };

/** How one client logs in, each time that it connects. */
export class Login {
  /** Is the extension asked for? */
  extended;
  /** How many drawing packets of this client the server has had; -1: it does not know. */
  handled = -1;
  #clock;
  #wait;
  #takeover;
  /** By which the server knows that it is the same client that comes back. */
  #client;

  /**
   * @param {Clock} clock
   * @param {number} wait milliseconds for an answer
   * @param {() => number} random
   * @param {boolean} extended with HELLO
   * @param {boolean} takeover end the same person's other session, the first time
   */
  constructor(clock, wait, random, extended, takeover) {
    this.#clock = clock;
    this.#wait = wait;
    this.extended = extended;
    this.#takeover = takeover;
    this.#client = 1 + Math.floor(random() * (NUMBERS - 1));
  }

  /**
   * Log in; the name of the account.
   *
   * @param {Connection} connection
   * @param {Uint8Array} name empty: whoever the cookie, or the token as password, says
   * @param {string} password
   * @throws {LoginFailed}
   */
  async enter(connection, name, password) {
    const { status, account } = this.extended
      ? await this.#hello(connection, name, password)
      : { status: await this.#ask(connection, CONNECTION, name, password), account: null };
    const given = new TextDecoder("utf-8").decode(name);
    if (status !== ACCEPTED) {
      const as = given && ` as ${given}`;
      throw new LoginFailed(`cannot log in${as}: ${LOGIN[status]}`, status, CODES[status]);
    }
    this.#takeover = false; // who has been taken over since does not take it back
    return account ?? given;
  }

  /**
   * Make an account; the status that comes back.
   *
   * @param {Connection} connection
   * @param {Uint8Array} name
   * @param {string} password
   */
  create(connection, name, password) {
    return this.#ask(connection, CREATE_ACCOUNT, name, password);
  }

  /**
   * @param {Connection} connection
   * @param {Packet<{ password: string }, { status: number }>} kind
   * @param {Uint8Array} name
   * @param {string} password
   */
  async #ask(connection, kind, name, password) {
    connection.send(encodeRequest(kind, this.#date, name, { password }));
    return decodeReply(kind, await connection.next(this.#clock, this.#wait)).status;
  }

  /**
   * @param {Connection} connection
   * @param {Uint8Array} name
   * @param {string} password
   */
  async #hello(connection, name, password) {
    const flags = this.#takeover ? TAKEOVER : 0;
    const values = { version: VERSION, flags, client: this.#client, password };
    connection.send(encodeRequest(HELLO, this.#date, name, values));
    const answer = decodeReply(HELLO, await connection.next(this.#clock, this.#wait));
    this.handled = answer.handled;
    return answer;
  }

  get #date() {
    return Math.floor(this.#clock.now() / 1000);
  }
}

/**
 * Would the same login be refused again, whenever one tries?
 *
 * @param {unknown} error
 */
export function isFinal(error) {
  return error instanceof LoginFailed && error.status !== ALREADY_CONNECTED && error.status !== BUSY;
}

/**
 * Why no account was made.
 *
 * @param {number} status
 */
export function refusedAccount(status) {
  return new LoginFailed(ACCOUNT[status], status);
}

/**
 * Does this HELLO say that the same person goes on elsewhere?
 *
 * @param {Uint8Array} packet
 */
export function tookOver(packet) {
  return decodeReply(HELLO, packet).status === TAKEN_OVER;
}
