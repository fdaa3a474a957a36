// Times, names and numbers as people read them.

export const UNSURE = "something, not sure what";
const UNSURE_SHORT = "unsure"; // in lists

export const spoken = (label) => label.replaceAll("_", " ");

export const eventName = (event) => (event.unsure ? UNSURE_SHORT : spoken(event.class));

export const percent = (share) => `${Math.round(100 * share)} %`;

// Seconds as 00:12.0, or 1:00:12.0 from an hour on, as the predict command has them.
export function clock(seconds) {
  const tenths = Math.floor(seconds * 10 + 0.5);
  const minutes = Math.floor(tenths / 600);
  const hours = Math.floor(minutes / 60);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return `${hours ? `${hours}:` : ""}${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export const timeOfDay = (date) =>
  date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// An element with text and classes; text is never taken as HTML.
export function element(tag, { text = "", className = "" } = {}, ...children) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  made.append(...children);
  return made;
}
