/** The page `/d/{Filename}`: the way into a drawing. Counterpart: `desk.js`, once one is in. */

import { LoginFailed, Refused, connect } from "../../client/index.js";
import { t } from "../i18n/index.js";
import { enter } from "./account.js";
import { drawing as drawingInfo, pagePath, socketAddress, whoAmI } from "./api.js";
import { Desk } from "./desk.js";
import { ask } from "./dialog.js";
import { field, h } from "./dom.js";
import { notice } from "./notice.js";

/** @import { Client, Drawing } from "../../client/index.js" */
/** @import { Listed, Session } from "./api.js" */

const NOT_FOUND = 404;
const TAKEN_OVER = "taken over";
const TAKE_OVER = "polypaint.takeover";

/**
 * Show it.
 *
 * @param {string} name
 */
export async function showDrawing(name) {
  document.title = `${name} – polypaint`;
  try {
    const [session, info] = await Promise.all([whoAmI(), isMissing() ? null : drawingInfo(name)]);
    if (!info) unknown(name);
    else await open(session, info);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    notice(t("failedTitle"), why, [t("tryAgain"), () => location.reload()]);
  }
}

/** @param {string} name */
function unknown(name) {
  notice(t("unknownTitle"), t("unknownText", { name }));
}

/** Did the server say so with the page? Then it need not be asked again. */
function isMissing() {
  const [page] = performance.getEntriesByType("navigation");
  return page instanceof PerformanceNavigationTiming && page.responseStatus === NOT_FOUND;
}

/**
 * @param {Session} nobody who may be
 * @param {Listed} info
 */
async function open(nobody, info) {
  const session = await enter(nobody);
  if (!session) return location.assign("/");
  const client = await connected(taking());
  if (!client) return location.assign("/");
  const entered = await join(client, session, info);
  if (entered === "unknown") return unknown(info.name);
  if (!entered) return location.assign("/");
  const { drawing, passcode } = entered;
  history.replaceState(null, "", pagePath(info.name, passcode));
  new Desk({ client, drawing, session, info, passcode });
  drawing.on("end", (reason) => void ended(reason));
}

/**
 * A connection; where the same person is connected elsewhere, they choose.
 *
 * @param {boolean} takeover
 * @returns {Promise<Client | null>} null: they go on elsewhere
 */
async function connected(takeover) {
  try {
    return await connect(socketAddress(), "", "", { session: true, takeover });
  } catch (error) {
    if (takeover || !(error instanceof LoginFailed) || error.code !== "connected") throw error;
  }
  const here = await ask({
    title: t("elsewhereTitle"),
    content: [h("p", {}, t("elsewhereText"))],
    confirm: t("continueHere"),
    cancel: t("backToDrawings"),
    insist: true,
    submit: () => true,
  });
  return here ? connected(true) : null;
}

/**
 * Join with the passcode of the address, or ask for it.
 *
 * @param {Client} client
 * @param {Session} session
 * @param {Listed} info
 * @returns {Promise<{ drawing: Drawing, passcode: string } | "unknown" | null>} null: the person left
 */
async function join(client, session, { name, protection, owner }) {
  const given = decodeURIComponent(location.hash.slice(1));
  const needed = protection === "protected" && owner !== session.name;
  if (given || !needed) {
    try {
      return { drawing: await client.join(name, given), passcode: given };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (!needed) return "unknown";
    }
  }
  const input = h("input", { name: "passcode", maxlength: "128", autocomplete: "off", autofocus: true });
  return ask({
    title: t("passcodeTitle", { name }),
    content: [
      h("p", { class: "intro" }, given ? t("passcodeWrong") : t("passcodeText")),
      field(t("passcode"), input),
    ],
    confirm: t("enter"),
    cancel: t("backToDrawings"),
    submit: async ({ passcode = "" }) => {
      try {
        return { drawing: await client.join(name, passcode), passcode };
      } catch (error) {
        throw error instanceof Refused ? new Error(t("passcodeWrong")) : error;
      }
    },
  });
}

/** One is out. @param {string} reason */
async function ended(reason) {
  const elsewhere = reason === TAKEN_OVER;
  const again = await ask({
    title: t(elsewhere ? "takenOverTitle" : "endedTitle"),
    content: [h("p", {}, elsewhere ? t("takenOverText") : t("endedText", { reason }))],
    confirm: t(elsewhere ? "continueHere" : "tryAgain"),
    cancel: t("backToDrawings"),
    insist: true,
    submit: () => true,
  });
  if (!again) return location.assign("/");
  if (elsewhere) take();
  location.reload();
}

/** The page that is loaded next takes over. */
function take() {
  try {
    sessionStorage.setItem(TAKE_OVER, "yes");
  } catch {
    // Then it asks.
  }
}

/** Was it said on the page before that one goes on here? */
function taking() {
  try {
    const said = sessionStorage.getItem(TAKE_OVER) === "yes";
    sessionStorage.removeItem(TAKE_OVER);
    return said;
  } catch {
    return false;
  }
}
