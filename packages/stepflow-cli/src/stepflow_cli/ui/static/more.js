// The scripts of all pages except the list of runs. They run before `ui.js`, which starts following the server.

// First, because it remembers the page as the server has sent it.
import "./patch.js";
import "./batch.js";
import "./change.js";
import "./editor.js";
// Before the graph, which moves the selected box into sight.
import "./panel.js";
import "./graph.js";
import "./values.js";

// Closes what follows the result on narrow screens; a part that was opened stays open.
if (matchMedia("(max-width:640px)").matches) {
  for (const part of document.querySelectorAll("details.fold")) part.open = false;
}
