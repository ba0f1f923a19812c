// Keeps an open page as it is on the server. Pages can be read without it.

// First, because it remembers the page as the server has sent it.
import { follow } from "./follow.js";
import "./copy.js";
import "./keys.js";
import "./list.js";
import "./times.js";

document.documentElement.dataset.scripted = "";
const { live } = document.body.dataset;
if (live) follow(live);
