// Keeps an open page up to date. Pages also work without it.

// Must come first, to remember the page as sent by the server.
import { follow } from "./follow.js";
import "./copy.js";
import "./keys.js";
import "./list.js";
import "./times.js";

document.documentElement.dataset.scripted = "";
const { live } = document.body.dataset;
if (live) follow(live);
