// mdBook's index divides a text into words at its spaces. Chinese has none between words, so a query that contains Chinese is
// looked for as a part of the texts; titles come first, then pages with more occurrences.
(function () {
    'use strict';
    if (!window.elasticlunr) {
        return;
    }
    const searchWords = elasticlunr.Index.prototype.search;
    const occurrences = (text, part) => text.toLowerCase().split(part).length - 1;
    elasticlunr.Index.prototype.search = function (query, options) {
        if (!/[\u2e80-\uffef]/.test(query)) {
            return searchWords.call(this, query, options);
        }
        const parts = query.toLowerCase().split(/\s+/).filter(Boolean);
        const found = [];
        for (const [ref, doc] of Object.entries(this.documentStore.docs)) {
            const counts = parts.map(part => 100 * occurrences(doc.title, part) + occurrences(doc.body, part));
            if (counts.every(Boolean)) {
                found.push({ ref, doc, score: counts.reduce((sum, count) => sum + count) });
            }
        }
        return found.sort((one, other) => other.score - one.score);
    };
})();
