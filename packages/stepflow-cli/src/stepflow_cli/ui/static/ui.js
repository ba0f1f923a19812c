// Keeps an open page as it is on the server. Pages can be read without it.

import { follow } from "./follow.js";
import "./editor.js";

if (document.body.dataset.live) follow(document.body.dataset.live);
