/** The server's HTTP API, as far as the page uses it. */

import { t } from "../i18n/index.js";

/**
 * @typedef {Object} Session
 * @property {string | null} name null: nobody is signed in
 * @property {boolean} guest
 * @property {string[]} rights
 */

/** @typedef {"public" | "protected" | "private"} Protection */

/**
 * A drawing in a list. people: null when the caller may not know. changed: seconds since 1970.
 *
 * @typedef {Object} Listed
 * @property {string} name
 * @property {"stroke" | "pixel"} mode
 * @property {Protection} protection
 * @property {string} owner
 * @property {string[] | null} [people]
 * @property {string | null} [thumbnail]
 * @property {number | null} [changed]
 */

/** The server said no. The message is fit to be shown. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status 0: there was no answer
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** @type {Readonly<Record<number, "apiWrongPassword" | "apiSlowDown" | "apiTooLarge">>} */
const KNOWN = { 401: "apiWrongPassword", 413: "apiTooLarge", 429: "apiSlowDown" };

/**
 * One request with JSON both ways.
 *
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body] a Blob is sent as it is
 * @returns {Promise<any>} null when the answer is empty
 * @throws {ApiError}
 */
export async function api(method, path, body) {
  /** @type {RequestInit} */
  const request = { method, credentials: "same-origin", headers: { Accept: "application/json" } };
  if (body instanceof Blob) request.body = body;
  else if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { Accept: "application/json", "Content-Type": "application/json" };
  }
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw new ApiError(t("apiNoAnswer"), 0);
  }
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : null;
  throw new ApiError(reason(answer.status, text), answer.status);
}

/**
 * @param {number} status
 * @param {string} text
 */
function reason(status, text) {
  if (KNOWN[status]) return t(KNOWN[status]);
  try {
    const { detail, title } = JSON.parse(text);
    return String(detail || title);
  } catch {
    return t("apiFailed");
  }
}

/**
 * Where a drawing is in the API.
 *
 * @param {string} name
 * @param {string} [rest]
 */
export function drawingPath(name, rest = "") {
  return `/api/lobbies/${encodeURIComponent(name)}${rest}`;
}

/**
 * Where a drawing's page is. A passcode travels only behind the #, which is not sent to servers.
 *
 * @param {string} name
 * @param {string} [passcode]
 */
export function pagePath(name, passcode = "") {
  return `/d/${encodeURIComponent(name)}${passcode ? `#${encodeURIComponent(passcode)}` : ""}`;
}

/** @returns {Promise<Session>} */
export function whoAmI() {
  return api("GET", "/api/session");
}

/**
 * Who one is; nobody becomes a guest.
 *
 * @param {Session} session
 * @returns {Promise<Session>}
 */
export async function somebody(session) {
  return session.name ? session : api("POST", "/api/accounts/guest");
}

/** @returns {Promise<Listed[]>} */
export function drawings() {
  return api("GET", "/api/lobbies");
}

/** @returns {Promise<Listed[]>} */
export function ownDrawings() {
  return api("GET", "/api/me/drawings");
}

/**
 * What one may know of a drawing; null when there is none, or it is not for one's eyes.
 *
 * @param {string} name
 * @returns {Promise<Listed | null>}
 */
export async function drawing(name) {
  try {
    return await api("GET", drawingPath(name));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/**
 * Create a drawing.
 *
 * @param {{ name: string, mode: "stroke" | "pixel", protection: Protection, passcode: string }} values
 * @returns {Promise<Listed>}
 * @throws {ApiError}
 */
export function create(values) {
  return api("POST", "/api/lobbies", values);
}

/** Where one draws. */
export function socketAddress() {
  return `${location.origin.replace("http", "ws")}/ws/paint`;
}
