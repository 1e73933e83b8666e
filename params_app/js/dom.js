// Small helpers to make elements.
"use strict";

const Dom = (() => {
  /** Make an element; `attributes` are set as attributes, except those that begin with "on" and `text`. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === false || value === undefined || value === null) continue;
      if (name === "text") element.textContent = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const idOf = (path) => `p-${path.map((key) => encodeURIComponent(key)).join("-")}`;

  const brief = (value, limit = 60) => {
    const text = value === undefined ? "nothing" : JSON.stringify(value);
    return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
  };

  const plural = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

  return { brief, idOf, make, plural };
})();
