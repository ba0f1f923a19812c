// Scripts for all pages except the list of runs. They run before `ui.js`, which starts following the server.

// Must come first, to remember the page as sent by the server.
import "./patch.js";
import "./batch.js";
import "./change.js";
import "./editor.js";
// Must come before the graph, which scrolls the selected box into view.
import "./panel.js";
import "./graph.js";
import "./values.js";

// On narrow screens, close the sections below the result. Sections the user opens stay open.
if (matchMedia("(max-width:640px)").matches) {
  for (const part of document.querySelectorAll("details.fold")) part.open = false;
}
