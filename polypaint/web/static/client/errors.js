/**
 * The error tree. Every message says what happened and, where a person can act, what to do.
 *
 *     PolypaintError
 *     ├── ProtocolError     bytes or values do not conform to the protocol
 *     ├── Refused           a rule of the drawing said no; nothing has changed
 *     │   └── Stale         … because the canvas has changed meanwhile, or is full
 *     └── ConnectionClosed  the connection to the server has ended
 *         └── LoginFailed   … because the server did not accept name and password
 */

/** Anything that this package throws on purpose. */
export class PolypaintError extends Error {
  /** @override */
  get name() {
    return this.constructor.name;
  }
}

/** Bytes or values do not conform to the protocol. */
export class ProtocolError extends PolypaintError {}

/** A rule of the drawing said no; nothing has changed. */
export class Refused extends PolypaintError {}

/** The packet does not fit the canvas as it is by now. */
export class Stale extends Refused {}

/** The connection to the server has ended. */
export class ConnectionClosed extends PolypaintError {}

/** The server did not accept this name and password. */
export class LoginFailed extends ConnectionClosed {
  /**
   * @param {string} message
   * @param {number} status what the server answered: see CONNECTION, CREATE_ACCOUNT and HELLO
   * @param {"" | "connected" | "password" | "busy"} [code] why: the same person is connected
   *   elsewhere; no such name and password, or not signed in; the server asks to come back later
   */
  constructor(message, status, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}
