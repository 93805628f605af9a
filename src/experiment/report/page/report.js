// Adds to the page; everything is there without it.
(function () {
  "use strict";
  var tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.appendChild(tip);
  var shown = null;

  // A browser's own tips are slow, and phones have none: take over what they would say.
  function textOf(node) {
    if (!node.dataset) return null;
    if (node.dataset.tip) return node.dataset.tip;
    var title = node.getAttribute("title");
    var child = node.querySelector ? node.querySelector(":scope > title") : null;
    if (!title && child) { title = child.textContent; child.remove(); }
    if (!title) return null;
    node.removeAttribute("title");
    node.setAttribute("aria-label", title);
    node.dataset.tip = title;
    return title;
  }

  function hide() {
    // Shapes of figures have "on" as well, of the arm that was chosen.
    if (shown && shown.matches(".t")) shown.classList.remove("on");
    shown = null;
    tip.hidden = true;
  }

  function show(node, event) {
    var text = textOf(node);
    if (!text) return hide();
    if (shown !== node) hide();
    shown = node;
    if (node.matches(".t")) node.classList.add("on");
    tip.textContent = text;
    tip.hidden = false;
    var width = document.documentElement.clientWidth;
    var left = Math.max(12, Math.min(event.clientX - 20, width - tip.offsetWidth - 12));
    var above = event.clientY - tip.offsetHeight - 16;
    var top = above > 8 ? above : event.clientY + 22;
    tip.style.left = left + window.scrollX + "px";
    tip.style.top = top + window.scrollY + "px";
  }

  function over(event) {
    var node = event.target.closest(".tokens .t, svg path, svg text");
    if (node) show(node, event); else hide();
  }
  document.addEventListener("pointermove", function (event) {
    if (event.pointerType === "mouse") over(event);
  });
  document.addEventListener("click", over);
  document.addEventListener("scroll", hide, { passive: true });

  // One arm alone in all figures.
  var arms = new Map();
  document.querySelectorAll("#result tbody th").forEach(function (head) {
    var dot = head.querySelector(".dot");
    if (dot) arms.set(dot.dataset.arm, head.innerHTML);
  });
  if (arms.size < 3) return;
  var chosen = null;
  function choose(slot) {
    chosen = chosen === slot ? null : slot;
    document.body.classList.toggle("one", chosen !== null);
    document.querySelectorAll("svg [data-arm]").forEach(function (shape) {
      shape.classList.toggle("on", shape.dataset.arm === chosen || shape.dataset.arm === "0");
    });
    document.querySelectorAll(".chips button").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.slot === chosen));
    });
  }
  function chips() {
    var row = document.createElement("div");
    row.className = "chips";
    row.append("Beside the baseline only:");
    arms.forEach(function (name, slot) {
      if (slot === "0") return;
      var button = document.createElement("button");
      button.type = "button";
      button.dataset.slot = slot;
      button.setAttribute("aria-pressed", "false");
      button.innerHTML = name;
      button.addEventListener("click", function () { choose(slot); });
      row.appendChild(button);
    });
    return row;
  }
  ["curves", "reaching", "buckets"].forEach(function (id) {
    var section = document.getElementById(id);
    if (section) section.querySelector("h2").after(chips());
  });
})();
