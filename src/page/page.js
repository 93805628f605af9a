// Adds to the page; everything is there without it.
(function () {
  "use strict";
  var tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.appendChild(tip);
  var shown = null, cross = null;

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
    if (cross) cross.remove();
    shown = cross = null;
    tip.hidden = true;
  }

  function place(text, event) {
    tip.textContent = text;
    tip.hidden = false;
    var width = document.documentElement.clientWidth;
    var left = Math.max(12, Math.min(event.clientX - 20, width - tip.offsetWidth - 12));
    var above = event.clientY - tip.offsetHeight - 16;
    var top = above > 8 ? above : event.clientY + 22;
    tip.style.left = left + window.scrollX + "px";
    tip.style.top = top + window.scrollY + "px";
  }

  function show(node, event) {
    var text = textOf(node);
    hide();
    if (!text) return;
    shown = node;
    if (node.matches(".t")) node.classList.add("on");
    place(text, event);
  }

  // A value at a place between two, with as many digits as places are drawn to.
  function valueAt(at, from, to, low, high) {
    var step = Math.abs((high - low) / (to - from)) / 100;
    var digits = Math.max(0, Math.min(8, Math.floor(-Math.log10(step))));
    var value = low + (high - low) * (at - from) / (to - from);
    return value.toLocaleString("en-US", { maximumFractionDigits: digits });
  }

  // The point of each curve that is nearest to x, by the name of the curve.
  function nearest(plot, x) {
    var found = new Map();
    plot.querySelectorAll("path.c").forEach(function (path) {
      if (getComputedStyle(path).opacity < 0.5) return;
      var name = textOf(path), numbers = path.getAttribute("d").match(/-?[\d.]+/g).map(Number);
      for (var i = 0; i + 1 < numbers.length; i += 2) {
        var old = found.get(name);
        if (!old || Math.abs(numbers[i] - x) < Math.abs(old[0] - x)) found.set(name, [numbers[i], numbers[i + 1], name]);
      }
    });
    return Array.from(found.values());
  }

  // All curves of a panel at the x that is pointed at; false where no panel is.
  function read(svg, event) {
    var box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal, scale = view.width / box.width;
    var x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    return Array.from(svg.querySelectorAll("g[data-plot]")).some(function (plot) {
      var p = plot.dataset.plot.split(" ").map(Number), size = Number(plot.dataset.size);
      if (x < p[0] - 6 || x > p[1] + 6 || y < p[2] || y > p[3]) return false;
      var points = nearest(plot, x);
      var at = points.reduce(function (best, point) {
        return best === null || Math.abs(point[0] - x) < Math.abs(best - x) ? point[0] : best;
      }, null);
      if (at === null) return false;
      points = points.filter(function (point) { return Math.abs(point[0] - at) < 8; });
      points.sort(function (a, b) { return a[1] - b[1]; });
      var lines = points.map(function (point) { return point[2] + "  " + valueAt(point[1], p[2], p[3], p[6], p[7]); });
      hide();
      cross = document.createElementNS(svg.namespaceURI, "path");
      cross.setAttribute("class", "s-muted cross");
      cross.setAttribute("d", "M" + at + " " + p[2] + "V" + p[3]);
      plot.appendChild(cross);
      var head = valueAt(at, p[0], p[1], p[4] / size, p[5] / size) + plot.dataset.unit;
      place([head].concat(lines).join("\n"), event);
      return true;
    });
  }

  function over(event) {
    var node = event.target.closest(".tokens .t, svg path:not(.c):not(.cross), svg text");
    var svg = event.target.closest("svg");
    if (node && textOf(node)) show(node, event);
    else if (!svg || !read(svg, event)) hide();
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
