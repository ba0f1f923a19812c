// Keeps an open page as it is on the server. Pages can be read without it.

import { follow } from "./follow.js";
import "./change.js";
import "./copy.js";
import "./editor.js";
import "./panel.js";
import "./graph.js";
import "./values.js";
import "./times.js";

document.documentElement.dataset.scripted = "";
if (document.body.dataset.live) follow(document.body.dataset.live);
