/**
 * The page of a drawing once one is in: the surface, and the controls around it.
 * Counterpart: `drawing.js`, which gets one in.
 */

import { t } from "../i18n/index.js";
import { icon } from "../icons.js";
import { Surface } from "../surface/surface.js";
import { pagePath } from "./api.js";
import { Chat } from "./chat.js";
import { h, hidden } from "./dom.js";
import { more } from "./more.js";
import { colourOf } from "./naming.js";
import { palette } from "./palette.js";
import { Panels } from "./panels.js";
import { People } from "./people.js";
import { preference } from "./preferences.js";
import { refusal } from "./refusals.js";
import { selectionBar } from "./selection.js";
import { share } from "./share.js";
import { shortcuts } from "./shortcuts.js";
import { Status } from "./status.js";
import { strokeList } from "./strokelist.js";
import { toolbar } from "./tools.js";
import { history as undoing, zoom } from "./view.js";

/** @import { Client, Drawing } from "../../client/index.js" */
/** @import { Listed, Protection, Session } from "./api.js" */

/**
 * @typedef {Object} Entered
 * @property {Client} client
 * @property {Drawing} drawing
 * @property {Session} session
 * @property {Listed} info
 * @property {string} passcode
 */

const PHONE = "(max-width: 640px), (max-height: 480px)";

/** What the controls cover, in CSS pixels. On a phone the surface ends where they begin. */
const MARGINS = {
  desktop: { top: 68, right: 68, bottom: 68, left: 68 },
  phone: { top: 12, right: 12, bottom: 12, left: 12 },
};

/** The page, and what its parts share. */
export class Desk {
  status = new Status();
  panels = new Panels();
  /** Where the surface draws. */
  host = h("div", { class: "host" });
  element = h("main", { class: "desk" });

  /** @param {Entered} entered */
  constructor({ client, drawing, session, info, passcode }) {
    this.client = client;
    this.drawing = drawing;
    this.session = session;
    this.info = info;
    this.passcode = passcode;
    /** @type {"stroke" | "pixel"} */
    this.mode = drawing.canvas.mode;
    // The surface measures its host, which has to be on the page.
    this.element.append(this.host);
    document.body.append(this.element);
    const touch = /** @type {"draw" | "pan" | "auto"} */ (preference("touch", "auto"));
    const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const margins = MARGINS[matchMedia(PHONE).matches ? "phone" : "desktop"];
    const name = session.name ?? "";
    this.surface = new Surface(this.host, drawing, { name, reduced, touch, margins, colourOf });
    this.#show();
    this.#listen();
    // Ready for the keyboard; a ring around the whole page would say nothing yet.
    this.#root.focus(/** @type {FocusOptions} */ ({ focusVisible: false }));
  }

  /** What has the focus while one draws. */
  get #root() {
    return /** @type {HTMLElement} */ (this.host.firstElementChild);
  }

  #show() {
    this.#root.setAttribute("aria-label", t("drawing"));
    const { surface, panels, mode, status } = this;
    document.title = `${this.info.name} – polypaint`;
    this.element.classList.toggle("left-handed", preference("hand", "right") === "left");
    const back = h("a", { class: "tool", href: "/", title: t("allDrawings") });
    back.append(icon("back"), hidden(t("allDrawings")));
    const title = h("header", { class: "title island" }, back, h("h1", {}, this.info.name), more(this));
    const people = new People(this);
    const chat = new Chat(this);
    const social = h("div", { class: "social island" }, people.element, chat.button, share(this));
    if (mode === "stroke") strokeList(this);
    const colours = palette(surface, mode);
    const view = h("div", { class: "view island" }, this.#paletteButton(colours), undoing(surface));
    const middle = h("div", { class: "middle" }, selectionBar(surface), colours);
    const bottom = h("div", { class: "bottom" }, middle, view);
    this.#place(zoom(surface), view, colours);
    const tools = toolbar(surface, mode);
    this.host.before(title, tools, bottom, social, status.element, panels.element);
  }

  /**
   * On a phone, colours and width are in a sheet, which this button opens.
   *
   * @param {HTMLElement} sheet
   */
  #paletteButton(sheet) {
    const dot = h("span", { class: "dot" });
    const button = h("button", { type: "button", class: "tool for-phone", title: t("palette") });
    button.append(dot, hidden(t("palette")));
    const { surface, panels } = this;
    const update = () => dot.style.setProperty("--swatch", surface.colour);
    surface.on("change", update);
    update();
    panels.adopt("palette", sheet, button);
    return button;
  }

  /**
   * The zoom's buttons stand beside undo, on a phone in the sheet of colours.
   *
   * @param {HTMLElement} buttons
   * @param {HTMLElement} view
   * @param {HTMLElement} sheet
   */
  #place(buttons, view, sheet) {
    const phone = matchMedia(PHONE);
    const place = () => (phone.matches ? sheet : view).append(buttons);
    phone.addEventListener("change", place);
    place();
  }

  #listen() {
    const { client, drawing, surface, status } = this;
    surface.showPointers = preference("pointers", "on") === "on";
    surface.on("refused", (text) => status.say(refusal(text)));
    client.on("offline", () => status.offline(true));
    client.on("online", () => status.offline(false));
    drawing.on("end", () => {
      surface.destroy();
      this.element.inert = true;
    });
    shortcuts(this);
  }

  /**
   * Others may enter now.
   *
   * @param {{ protection: Protection, passcode: string }} rules
   */
  entryChanged({ protection, passcode }) {
    this.info.protection = protection;
    this.passcode = passcode;
    history.replaceState(null, "", pagePath(this.info.name, passcode));
  }
}
