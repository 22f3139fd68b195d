/**
 * A page with nothing but the surface, for `tests/test_page_surface.py`: it logs in and draws in
 * the lobby that the address names. What tests look at is on `window`.
 */

import { connect } from "/client/index.js";
import { Surface } from "/page/surface/surface.js";

const wanted = new URLSearchParams(location.search);
const get = (key) => wanted.get(key) ?? "";

const options = { create: true, session: get("session") === "true" };
const client = await connect(get("address"), get("name"), "pw", options);
const drawing = await client.joinOrCreate(get("lobby"), get("mode") || "stroke");
window.joinedAt = performance.now();
const host = document.getElementById("host");
const touch = get("touch") || "auto";
const surface = new Surface(host, drawing, { name: client.name, reduced: true, touch });
const refused = [];
surface.on("refused", (text) => refused.push(text));

Object.assign(window, { client, drawing, surface, refused });
document.documentElement.dataset.ready = "yes";
