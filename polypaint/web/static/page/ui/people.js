/** Who is here: as circles at the top, and in a panel with what one can do about them. */

import { ago, t } from "../i18n/index.js";
import { eachFrame, fill, h, hidden, iconButton } from "./dom.js";
import { avatar, show } from "./naming.js";

/** @import { Person } from "../../client/presence.js" */
/** @import { Desk } from "./desk.js" */

/** @typedef {Pick<Person, "name"> & Partial<Person>} Shown */

export class People {
  /** @type {Shown[]} */
  #all = [];
  /** Where somebody's hand was last. @type {Map<string, { x: number, y: number }>} */
  #places = new Map();
  #list = h("ul", { class: "crowd", role: "list", "aria-label": t("people") });
  #detail = h("ul", { class: "rows", role: "list", "aria-label": t("whoIsHere") });
  #count = h("span", { class: "number", "aria-hidden": "true" });
  #desk;

  /** @param {Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    const { drawing, panels, session } = desk;
    this.button = panels.add("people", t("whoIsHere"), "people", [this.#detail], () => this.#show());
    this.button.append(this.#count);
    this.element = h("div", { class: "people" }, this.#list, this.button);
    drawing.on("people", (all) => this.update(all));
    drawing.on("pointer", ({ name, x, y }) => void this.#places.set(name, { x, y }));
    document.addEventListener("visibilitychange", () => drawing.setAway(document.hidden));
    const refresh = eachFrame(() => {
      if (panels.open === "people") this.#show();
    });
    drawing.on("canvas", refresh);
    drawing.on("change", refresh);
    this.update(drawing.people.length ? drawing.people : [{ name: session.name ?? "" }]);
  }

  /** @param {Shown[]} all */
  update(all) {
    this.#all = all;
    for (const { name, colour } of all) show(name, colour);
    const circles = all.map(({ name, away }) =>
      h(
        "li",
        { class: away ? "person away" : "person", title: name },
        avatar(name),
        hidden(name),
      ),
    );
    fill(this.#list, ...circles);
    this.#count.textContent = String(all.length);
    this.#show();
  }

  #show() {
    const holding = this.#holding();
    fill(this.#detail, ...this.#all.map((person) => this.#row(person, holding)));
  }

  /** How many strokes each one holds. */
  #holding() {
    /** @type {Map<string, number>} */
    const holding = new Map();
    const { canvas } = this.#desk.drawing;
    if (canvas.mode === "pixel") for (const name of canvas.floating.keys()) holding.set(name, 1);
    else {
      for (const { holder } of canvas.strokes) {
        if (holder) holding.set(holder, (holding.get(holder) ?? 0) + 1);
      }
    }
    return holding;
  }

  /**
   * @param {Shown} person
   * @param {Map<string, number>} holding
   */
  #row({ name, since, away, role }, holding) {
    const { session, surface, mode } = this.#desk;
    const own = name === session.name;
    const held = holding.get(name) ?? 0;
    const facts = [
      own && t("you"),
      role === "owner" && t("owner"),
      away && t("away"),
      held > 0 && (mode === "pixel" ? t("holdsArea") : t("holds", { n: held })),
      since && ago(since),
    ].filter(Boolean);
    const place = this.#places.get(name);
    const jump =
      !own &&
      place &&
      iconButton("target", t("jumpTo", { name }), () => surface.centreOn(place.x, place.y));
    return h(
      "li",
      { class: away ? "away" : null },
      avatar(name),
      h("span", { class: "what" }, h("b", {}, name), h("span", { class: "meta" }, facts.join(" · "))),
      jump,
    );
  }
}
