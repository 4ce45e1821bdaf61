(function () {
"use strict";
// Loads the page again, but not while somebody types, and not while it is
// paused. Opened groups stay open.
var button = document.getElementById("pause"), field = document.querySelector("input[type=search]");
function stored(key) { try { return sessionStorage.getItem(key); } catch (e) { return null; } }
function store(key, value) { try { sessionStorage.setItem(key, value); } catch (e) { /* the page works without */ } }
var paused = stored("mailprobe-paused") === "true";
function show() {
button.textContent = paused ? "Resume refreshing" : "Pause refreshing";
button.setAttribute("aria-pressed", String(paused));
}
button.hidden = false;
button.addEventListener("click", function () { paused = !paused; store("mailprobe-paused", String(paused)); show(); });
show();
var open = (stored("mailprobe-open") || "").split("\n");
document.querySelectorAll("details[id]").forEach(function (group) {
if (open.indexOf(group.id) >= 0) { group.open = true; }
group.addEventListener("toggle", function () {
store("mailprobe-open", Array.from(document.querySelectorAll("details[open]"), function (g) { return g.id; }).join("\n"));
});
});
setInterval(function () {
var typing = field && field.value !== field.defaultValue, selecting = String(getSelection()) !== "";
if (!paused && !typing && !selecting) { location.reload(); }
}, 1000 * Number(button.dataset.seconds));
})();
