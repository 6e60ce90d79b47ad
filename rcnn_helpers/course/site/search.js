// Sphinx's search finds pages; this leads to the best section of each page and shows the words found in their
// sentence. Sphinx would fetch every page found for that, which browsers refuse where the site is a folder on disk.
// COURSE_TEXTS, from page to its sections as [anchor, heading, text], stands at the top of this file.
(() => {
  const wordsAsked = () =>
    (new URLSearchParams(window.location.search).get("q") || "").toLowerCase().split(/[^\p{L}\p{N}_]+/u).filter(Boolean);
  const count = (text, part) => text.split(part).length - 1;

  // Words that stand together count ten times as much as words on their own, and headings more than text.
  const weight = (text, words) => {
    const lower = text.toLowerCase();
    const apart = words.reduce((sum, word) => sum + Math.min(count(lower, word), 5), 0);
    return apart + (words.length > 1 ? 10 * Math.min(count(lower, words.join(" ")), 5) : 0);
  };

  const excerpt = (text, words) => {
    const lower = text.toLowerCase();
    const whole = lower.indexOf(words.join(" "));
    const first = whole >= 0 ? whole : Math.max(0, Math.min(...words.map((w) => lower.indexOf(w)).filter((i) => i >= 0), lower.length));
    const start = first < 80 ? 0 : text.indexOf(" ", first - 80) + 1;
    const rest = text.slice(start, start + 220).replace(/\S*$/, "");
    return (start > 0 ? "… " : "") + rest + "…";
  };

  Scorer.score = (item) => {
    const words = wordsAsked();
    const sections = (COURSE_TEXTS[item[0]] || []).filter((section) => !item[2] || `#${section[0]}` === item[2]);
    const weighed = sections.map((section) => 4 * weight(section[1], words) + weight(section[2], words));
    const best = weighed.indexOf(Math.max(...weighed));
    if (best < 0 || !words.length) return item[4];
    const [anchor, heading, text] = sections[best];
    if (!item[2] && weighed[best] > 0) {
      item[2] = `#${anchor}`;
      if (heading !== item[1]) item[1] = `${item[1]} > ${heading}`;
    }
    item[3] = excerpt(text, words);
    return item[4] + weighed.reduce((sum, each) => sum + each, 0);
  };
})();
