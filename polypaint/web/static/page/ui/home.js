/** The page `/`: drawings, and the ways to a new one. */

import { t } from "../i18n/index.js";
import { icon } from "../icons.js";
import { enter, signIn, signOut, signUp } from "./account.js";
import { ApiError, create, drawings, ownDrawings, pagePath, whoAmI } from "./api.js";
import { ask } from "./dialog.js";
import { field, fill, h, radios } from "./dom.js";
import { entryFields, entryRules } from "./entry.js";
import { card } from "./gallery.js";
import { languages } from "./languages.js";
import { avatar, madeUpName } from "./naming.js";
import { sketch } from "./sketch.js";

/** @import { Listed, Session } from "./api.js" */

const TRIES = 5;
const NAME_TAKEN = 409;

/** Show it. */
export async function showHome() {
  const page = new Home();
  document.body.append(page.element);
  await page.refresh();
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void page.refresh();
  });
}

class Home {
  /** @type {Session} */
  #session = { name: null, guest: false, rights: [] };
  /** @type {Listed[]} */
  #all = [];
  /** @type {Listed[]} */
  #own = [];
  #shown = "";
  #account = h("div", { class: "account" });
  #lists = h("div", { class: "lists", "aria-live": "off" });
  #error = h("p", { class: "error", role: "alert" });
  #search = h("input", {
    type: "search",
    placeholder: t("search"),
    "aria-label": t("search"),
    oninput: () => this.#list(),
  });

  constructor() {
    const now = button(t("drawNow"), () => this.#drawNow(), "button primary large");
    const other = button(t("newDrawing"), () => this.#newDrawing(), "button large");
    const hero = h(
      "section",
      { class: "hero island" },
      h(
        "div",
        { class: "pitch" },
        h("h1", {}, t("pitch")),
        h("p", {}, t("pitchText")),
        h("div", { class: "row" }, now, other),
        this.#error,
      ),
      sketch(),
    );
    const head = h(
      "header",
      { class: "masthead" },
      h("a", { class: "brand", href: "/" }, "polypaint"),
      this.#account,
    );
    const finder = h("div", { class: "finder" }, icon("search"), this.#search);
    const main = h("main", {}, hero, finder, this.#lists);
    this.element = h("div", { class: "home" }, head, main, h("footer", {}, languages()));
  }

  /** Ask the server again. */
  async refresh() {
    try {
      const [session, all] = await Promise.all([whoAmI(), drawings()]);
      this.#session = session;
      this.#all = all;
      this.#own = session.name ? await ownDrawings() : [];
      this.#error.textContent = "";
    } catch (error) {
      this.#failed(error);
    }
    this.#who();
    this.#list();
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof ApiError)) throw error;
    this.#error.textContent = error.message;
  }

  #who() {
    const { name, guest } = this.#session;
    const again = (/** @type {unknown} */ done) => {
      if (done) void this.refresh();
    };
    const parts = [];
    if (name) {
      const note = guest && h("span", { class: "muted" }, t("guest"));
      const who = h("span", { class: "who" }, avatar(name), h("span", {}, name), note);
      parts.push(who);
    }
    if (!name || guest) {
      parts.push(button(t("signIn"), async () => again(await signIn()), "button quiet"));
      parts.push(button(t("signUp"), async () => again(await signUp(this.#session)), "button"));
    }
    if (name) {
      parts.push(button(t("signOut"), async () => again(await signOut(this.#session)), "button quiet"));
    }
    fill(this.#account, ...parts);
  }

  /** Show the drawings that are searched for; nothing moves when nothing has changed. */
  #list() {
    const wanted = this.#search.value.trim().toLowerCase();
    const found = (/** @type {Listed} */ { name }) => name.toLowerCase().includes(wanted);
    const names = new Set(this.#own.map(({ name }) => name));
    const own = this.#own.filter(found);
    const others = this.#all.filter((drawing) => !names.has(drawing.name) && found(drawing));
    const shown = JSON.stringify([own, others, wanted]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const changed = () => void this.refresh();
    fill(
      this.#lists,
      own.length > 0 && section(t("yourDrawings"), own, changed),
      others.length > 0 && section(t("openDrawings"), others, null),
      own.length + others.length === 0 &&
        h("p", { class: "empty" }, wanted ? t("nothingFound", { wanted }) : t("noDrawings")),
    );
  }

  async #drawNow() {
    try {
      if (!(await enter(this.#session))) return;
      location.assign(pagePath(await this.#createAny()));
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A new public drawing; its name. */
  async #createAny() {
    for (let tries = 0; ; tries += 1) {
      const name = madeUpName(tries);
      try {
        await create({ name, mode: "stroke", protection: "public", passcode: "" });
        return name;
      } catch (error) {
        const taken = error instanceof ApiError && error.status === NAME_TAKEN;
        if (!taken || tries >= TRIES) throw error;
      }
    }
  }

  async #newDrawing() {
    const kinds = /** @type {const} */ ([
      ["stroke", t("strokes")],
      ["pixel", t("pixels")],
    ]);
    const name = h("input", {
      name: "name",
      value: madeUpName(0),
      maxlength: "128",
      autocomplete: "off",
      autofocus: true,
    });
    const made = await ask({
      title: t("newDrawing"),
      content: [
        field(t("name"), name),
        radios(t("kind"), "mode", kinds, "stroke"),
        h("p", { class: "hint" }, t("kindHint")),
        ...entryFields("public"),
      ],
      confirm: t("create"),
      submit: async (values) => {
        const wanted = (values["name"] ?? "").trim();
        if (!wanted) throw new Error(t("needsName"));
        const rules = entryRules(values);
        if (!(await enter(this.#session))) return null;
        const mode = values["mode"] === "pixel" ? "pixel" : "stroke";
        await create({ name: wanted, mode, ...rules });
        return { name: wanted, ...rules };
      },
    });
    if (made) location.assign(pagePath(made.name, made.passcode));
  }
}

/**
 * @param {string} label
 * @param {() => void} run
 * @param {string} look
 */
function button(label, run, look) {
  return h("button", { type: "button", class: look, onclick: run }, label);
}

/**
 * @param {string} title
 * @param {Listed[]} list
 * @param {(() => void) | null} changed
 */
function section(title, list, changed) {
  const cards = list.map((drawing) => card(drawing, changed));
  return h("section", {}, h("h2", {}, title), h("ul", { class: "cards", role: "list" }, ...cards));
}
