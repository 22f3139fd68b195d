/** Drawings as cards: a thumbnail, a name that is a link, who is there. */

import { ago, t } from "../i18n/index.js";
import { icon } from "../icons.js";
import { api, drawingPath, pagePath } from "./api.js";
import { ask } from "./dialog.js";
import { field, h, hidden } from "./dom.js";
import { menuButton } from "./menu.js";
import { namedAvatar } from "./naming.js";

/** @import { Listed } from "./api.js" */

const AVATARS_MAX = 4;

/**
 * One drawing.
 *
 * @param {Listed} drawing
 * @param {(() => void) | null} changed what to do when its owner changed it; null: not the owner
 */
export function card(drawing, changed) {
  const { name, thumbnail, people } = drawing;
  const paper = h("div", { class: "thumb" });
  if (thumbnail) {
    const size = { width: "320", height: "180", loading: "lazy", decoding: "async" };
    const picture = h("img", { src: thumbnail, alt: "", ...size });
    picture.addEventListener("error", () => picture.remove());
    paper.append(picture);
  }
  if (people?.length) paper.append(crowd(people));
  return h(
    "li",
    { class: "card island" },
    paper,
    h(
      "div",
      { class: "about" },
      h("h3", {}, h("a", { href: pagePath(name) }, name)),
      h("p", { class: "meta" }, ...facts(drawing)),
    ),
    changed && menuButton(t("changeDrawing", { name }), () => entries(name, changed)),
  );
}

/** @param {Listed} drawing */
function facts({ mode, protection, changed }) {
  const parts = [h("span", {}, t(mode === "pixel" ? "pixels" : "strokes"))];
  if (changed) parts.push(h("span", {}, ago(changed)));
  if (protection === "protected") parts.push(h("span", {}, icon("lock"), t("passcode")));
  if (protection === "private") parts.push(h("span", {}, icon("lock"), t("onlyYou")));
  return parts;
}

/** @param {string[]} people */
function crowd(people) {
  const shown = people.slice(0, AVATARS_MAX).map((name) => namedAvatar(name));
  const more = people.length - shown.length;
  return h(
    "div",
    { class: "crowd" },
    hidden(t("drawingNow", { n: people.length })),
    ...shown,
    more > 0 && h("span", { class: "more-people" }, `+${more}`),
  );
}

/**
 * What an owner can do.
 *
 * @param {string} name
 * @param {() => void} changed
 */
function entries(name, changed) {
  return [
    { label: t("rename"), icon: /** @type {const} */ ("pen"), run: () => rename(name, changed) },
    { label: t("deleteDrawing"), icon: /** @type {const} */ ("bin"), run: () => remove(name, changed) },
  ];
}

/**
 * @param {string} name
 * @param {() => void} changed
 */
async function rename(name, changed) {
  const input = h("input", { name: "name", value: name, maxlength: "128", autofocus: true });
  const done = await ask({
    title: t("renameTitle", { name }),
    content: [field(t("name"), input)],
    confirm: t("renameConfirm"),
    submit: async (values) => {
      const wanted = (values["name"] ?? "").trim();
      if (!wanted) throw new Error(t("needsName"));
      if (wanted !== name) await api("PATCH", drawingPath(name), { name: wanted });
      return true;
    },
  });
  if (done) changed();
}

/**
 * @param {string} name
 * @param {() => void} changed
 */
async function remove(name, changed) {
  const done = await ask({
    title: t("deleteTitle", { name }),
    content: [h("p", {}, t("deleteText"))],
    confirm: t("deleteConfirm"),
    submit: async () => {
      await api("DELETE", drawingPath(name));
      return true;
    },
  });
  if (done) changed();
}
