// Keeps an open page as it is on the server. Pages can be read without it.

// First, because it remembers the page as the server has sent it.
import { follow } from "./follow.js";
import { showBatch } from "./batch.js";
import "./change.js";
import "./copy.js";
import "./editor.js";
import "./graph.js";
import "./keys.js";
import { showRuns } from "./list.js";
import "./panel.js";
import "./times.js";
import "./values.js";

document.documentElement.dataset.scripted = "";
const { live } = document.body.dataset;
if (live) follow(live, (data) => (data.runs ? showRuns(data.runs) : showBatch(data)));
