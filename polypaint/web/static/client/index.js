/** The public surface of polypaint-client. */

export {
  Splitter,
  author,
  check,
  decode,
  decodeObject,
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  header,
  split,
} from "./codec.js";
export { divide } from "./divide.js";
export { Drawing } from "./drawing.js";
export {
  ConnectionClosed,
  LoginFailed,
  PolypaintError,
  ProtocolError,
  Refused,
  Stale,
} from "./errors.js";
export * from "./packets.js";
export { PixelCanvas } from "./pixels.js";
export { FILTERS, Raster, WHITE, fill, place, stamp, turn } from "./raster.js";
export { Presence } from "./presence.js";
export { Own, Replica } from "./replica.js";
export { Client, connect } from "./session.js";
export { Stroke, StrokeCanvas } from "./strokes.js";
