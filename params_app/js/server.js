// What only Python can do: migrate older layouts, and check what the schema cannot say.
// `spikepipe params edit` answers at /check; opened in another way, the page does without.
"use strict";

const Server = (() => {
  let available = location.protocol.startsWith("http") ? null : false;

  /**
   * Send params to be migrated and checked.
   * Returns {params, changes, problems}; problems is null where the models are not installed. Returns null without a server.
   */
  async function check(params) {
    if (available === false) return null;
    try {
      const response = await fetch("check", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(params),
      });
      available = response.ok;
      return response.ok ? await response.json() : null;
    } catch (error) {
      available = false;
      return null;
    }
  }

  /** Whether there is known to be no server. */
  const isAway = () => available === false;

  return { check, isAway };
})();
