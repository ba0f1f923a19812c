// Keeps an open page up to date. Pages work without it.

// First, because it remembers the page as the server has sent it.
import { follow } from "./follow.js";
import "./copy.js";
import "./keys.js";
import "./list.js";
import "./times.js";

document.documentElement.dataset.scripted = "";
const { live } = document.body.dataset;
if (live) follow(live);
