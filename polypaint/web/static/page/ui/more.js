/** The menu `More`: files, the paper, who may enter, and what one prefers. */

import { t } from "../i18n/index.js";
import { api, drawingPath } from "./api.js";
import { ask } from "./dialog.js";
import { field, h } from "./dom.js";
import { entryFields, entryRules } from "./entry.js";
import { help } from "./help.js";
import { menuButton } from "./menu.js";
import { keep, preference } from "./preferences.js";

/** @import { Desk } from "./desk.js" */
/** @import { Entry } from "./menu.js" */

const SIDE_MAX = 16384;
const AREA_MAX = 1 << 24;
const IMPORTED = "application/json,.json";

/** @param {Desk} desk */
export function more(desk) {
  return menuButton(t("more"), () => [
    ...files(desk),
    {},
    { label: t("resize"), icon: "resize", run: () => resize(desk) },
    { label: t("clear"), icon: "bin", run: () => clear(desk) },
    ...(desk.mode === "stroke" ? [strokes(desk)] : []),
    {},
    { label: t("whoMayEnterMenu"), icon: "lock", run: () => rules(desk) },
    ...switches(desk),
    {},
    { label: t("help"), icon: "help", run: () => help(desk) },
  ]);
}

/**
 * @param {Desk} desk
 * @returns {Entry[]}
 */
function files(desk) {
  const { info, passcode } = desk;
  const query = passcode ? `?passcode=${encodeURIComponent(passcode)}` : "";
  const formats = /** @type {const} */ ([
    ["png", t("exportPng")],
    ["svg", t("exportSvg")],
    ["json", t("exportJson")],
  ]);
  const exports = formats.map(([kind, label]) => ({
    label,
    icon: /** @type {const} */ ("download"),
    href: `${drawingPath(info.name, `/canvas.${kind}`)}${query}`,
    download: `${info.name}.${kind}`,
  }));
  return [...exports, { label: t("import"), icon: "upload", run: () => importFile(desk) }];
}

/**
 * @param {Desk} desk
 * @returns {Entry}
 */
function strokes({ panels }) {
  return { label: t("strokeList"), icon: "list", run: () => panels.toggle("strokes") };
}

/**
 * @param {Desk} desk
 * @returns {Entry[]}
 */
function switches({ surface, element }) {
  const leftHanded = preference("hand", "right") === "left";
  return [
    {},
    {
      label: t("penFirst"),
      checked: surface.penFirst,
      run: () => {
        surface.penFirst = !surface.penFirst;
        keep("touch", surface.penFirst ? "pan" : "draw");
      },
    },
    {
      label: t("showPointers"),
      checked: surface.showPointers,
      run: () => {
        surface.showPointers = !surface.showPointers;
        keep("pointers", surface.showPointers ? "on" : "off");
      },
    },
    {
      label: t("leftHanded"),
      checked: leftHanded,
      run: () => {
        keep("hand", leftHanded ? "right" : "left");
        element.classList.toggle("left-handed", !leftHanded);
      },
    },
  ];
}

/** @param {Desk} desk */
function importFile({ info, status }) {
  const input = h("input", { type: "file", accept: IMPORTED });
  input.addEventListener("change", async () => {
    const [file] = input.files ?? [];
    if (!file) return;
    try {
      await api("POST", drawingPath(info.name, "/import"), file);
    } catch (error) {
      status.say(error instanceof Error ? error.message : String(error));
    }
  });
  input.click();
}

/** @param {Desk} desk */
async function resize({ surface }) {
  const side = (/** @type {string} */ name, /** @type {number} */ value) =>
    h("input", { name, type: "number", min: "1", max: String(SIDE_MAX), value, inputmode: "numeric" });
  await ask({
    title: t("resizeTitle"),
    content: [
      h(
        "div",
        { class: "row" },
        field(t("paperWidth"), side("width", surface.paper.width)),
        field(t("paperHeight"), side("height", surface.paper.height)),
      ),
      h("p", { class: "hint" }, t("resizeHint")),
    ],
    confirm: t("resizeConfirm"),
    submit: ({ width: across, height: down }) => {
      const width = Number(across);
      const height = Number(down);
      const sound = [width, height].every((n) => Number.isInteger(n) && n >= 1 && n <= SIDE_MAX);
      if (!sound || width * height > AREA_MAX) throw new Error(t("badSize"));
      surface.resize(width, height);
    },
  });
}

/** @param {Desk} desk */
async function clear({ surface }) {
  await ask({
    title: t("clearTitle"),
    content: [h("p", {}, t("clearText"))],
    confirm: t("clearConfirm"),
    submit: () => surface.clear(),
  });
}

/** @param {Desk} desk */
async function rules(desk) {
  const { drawing, info, session, passcode } = desk;
  const owner = drawing.people.find(({ role }) => role === "owner")?.name ?? info.owner;
  if (owner !== session.name) {
    desk.status.say(t(owner ? "ownerOnly" : "ownerAway", { owner }));
    return;
  }
  await ask({
    title: t("whoMayEnter"),
    content: entryFields(info.protection, passcode),
    confirm: t("save"),
    submit: async (values) => {
      const wanted = entryRules(values);
      await api("PATCH", drawingPath(info.name), wanted);
      desk.entryChanged(wanted);
    },
  });
}
