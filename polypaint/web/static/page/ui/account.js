/** Signing in, up and out. */

import { t } from "../i18n/index.js";
import { api, somebody } from "./api.js";
import { ask } from "./dialog.js";
import { field, h } from "./dom.js";

/** @import { Session } from "./api.js" */

/**
 * The fields for name and password.
 *
 * @param {"current-password" | "new-password"} kind
 * @param {string} [name]
 * @param {string} [hint]
 */
function credentials(kind, name = "", hint) {
  const most = { maxlength: "64", autocapitalize: "none", spellcheck: "false", required: true };
  const who = h("input", {
    name: "name",
    autocomplete: "username",
    value: name,
    autofocus: true,
    ...most,
  });
  const secret = h("input", {
    name: "password",
    type: "password",
    autocomplete: kind,
    maxlength: "1024",
    required: true,
  });
  return [field(t("name"), who), field(t("password"), secret, hint)];
}

/**
 * @param {Record<string, string>} values
 * @returns {{ name: string, password: string }}
 */
function filled({ name = "", password = "" }) {
  if (!name.trim()) throw new Error(t("needsName"));
  if (!password) throw new Error(t("needsPassword"));
  return { name: name.trim(), password };
}

/** @returns {Promise<Session | null>} null: the person left */
export function signIn() {
  return ask({
    title: t("signIn"),
    content: credentials("current-password"),
    confirm: t("signIn"),
    submit: (values) => api("POST", "/api/session", filled(values)),
  });
}

/**
 * Make an account; a guest's becomes a lasting one.
 *
 * @param {Session} session
 * @returns {Promise<Session | null>} null: the person left
 */
export function signUp(session) {
  const intro = session.guest ? t("keepAccount", { name: session.name ?? "" }) : t("newAccount");
  return ask({
    title: t("signUp"),
    content: [
      h("p", { class: "intro" }, intro),
      ...credentials("new-password", session.guest ? (session.name ?? "") : "", t("passwordHint")),
    ],
    confirm: t("signUp"),
    submit: (values) =>
      session.guest
        ? api("PUT", "/api/account", filled(values))
        : api("POST", "/api/accounts", filled(values)),
  });
}

/**
 * @param {Session} session
 * @returns {Promise<boolean>}
 */
export async function signOut(session) {
  if (session.guest) {
    const sure = await ask({
      title: t("signOut"),
      content: [h("p", {}, t("signOutGuest", { name: session.name ?? "" }))],
      confirm: t("signOut"),
      submit: () => true,
    });
    if (!sure) return false;
  }
  await api("DELETE", "/api/session");
  return true;
}

/**
 * Who one is; nobody becomes a guest, or signs in where there are no guests.
 *
 * @param {Session} session
 * @returns {Promise<Session | null>} null: the person left
 */
export async function enter(session) {
  try {
    return await somebody(session);
  } catch (error) {
    const status = /** @type {{ status?: number }} */ (error).status;
    if (status === 403 || status === 404) return signIn();
    throw error;
  }
}
