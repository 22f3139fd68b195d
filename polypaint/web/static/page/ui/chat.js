/** Chat in several channels. */

import { timeOfDay, t } from "../i18n/index.js";
import { fill, h, iconButton } from "./dom.js";
import { avatar } from "./naming.js";

/** @import { Desk } from "./desk.js" */

/** @typedef {{ author: string, content: string, date: number }} Line */
/** @typedef {{ name: string, lines: Line[], unread: number, tab: HTMLElement }} Channel */

const GENERAL = "General";
const LINES_MAX = 500;
const CHANNEL_BYTES_MAX = 64;
const LEAST_AT_END_PX = 40;

export class Chat {
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  #current = "";
  #desk;
  #tabs = h("div", { class: "tabs", role: "tablist", "aria-label": t("channels") });
  #log = h("div", { class: "log", role: "log", "aria-label": t("chatLog"), tabindex: "0" });
  #leave = iconButton("close", t("leaveChannel"), () => this.#left());
  #message = h("input", {
    "aria-label": t("message"),
    placeholder: t("message"),
    maxlength: "2000",
    autocomplete: "off",
    enterkeyhint: "send",
    "data-first": true,
  });
  #known = h("datalist", { id: "channels" });
  #join = h("input", {
    "aria-label": t("channelName"),
    placeholder: t("channelName"),
    list: "channels",
    maxlength: "64",
    autocomplete: "off",
  });

  /** @param {Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    const { client, drawing, panels } = desk;
    const send = h("button", { type: "submit", class: "button" }, t("send"));
    const write = form("write", () => this.#say(), this.#message, send);
    const joining = form("join", () => this.#joined(), this.#join, this.#known);
    joining.append(h("button", { type: "submit", class: "button quiet" }, t("join")));
    joining.hidden = true;
    const more = iconButton("plus", t("joinChannel"), () => {
      joining.hidden = !joining.hidden;
      if (joining.hidden) return;
      this.#join.focus();
      void this.#offer();
    });
    const head = h("div", { class: "channels" }, this.#tabs, this.#leave, more);
    const content = [head, joining, this.#log, write];
    this.#form = joining;
    this.button = panels.add("chat", t("chat"), "chat", content, () => this.#open(this.#current));
    this.#badge = h("span", { class: "badge", "aria-hidden": "true", hidden: true });
    this.button.append(this.#badge);
    this.#add(drawing.info.Filename, t("thisDrawing"));
    this.#add(GENERAL, GENERAL);
    this.#open(drawing.info.Filename);
    this.#tabs.addEventListener("keydown", (event) => this.#onKey(event));
    client.on("message", ({ channel, author, content: text, date }) => {
      this.#heard(channel, { author, content: text, date });
    });
  }

  /** @type {HTMLElement} */
  #form;
  /** @type {HTMLElement} */
  #badge;

  /**
   * @param {string} name
   * @param {string} label
   */
  #add(name, label) {
    const tab = h("button", { type: "button", role: "tab", class: "tab", onclick: () => this.#open(name) });
    tab.append(label);
    this.#channels.set(name, { name, lines: [], unread: 0, tab });
    this.#tabs.append(tab);
  }

  get #fixed() {
    return new Set([this.#desk.drawing.info.Filename, GENERAL]);
  }

  /** Show a channel. @param {string} name */
  #open(name) {
    this.#current = name;
    this.#leave.hidden = this.#fixed.has(name);
    for (const channel of this.#channels.values()) {
      const chosen = channel.name === name;
      channel.tab.setAttribute("aria-selected", String(chosen));
      channel.tab.tabIndex = chosen ? 0 : -1;
    }
    // Not a change that is read aloud line by line.
    this.#log.setAttribute("aria-live", "off");
    const lines = this.#channels.get(name)?.lines ?? [];
    fill(this.#log, ...lines.map((line) => this.#line(line)));
    if (!lines.length) this.#log.append(h("p", { class: "empty" }, t("noMessages")));
    this.#log.removeAttribute("aria-live");
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#read();
  }

  /** What is seen is not unread any more. */
  #read() {
    const current = this.#channels.get(this.#current);
    if (current && this.#desk.panels.open === "chat") current.unread = 0;
    let unread = 0;
    for (const channel of this.#channels.values()) {
      channel.tab.classList.toggle("unread", channel.unread > 0);
      unread += channel.unread;
    }
    this.#badge.hidden = unread === 0;
    this.#badge.textContent = unread > 99 ? "99+" : String(unread);
    // The button's name stays: the number is its description.
    if (unread) this.button.setAttribute("aria-description", t("unread", { n: unread }));
    else this.button.removeAttribute("aria-description");
  }

  /**
   * @param {string} name
   * @param {Line} line
   */
  #heard(name, line) {
    if (!this.#channels.has(name)) this.#add(name, name);
    const channel = this.#channels.get(name);
    if (!channel) return;
    channel.lines.push(line);
    if (channel.lines.length > LINES_MAX) channel.lines.shift();
    if (line.author !== this.#desk.session.name) channel.unread += 1;
    if (name === this.#current) this.#append(line, channel.lines.length === 1);
    this.#read();
  }

  /**
   * Show one more line, and go with it if one was at the end.
   *
   * @param {Line} line
   * @param {boolean} first
   */
  #append(line, first) {
    const log = this.#log;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < LEAST_AT_END_PX;
    if (first) log.replaceChildren();
    log.append(this.#line(line));
    while (log.childElementCount > LINES_MAX) log.firstElementChild?.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  /** @param {Line} line */
  #line({ author, content, date }) {
    const name = author || t("theServer");
    const head = h("span", { class: "by" }, h("b", {}, name), h("time", { class: "meta" }, timeOfDay(date)));
    return h("div", { class: "said" }, avatar(name), h("p", {}, head, h("span", { dir: "auto" }, content)));
  }

  #say() {
    const content = this.#message.value.trim();
    if (!content) return;
    const { client, session, status } = this.#desk;
    try {
      client.say(this.#current, content);
    } catch {
      status.say(t("notSent")); // what was written stays where it is
      return;
    }
    this.#message.value = "";
    this.#heard(this.#current, { author: session.name ?? "", content, date: client.date });
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** What channels there are, to choose from. */
  async #offer() {
    try {
      const channels = await this.#desk.client.channels();
      fill(this.#known, ...channels.map(({ Name }) => h("option", { value: Name })));
    } catch {
      // The connection is away, which the status says.
    }
  }

  #joined() {
    const name = this.#join.value.trim();
    const bytes = new TextEncoder().encode(name).length;
    if (!name || name.includes(";") || bytes > CHANNEL_BYTES_MAX) {
      this.#desk.status.say(t("badChannel"));
      return;
    }
    try {
      if (!this.#channels.has(name)) this.#desk.client.joinChannel(name);
    } catch {
      this.#desk.status.say(t("notSent"));
      return;
    }
    if (!this.#channels.has(name)) this.#add(name, name);
    this.#join.value = "";
    this.#form.hidden = true;
    this.#open(name);
    this.#message.focus();
  }

  #left() {
    const channel = this.#channels.get(this.#current);
    if (!channel || this.#fixed.has(channel.name)) return;
    try {
      this.#desk.client.leaveChannel(channel.name);
    } catch {
      this.#desk.status.say(t("notSent"));
      return;
    }
    channel.tab.remove();
    this.#channels.delete(channel.name);
    this.#open(this.#desk.drawing.info.Filename);
    this.#message.focus();
  }

  /** Arrow keys go from tab to tab. @param {KeyboardEvent} event */
  #onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const names = [...this.#channels.keys()];
    const name = names.at((names.indexOf(this.#current) + step) % names.length) ?? "";
    this.#open(name);
    this.#channels.get(name)?.tab.focus();
  }
}

/**
 * @param {string} look
 * @param {() => void} submit
 * @param {...Node} content
 */
function form(look, submit, ...content) {
  const element = h("form", { class: look }, ...content);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  return element;
}
