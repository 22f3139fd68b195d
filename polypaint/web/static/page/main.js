/** The page: which one it is follows from the address. */

// First those that import most: the browser asks for the next level only then.
import "./surface/parts.js";
import "./surface/surface.js";
import "../client/index.js";
import { language, t } from "./i18n/index.js";
import { showDrawing } from "./ui/drawing.js";
import { showHome } from "./ui/home.js";
import { notice } from "./ui/notice.js";

document.documentElement.lang = language;

const drawing = /^\/d\/(.+)$/.exec(location.pathname);
if (drawing) void showDrawing(decoded(drawing[1] ?? ""));
else if (location.pathname === "/") void showHome();
else notice(t("nothingHereTitle"), t("nothingHereText"));

/** @param {string} name as it stands in an address */
function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
