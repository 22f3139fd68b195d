/** What is said in channels. Counterpart: `session.js`. */

import { author, decodeReply, header } from "./codec.js";
import { CHANNEL_MESSAGE } from "./packets.js";

/**
 * Something said in a channel. author: empty when the server says it. date: UTC seconds.
 *
 * @typedef {{ channel: string, author: string, content: string, date: number }} Message
 */

/**
 * The message in a CHANNEL_MESSAGE.
 *
 * @param {Uint8Array} packet
 * @returns {Message}
 */
export function message(packet) {
  const { message: text } = decodeReply(CHANNEL_MESSAGE, packet);
  const at = text.indexOf(";");
  const channel = trimmed(text.slice(0, Math.max(at, 0)));
  const content = trimmed(text.slice(at + 1));
  return { channel, author: author(packet), content, date: header(packet).date };
}

/**
 * Without spaces at the ends: of all that is white, only spaces.
 *
 * @param {string} text
 */
function trimmed(text) {
  let start = 0;
  let end = text.length;
  while (start < end && text[start] === " ") start++;
  while (end > start && text[end - 1] === " ") end--;
  return text.slice(start, end);
}
